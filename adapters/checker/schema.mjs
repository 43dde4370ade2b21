// The documents' schemas of schemas/v1/, applied: as much of JSON Schema 2020-12 as they use.

import { readFileSync } from 'node:fs';

import { Real, parse } from './json.mjs';

const read = (name) => parse(readFileSync(new URL(`../../schemas/v1/${name}.schema.json`, import.meta.url)));
const patterns = new Map();

const KEYWORDS = {
  type: (value, type, root) => isType(value, type, root.digits),
  enum: (value, choices) => choices.some((choice) => same(choice, value)),
  const: (value, wanted) => same(wanted, value),
  minimum: (value, bound) => !isNumber(value) || amount(value) >= amount(bound),
  maximum: (value, bound) => !isNumber(value) || amount(value) <= amount(bound),
  minLength: (value, bound) => typeof value !== 'string' || [...value].length >= bound,
  maxLength: (value, bound) => typeof value !== 'string' || value.length <= bound || [...value].length <= bound,
  pattern: (value, pattern) => typeof value !== 'string' || matches(pattern, value),
  maxItems: (value, bound) => !Array.isArray(value) || value.length <= bound,
  uniqueItems: (value, wanted) => !Array.isArray(value) || !wanted || new Set(value).size === value.length,
  items: (value, schema, root) => !Array.isArray(value) || value.every((item) => meets(item, schema, root)),
  required: (value, names) => !(value instanceof Map) || names.every((name) => value.has(name)),
  allOf: (value, schemas, root) => schemas.every((schema) => meets(value, schema, root)),
  $ref: (value, ref, root) => meets(value, resolve(root, ref), root),
};
// What the two below look at beside themselves, and what checks nothing.
const OTHERS = new Set([
  'properties', 'patternProperties', 'additionalProperties', 'if', 'then',
  '$schema', '$id', '$defs', 'title', 'description', 'default', 'examples', '$comment',
]);

// Say whether a value meets a schema of a document whose root schema is `root`.
export function meets(value, schema, root = schema) {
  if (typeof schema === 'boolean') return schema;
  for (const [keyword, wanted] of schema) {
    const test = KEYWORDS[keyword];
    if (test === undefined && !OTHERS.has(keyword)) throw new Error(`the schema keyword ${keyword} is not known here`);
    if (test !== undefined && !test(value, wanted, root)) return false;
  }
  if (value instanceof Map && !membersMeet(value, schema, root)) return false;
  return !schema.has('if') || !meets(value, schema.get('if'), root) || meets(value, schema.get('then') ?? true, root);
}

function membersMeet(value, schema, root) {
  const named = schema.get('properties') ?? new Map();
  const like = [...(schema.get('patternProperties') ?? [])];
  const others = schema.get('additionalProperties') ?? true;
  for (const [name, item] of value) {
    const found = like.filter(([pattern]) => matches(pattern, name)).map(([, part]) => part);
    if (named.has(name)) found.push(named.get(name));
    if (found.length === 0) found.push(others);
    if (!found.every((part) => meets(item, part, root))) return false;
  }
  return true;
}

function resolve(root, ref) {
  return ref.split('/').slice(1).reduce((place, part) => place.get(part), root);
}

function matches(pattern, text) {
  if (!patterns.has(pattern)) patterns.set(pattern, new RegExp(pattern, 'u'));
  return patterns.get(pattern).test(text);
}

function isNumber(value) {
  return typeof value === 'number' || value instanceof Real;
}

function amount(value) {
  return value instanceof Real ? value.value : value;
}

function same(one, other) {
  return isNumber(one) && isNumber(other) ? amount(one) === amount(other) : one === other; // all are plain values
}

// `digits`: whether an integer has to stand as digits alone, as in the log (SPEC 9.1), or may be 1.0 as well.
function isType(value, type, digits) {
  if (type === 'object') return value instanceof Map;
  if (type === 'array') return Array.isArray(value);
  if (type === 'string' || type === 'boolean') return typeof value === type;
  if (type === 'integer') return typeof value === 'number' || (isNumber(value) && !digits && Number.isInteger(amount(value)));
  if (type === 'number') return isNumber(value);
  throw new Error(`the type ${type} is not known here`);
}

const EVENT = read('event');
EVENT.digits = true;
const SETTINGS = read('settings');
const CHECKPOINT = read('checkpoint');

export const isEvent = (value) => meets(value, EVENT);
export const isSettings = (value) => meets(value, SETTINGS);
export const isCheckpoint = (value) => meets(value, CHECKPOINT);
export const defaultOf = (setting) => amount(SETTINGS.get('properties').get(setting).get('default'));
