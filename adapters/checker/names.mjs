// The grammar of names (SPEC 5), and how any name is told in ASCII (SPEC 6.7). Names from the disk are Buffers read as
// text in which each byte that is not UTF-8 is half of a surrogate pair, U+DC00 and the byte.

const WORD = '[a-z0-9][a-z0-9_-]{0,63}';
const STEM = new RegExp(`^([0-9])-([0-9]{12})\\.(${WORD})\\.([1-9][0-9]{0,8})$`);
const ENDINGS = ['.result.json', '.notes.jsonl', '.refused.json', '.json'];

// Take a stem apart; null when it is none.
export function parseStem(text) {
  const found = STEM.exec(text);
  return found && { stem: text, seq: Number(found[2]), id: found[3], attempt: Number(found[4]) };
}

// Take a name in claimed/<agent>/ apart into its stem and its ending; null when it is none of the daemon's business.
export function splitClaimed(name) {
  const ending = ENDINGS.find((each) => name.endsWith(each));
  const stem = ending && parseStem(name.slice(0, -ending.length));
  return stem ? { ...stem, ending } : null;
}

// Return the name of a file's bytes: text, odd bytes kept apart.
export function decode(bytes) {
  const text = bytes.toString('utf8');
  if (Buffer.from(text).equals(bytes)) return text;
  let found = '';
  for (let at = 0; at < bytes.length; ) {
    const length = sequence(bytes, at);
    found += length ? bytes.toString('utf8', at, at + length) : String.fromCharCode(0xdc00 + bytes[at]);
    at += length || 1;
  }
  return found;
}

// Return how many bytes from `at` on are one character in UTF-8, 0 when none are.
function sequence(bytes, at) {
  for (const length of [1, 2, 3, 4]) {
    const part = bytes.subarray(at, at + length);
    const text = part.toString('utf8');
    if (part.length === length && [...text].length === 1 && Buffer.from(text).equals(part)) return length;
  }
  return 0;
}

// Return the bytes of a name that was told in ASCII; null when it was not told so.
export function untold(text) {
  const bytes = [];
  for (const [part, hex, letter] of text.matchAll(/\\x([0-9a-f]{2})|\\([\\nrt])|[^]/g)) {
    if (hex !== undefined) bytes.push(parseInt(hex, 16));
    else if (letter !== undefined) bytes.push({ '\\': 0x5c, n: 0x0a, r: 0x0d, t: 0x09 }[letter]);
    else if (part === '\\' || part > '~' || part < ' ') return null;
    else bytes.push(part.charCodeAt(0));
  }
  return Buffer.from(bytes);
}
