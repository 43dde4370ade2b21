// Reading the log (SPEC 9): its files in order, lines, chain, batches, and what counts as a torn tail.

import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { inflateRawSync } from 'node:zlib';

import { Real, parse } from './json.mjs';

const LIVE = 'log.jsonl';
const DEPTH = 33; // one level more than a document: the event around it
const GENESIS = '0'.repeat(64);
const NEWLINE = 0x0a;

export const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

// List a root's log files in order as {first, path}; `first` of the live one, the last, is 0 if no line can be read.
export function segments(root) {
  const live = join(root, LIVE);
  const inode = existsSync(live) ? statSync(live).ino : null;
  let names = [];
  try {
    names = readdirSync(join(root, 'log'));
  } catch {
    // no directory, no closed segment
  }
  const found = [];
  for (const name of names.sort()) {
    const match = /^([0-9]{12})\.jsonl(\.gz)?$/.exec(name);
    if (!match || (match[2] && names.includes(name.slice(0, -3)))) continue; // compressed from the one beside it
    const path = join(root, 'log', name);
    if (inode !== null && statSync(path, { throwIfNoEntry: false })?.ino === inode) continue; // a rotation cut short
    found.push({ first: Number(match[1]), path });
  }
  if (inode !== null) found.push({ first: firstSeq(live), path: live });
  return found;
}

// Return the seq of a file's first line, 0 when none can be read.
export function firstSeq(path) {
  const seq = readLine(lines(content(path) ?? Buffer.alloc(0)).next().value)?.get('seq');
  return Number.isInteger(seq) ? seq : 0;
}

// Return the bytes of a log file, unpacked; null when they cannot be had to the end.
function content(path) {
  try {
    if (!statSync(path).isFile()) return null;
    const bytes = readFileSync(path);
    return path.endsWith('.gz') ? gunzip(bytes) : bytes;
  } catch {
    return null;
  }
}

// Unpack gzip (RFC 1952), all its members, zeros behind them aside. Throws on anything else.
export function gunzip(bytes) {
  const parts = [];
  let at = 0;
  while (at < bytes.length) {
    if (at > 0 && bytes[at] === 0) {
      at += 1;
      continue;
    }
    if (bytes[at] !== 0x1f || bytes[at + 1] !== 0x8b || bytes[at + 2] !== 8) throw new Error('no gzip');
    const flags = bytes[at + 3];
    at += 10;
    if (flags & 4) at += 2 + bytes.readUInt16LE(at);
    for (const flag of [8, 16]) if (flags & flag) at = after(bytes, 0, at);
    if (flags & 2) at += 2;
    const { buffer, engine } = inflateRawSync(bytes.subarray(at), { info: true });
    at += engine.bytesWritten;
    if (bytes.readUInt32LE(at) !== crc32(buffer) || bytes.readUInt32LE(at + 4) !== buffer.length % 2 ** 32) {
      throw new Error('wrong checksum');
    }
    at += 8;
    parts.push(buffer);
  }
  return Buffer.concat(parts);
}

function after(bytes, byte, at) {
  const found = bytes.indexOf(byte, at);
  if (found < 0) throw new Error('cut short');
  return found + 1;
}

const CRC = Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit += 1) byte = byte & 1 ? (byte >>> 1) ^ 0xedb88320 : byte >>> 1;
  return byte;
});

function crc32(bytes) {
  let sum = -1;
  for (const byte of bytes) sum = (sum >>> 8) ^ CRC[(sum ^ byte) & 0xff];
  return ~sum >>> 0;
}

// Yield the lines of some bytes, each with its newline if it has one.
function* lines(bytes) {
  for (let at = 0; at < bytes.length; ) {
    const next = bytes.indexOf(NEWLINE, at) + 1 || bytes.length;
    yield bytes.subarray(at, next);
    at = next;
  }
}

// Read a line as an event, form aside; null when it is none.
function readLine(line) {
  if (line === undefined) return null;
  try {
    const event = parse(line, DEPTH);
    return event instanceof Map && typeof event.get('event') === 'string' ? event : null;
  } catch {
    return null;
  }
}

// Yield each whole batch as {events: [{event, line, hash}], path}; returns the finding that ended the reading, or null.
// `start` is {seq, prev}: what comes before the first file, taken on trust.
export function* batches(files, start = { seq: 0, prev: GENESIS }) {
  let { seq, prev } = start;
  for (const { first, path } of files) {
    const isLive = !isClosed(path) && path === files.at(-1).path;
    if (first !== seq + 1 && !(first === 0 && path === files.at(-1).path)) return { code: 'log-segment', path };
    const bytes = content(path);
    if (bytes === null) return { code: path.endsWith('.gz') && isFile(path) ? 'log-line' : 'log-segment', path };
    let pending = [];
    let number = 0;
    for (const line of lines(bytes)) {
      number += 1;
      const event = line.at(-1) === NEWLINE && isAscii(line) ? readLine(line) : null;
      const code = fault(event, seq + 1, prev, pending.length ? pending[0].event.get('seq') : seq + 1);
      if (code !== null) {
        return damage(code, path, number, isLive && torn(files, path, number - pending.length, seq + 1, pending, code));
      }
      prev = sha256(line.subarray(0, -1));
      pending.push({ event, line: number, hash: prev });
      seq += 1;
      if (event.has('end')) {
        yield { events: pending, path };
        pending = [];
      }
    }
    if (pending.length > 0) {
      const isTorn = isLive && highestEnd(path, number - pending.length) <= pending[0].event.get('seq');
      return { code: isClosed(path) ? 'log-end' : 'log-torn', path, isTorn };
    }
  }
  return null;
}

function isAscii(bytes) {
  return !/[\x80-\xff]/.test(bytes.latin1Slice());
}

function fault(event, seq, prev, batchFirst) {
  if (event === null) return 'log-line';
  if (event.get('seq') !== seq) return 'log-seq';
  if (event.get('prev') !== prev) return 'log-chain';
  return event.has('end') && event.get('end') !== batchFirst ? 'log-end' : null;
}

function damage(code, path, line, isTorn) {
  return { code: isTorn ? 'log-torn' : code, path, line, isTorn };
}

// Say whether damage at a line of the live file is a torn tail: no batch behind the one in flight can be read. If the
// damaged line is the whole last batch, read well but for prev, it is the line before it that was changed.
function torn(files, path, before, seq, pending, code) {
  const highest = highestEnd(path, before - 1);
  const batchFirst = pending.length ? pending[0].event.get('seq') : seq;
  return highest <= batchFirst && !(code === 'log-chain' && seq === highest);
}

// Return the highest `end` that can be read behind the first `skipped` lines of a file.
function highestEnd(path, skipped) {
  let highest = 0;
  let number = 0;
  for (const line of lines(content(path))) {
    number += 1;
    const end = number > skipped ? readLine(line)?.get('end') : 0;
    if (Number.isInteger(end)) highest = Math.max(highest, end);
  }
  return highest;
}

// Say whether a file is a closed segment: only the live one can have a torn tail.
function isClosed(path) {
  return basename(path) !== LIVE && basename(dirname(resolve(path))) === 'log';
}

function isFile(path) {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

// Return what comes before the first of some log files when it does not begin the log: that is taken on trust.
export function trusted(file) {
  if (file === undefined || file.first <= 1) return undefined;
  const prev = readLine(lines(content(file.path)).next().value).get('prev');
  return { seq: file.first - 1, prev: prev instanceof Real ? null : prev };
}
