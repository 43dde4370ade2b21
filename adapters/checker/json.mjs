// JSON read strictly, as I-JSON with bounds (SPEC 6.1), and written as the daemon writes it (SPEC 6).
//
// Objects become Maps, so that any key is just a key and the order stays. Integers become numbers; what has a fraction
// or an exponent becomes a Real, since 1 and 1.0 are written differently and an integer field takes the first alone.

export class JsonFault extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

export class Real {
  constructor(value) {
    this.value = value;
  }
}

const MAX_INTEGER = 2n ** 53n - 1n;
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const BLANK = /[ \t\n\r]*/y;
const ESCAPES = { '"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };

// Read one document from bytes. Throws JsonFault with a json-… code.
export function parse(bytes, depth = 32) {
  let text;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new JsonFault('json-encoding', 'not UTF-8');
  }
  if (text.startsWith('\ufeff')) throw new JsonFault('json-encoding', 'a byte order mark');
  return new Parser(text, depth).document();
}

class Parser {
  constructor(text, depth) {
    this.text = text;
    this.at = 0;
    this.left = depth;
    this.fault = null; // a break of the bounds; wrong syntax behind it counts for more
  }

  document() {
    const value = this.value();
    this.skip();
    if (this.at < this.text.length) this.wrong();
    if (this.fault) throw this.fault;
    return value;
  }

  wrong() {
    throw new JsonFault('json-syntax', `not well-formed JSON at character ${this.at}`);
  }

  note(code, message) {
    this.fault ??= new JsonFault(code, message);
  }

  skip() {
    BLANK.lastIndex = this.at;
    BLANK.test(this.text);
    this.at = BLANK.lastIndex;
  }

  // Go past `char` if it comes next, blanks aside; says whether it did.
  take(char) {
    this.skip();
    if (this.text[this.at] !== char) return false;
    this.at += 1;
    return true;
  }

  value() {
    this.skip();
    const char = this.text[this.at];
    if (char === '{') return this.nested(() => this.object());
    if (char === '[') return this.nested(() => this.array());
    if (char === '"') return this.string();
    for (const [word, value] of [['true', true], ['false', false], ['null', null]]) {
      if (this.text.startsWith(word, this.at)) {
        this.at += word.length;
        return value;
      }
    }
    return this.number();
  }

  nested(read) {
    this.at += 1;
    this.left -= 1;
    if (this.left < 0) throw new JsonFault('json-depth', 'nested too deep'); // at once: the stack is not endless
    const value = read();
    this.left += 1;
    return value;
  }

  object() {
    const found = new Map();
    if (this.take('}')) return found;
    do {
      this.skip();
      if (this.text[this.at] !== '"') this.wrong();
      const key = this.string();
      if (found.has(key)) this.note('json-duplicate-key', 'a key stands twice in one object');
      if (!this.take(':')) this.wrong();
      found.set(key, this.value());
    } while (this.take(','));
    if (!this.take('}')) this.wrong();
    return found;
  }

  array() {
    const found = [];
    if (this.take(']')) return found;
    do found.push(this.value());
    while (this.take(','));
    if (!this.take(']')) this.wrong();
    return found;
  }

  string() {
    this.at += 1;
    let found = '';
    for (;;) {
      PLAIN.lastIndex = this.at;
      PLAIN.test(this.text);
      found += this.text.slice(this.at, PLAIN.lastIndex);
      this.at = PLAIN.lastIndex;
      const char = this.text[this.at];
      this.at += 1;
      if (char === '"') break;
      if (char !== '\\') this.wrong();
      found += this.escape();
    }
    if (!found.isWellFormed()) this.note('json-surrogate', 'half of a surrogate pair');
    return found;
  }

  escape() {
    const char = this.text[this.at];
    this.at += 1;
    if (char !== 'u') return Object.hasOwn(ESCAPES, char ?? '') ? ESCAPES[char] : this.wrong();
    const hex = this.text.slice(this.at, this.at + 4);
    if (!/^[0-9a-fA-F]{4}$/.test(hex)) this.wrong();
    this.at += 4;
    return String.fromCharCode(parseInt(hex, 16));
  }

  number() {
    NUMBER.lastIndex = this.at;
    const match = NUMBER.exec(this.text);
    if (!match) this.wrong();
    this.at = NUMBER.lastIndex;
    const value = Number(match[0]);
    if (match[1] !== undefined || match[2] !== undefined) {
      if (!Number.isFinite(value)) this.note('json-number', 'too large for a double');
      return new Real(value);
    }
    const size = match[0].replace('-', '');
    if (size.length > 16 || BigInt(size) > MAX_INTEGER) this.note('json-number', 'an integer beyond 2^53-1');
    return value + 0; // no -0 among the integers
  }
}

// Write a value on one line of ASCII without spaces: offers, and what a length in bytes is taken of.
export function compact(value) {
  return write(value, ascii, '');
}

// Write a value for people: one space a level, UTF-8, a newline at the end: records, reasons, entries.
export function pretty(value) {
  return `${write(value, JSON.stringify, '\n')}\n`;
}

function ascii(text) {
  return JSON.stringify(text).replace(/[\u007f-\uffff]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

// `line` starts a line at the level of the value, "" for one line in all.
function write(value, quote, line) {
  if (typeof value === 'string') return quote(value);
  if (typeof value === 'number') return String(value);
  if (value instanceof Real) return real(value.value);
  if (value === null || typeof value === 'boolean') return String(value);
  const inner = line && `${line} `;
  const [open, close] = Array.isArray(value) ? '[]' : '{}';
  const parts = Array.isArray(value)
    ? value.map((item) => write(item, quote, inner))
    : [...value].map(([key, item]) => `${quote(key)}:${line && ' '}${write(item, quote, inner)}`);
  return parts.length ? `${open}${inner}${parts.join(`,${inner}`)}${line}${close}` : open + close;
}

// Write a double in the fewest digits that read back the same: with a point from 1e-4 to below 1e16, else with an
// exponent of two digits or more (SPEC 6).
export function real(value) {
  const sign = value < 0 || Object.is(value, -0) ? '-' : '';
  const [mantissa, power] = Math.abs(value).toExponential().split('e');
  const digits = mantissa.replace('.', '');
  const exponent = Number(power);
  if (exponent < -4 || exponent >= 16) {
    const fraction = digits.length > 1 ? `.${digits.slice(1)}` : '';
    return `${sign}${digits[0]}${fraction}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
  }
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  const whole = digits.padEnd(exponent + 1, '0');
  return `${sign}${whole.slice(0, exponent + 1)}.${whole.slice(exponent + 1) || '0'}`;
}
