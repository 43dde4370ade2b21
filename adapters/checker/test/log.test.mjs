import assert from 'node:assert/strict';
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { gzipSync } from 'node:zlib';

import { batches, gunzip, segments, sha256 } from '../log.mjs';
import { decode, untold } from '../names.mjs';

let root;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'taskdir-checker-'));
  mkdirSync(join(root, 'log'));
});
afterEach(() => rmSync(root, { recursive: true }));

// Chain batches of so many lines each.
function chained(...sizes) {
  const lines = [];
  let prev = '0'.repeat(64);
  for (const size of sizes) {
    const first = lines.length + 1;
    for (let at = 1; at <= size; at += 1) {
      lines.push(JSON.stringify({ seq: lines.length + 1, event: 'noted', prev, ...(at === size ? { end: first } : {}) }));
      prev = sha256(lines.at(-1));
    }
  }
  return lines.map((line) => `${line}\n`);
}

function read() {
  const reader = batches(segments(root));
  const found = [];
  for (;;) {
    const { value, done } = reader.next();
    if (done) return [found, value?.code ?? null, value?.line, value?.isTorn];
    found.push(value.events.length);
  }
}

const put = (lines, name = 'log.jsonl') => writeFileSync(join(root, name), lines.join(''));

test('whole batches', () => {
  put(chained(1, 3, 2));
  assert.deepEqual(read(), [[1, 3, 2], null, undefined, undefined]);
});

test('each rule of lines', () => {
  const lines = chained(1, 1, 1, 1);
  const spoilt = {
    'log-line': ['?\n', '{"event":5}\n', lines[1].replace('{', '{"x-é":1,'), lines[1].replace('{', '{"seq":2,')],
    'log-seq': [lines[2], lines[1].replace('"seq":2', '"seq":2.0')],
    'log-chain': [lines[1].replace('"prev":"', '"prev":"0')],
    'log-end': [lines[1].replace('"end":2', '"end":1')],
  };
  for (const [code, wrong] of Object.entries(spoilt)) {
    for (const line of wrong) {
      put([lines[0], line, ...lines.slice(2)]);
      assert.deepEqual(read(), [[1], code, 2, false], line);
    }
  }
  put([lines[0], lines[1].replace('noted', 'other'), ...lines.slice(2)]);
  assert.deepEqual(read(), [[1, 1], 'log-chain', 3, false], 'an edited line shows at the next');
});

test('torn tails', () => {
  const lines = chained(1, 3);
  for (const tail of [['{"se'], [lines[1]], [lines[1], lines[2]], ['?\n', lines[2]], [lines[1], '?\n', lines[3]], [lines[2]]]) {
    put([lines[0], ...tail]);
    const [found, code, , isTorn] = read();
    assert.deepEqual([found, code, isTorn], [[1], 'log-torn', true], tail.join(''));
  }
  put([lines[0].replace('noted', 'other'), ...chained(1, 1).slice(1)]);
  assert.deepEqual(read(), [[1], 'log-chain', 2, false], 'only the line before can have been changed');
});

test('segments', () => {
  const lines = chained(1, 2, 1, 1);
  put(lines.slice(0, 3), 'log/000000000001.jsonl');
  put(lines.slice(3));
  assert.deepEqual(read()[0], [1, 2, 1, 1]);
  writeFileSync(join(root, 'log/000000000001.jsonl.gz'), 'half');
  assert.deepEqual(read()[0], [1, 2, 1, 1], 'the plain file counts while the other is being made');
  rmSync(join(root, 'log/000000000001.jsonl'));
  assert.deepEqual(read(), [[], 'log-line', undefined, undefined]);
  const packed = gzipSync(lines.slice(0, 3).join(''));
  writeFileSync(join(root, 'log/000000000001.jsonl.gz'), packed);
  assert.deepEqual(read()[0], [1, 2, 1, 1]);
  rmSync(join(root, 'log/000000000001.jsonl.gz'));
  assert.deepEqual(read(), [[], 'log-segment', undefined, undefined]);
});

test('gzip', () => {
  const [one, two] = ['one', 'two'].map((text) => gzipSync(text));
  assert.equal(gunzip(Buffer.concat([one, two, Buffer.alloc(5)])).toString(), 'onetwo');
  assert.equal(gunzip(Buffer.alloc(0)).length, 0);
  for (const wrong of [one.subarray(0, -1), Buffer.concat([one, Buffer.from('rest')]), Buffer.from('text'), Buffer.alloc(3)]) {
    assert.throws(() => gunzip(wrong));
  }
  for (let at = 10; at < one.length; at += 1) {
    assert.throws(() => gunzip(Buffer.from([...one.subarray(0, at), one[at] ^ 1, ...one.subarray(at + 1)])), `bit of byte ${at}`);
  }
});

test('names', () => {
  assert.equal(decode(Buffer.from('é')), 'é');
  assert.equal(decode(Buffer.from([0x61, 0xff, 0xc3, 0xa9, 0xe2, 0x82])), 'a\udcffé\udce2\udc82');
  assert.equal(untold('a\\\\b\\x01\\n')?.toString('latin1'), 'a\\b\x01\n');
  for (const wrong of ['é', '\\q', '\\', '\n']) assert.equal(untold(wrong), null);
});
