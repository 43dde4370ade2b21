import assert from 'node:assert/strict';
import { test } from 'node:test';

import { JsonFault, Real, compact, parse, pretty, real } from '../json.mjs';

const read = (text, depth) => parse(Buffer.from(text), depth);
const refused = (text, code) => assert.throws(() => read(text), (fault) => fault instanceof JsonFault && fault.code === code, text);

test('what is not well-formed is refused', () => {
  const wrong = ['', ' ', '{', '[1,]', '{"a":1,}', "{'a':1}", '{"a" 1}', '01', '1.', '.5', '+1', '-', '1e', 'nul', 'NaN', '[] []',
    '"\t"', '"\\x41"', '"\\u12g4"', '"', '"\\', '"\\u12', '{1:2}', '\u00a01', '{"a":1 "b":2}', 'Infinity', '[1 2]', '}', '"a"b'];
  for (const text of wrong) refused(text, 'json-syntax');
});

test('the bounds of I-JSON', () => {
  refused('{"a":1,"b":{"c":1,"c":2}}', 'json-duplicate-key');
  refused('{"a":1,"\\u0061":2}', 'json-duplicate-key');
  for (const text of ['9007199254740992', '-9007199254740992', '1e999', '[-1e400]', '99999999999999999999']) refused(text, 'json-number');
  for (const text of ['"\\ud800"', '"\\udc00\\ud800"', '{"\\udfff":1}']) refused(text, 'json-surrogate');
  refused('\ufeff1', 'json-encoding');
  assert.throws(() => parse(Buffer.from([0x22, 0xff, 0x22])), { code: 'json-encoding' });
  assert.throws(() => parse(Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])), { code: 'json-encoding' });
});

test('depth is counted in brackets, not in brackets within strings', () => {
  read(`${'['.repeat(32)}"[[[["${']'.repeat(32)}`);
  refused(`${'['.repeat(33)}${']'.repeat(33)}`, 'json-depth');
  refused('['.repeat(200000), 'json-depth');
  assert.doesNotThrow(() => read(`${'['.repeat(33)}${']'.repeat(33)}`, 33));
});

test('what is read', () => {
  const found = read(' {"2":[true,false,null],"1":-0,"__proto__":1.50,"a":"\\ud83d\\ude00\\u00e9\\/"}\n');
  assert.deepEqual([...found.keys()], ['2', '1', '__proto__', 'a']);
  assert.deepEqual(found.get('2'), [true, false, null]);
  assert.ok(Object.is(found.get('1'), 0));
  assert.deepEqual(found.get('__proto__'), new Real(1.5));
  assert.equal(found.get('a'), '\u{1f600}é/');
  assert.equal(read('9007199254740991'), Number.MAX_SAFE_INTEGER);
});

test('numbers with a fraction or an exponent', () => {
  const pairs = [['1.0', '1.0'], ['-0.0', '-0.0'], ['1e0', '1.0'], ['1E5', '100000.0'], ['1e16', '1e+16'], ['1e15', '1000000000000000.0'],
    ['0.0001', '0.0001'], ['0.00001', '1e-05'], ['1.5e-7', '1.5e-07'], ['123.4560', '123.456'], ['5e-324', '5e-324'], ['1e-400', '0.0'],
    ['1.7976931348623157e308', '1.7976931348623157e+308'], ['9007199254740993.0', '9007199254740992.0'], ['0.1', '0.1']];
  for (const [text, written] of pairs) assert.equal(real(read(text).value), written);
});

test('what is written', () => {
  const value = read('{"b":[],"a":{},"é":[1,{"x":"\\u007f\\u2028\\"\\u0001"}],"r":2.0,"n":null}');
  assert.equal(compact(value), '{"b":[],"a":{},"\\u00e9":[1,{"x":"\\u007f\\u2028\\"\\u0001"}],"r":2.0,"n":null}');
  assert.equal(pretty(value), '{\n "b": [],\n "a": {},\n "é": [\n  1,\n  {\n   "x": "\u007f\u2028\\"\\u0001"\n  }\n ],\n "r": 2.0,\n "n": null\n}\n');
  assert.equal(pretty(read('{"a":[1,"b",{"c":null}]}')), `${JSON.stringify({ a: [1, 'b', { c: null }] }, null, 1)}\n`);
});
