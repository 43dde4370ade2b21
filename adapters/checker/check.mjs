#!/usr/bin/env node
// A second auditor of taskdir roots, written from SPEC.md alone. Changes nothing.
//
//   node check.mjs [--json] [--published SEQ] [--checkpoint FILE] ROOT…
//                                                        0 all is well · 1 findings · 2 usage · 65 bad FILE · 66 no root
//   node check.mjs                                       requests on stdin, answers on stdout (CONTRACT.md, section 2)

import { existsSync, readFileSync, statSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { createInterface } from 'node:readline';

import { Witness, readCheckpoints } from './checkpoints.mjs';
import { parse } from './json.mjs';
import { batches, firstSeq, segments, trusted } from './log.mjs';
import { Replay } from './replay.mjs';
import { defaultOf, isSettings } from './schema.mjs';
import { compare, look } from './tree.mjs';

const WARNINGS = new Set(['log-torn']);
const SAID = {
  'log-line': 'the line is no event in ASCII, or the file cannot be read to its end',
  'log-seq': 'the seq is not the next one',
  'log-chain': 'prev is not the hash of the line before',
  'log-end': 'end is not where the batch ends, or does not name its first seq',
  'log-segment': 'another segment should be here, or this is no regular file',
  'log-torn': 'what follows the last whole batch is a torn tail',
  'view-missing': 'the log calls for it, and it is not there',
  'view-differs': 'it is not what the log says',
  'view-stranger': 'the log does not call for it',
};
const isError = (finding) => !WARNINGS.has(finding.code);

// Check a root; returns findings {code, place, line?, message?}. `about.published` and `about.asleep` are what only the
// daemon's own index knows; it is not read here. `pause(seconds)` gives a running daemon the time for its next pass.
export function checkRoot(root, about = {}, pause = () => {}) {
  const settings = readSettings(root);
  const all = {
    published: about.published ?? 0,
    asleep: new Set(about.asleep ?? []),
    contextBytes: settings?.contextBytes ?? defaultOf('context_bytes'),
    settings,
    checkpoints: about.checkpoints,
    live: isLive(root),
  };
  const first = once(root, all);
  if (!all.live || first.length === 0) return first;
  pause(2 * (settings?.scanSeconds ?? defaultOf('scan_seconds')));
  const again = new Set(once(root, { ...all, live: isLive(root) }).map(name));
  return first.filter((finding) => again.has(name(finding)));
}

const name = ({ code, place, line }) => JSON.stringify([code, place, line]);

function once(root, about) {
  const witness = new Witness(about.checkpoints);
  const [replay, damage] = read(segments(root), new Replay(), witness);
  const findings = [...replay.findings];
  if (damage && !damage.isTorn) findings.push(damage);
  findings.push(...witness.findings(join(root, 'log.jsonl')));
  if (!findings.some(isError)) {
    findings.push(...replay.books(), ...compare(replay, look(root), about));
    if (damage?.isTorn) findings.push(damage);
  }
  return findings.map((finding) => ({ ...finding, place: relative(root, resolve(root, finding.place)) }));
}

// Check the files of a log without their root.
export function checkLog(paths, checkpoints) {
  const missing = paths.find((path) => !existsSync(path));
  if (missing !== undefined) throw new Error(`${missing}: there is no such file`);
  const files = paths.map((path) => ({ first: firstSeq(path), path }));
  files.sort((one, other) => (one.first || Infinity) - (other.first || Infinity) || (one.path < other.path ? -1 : 1));
  const start = trusted(files[0]);
  const witness = new Witness(checkpoints);
  const [replay, damage] = read(files, new Replay(start === undefined), witness, start);
  const findings = [...replay.findings, ...(damage ? [damage] : [])];
  if (findings.length === 0 && start === undefined) findings.push(...replay.books());
  return [...findings, ...witness.findings(files.at(-1).path)];
}

function read(files, replay, witness, start) {
  const reader = batches(files, start);
  for (;;) {
    const { value, done } = reader.next();
    if (done) return [replay, value && { code: value.code, place: value.path, line: value.line, isTorn: value.isTorn }];
    replay.take(value);
    witness.see(value);
  }
}

// Return the settings that matter here, null when taskdir.json cannot be used.
function readSettings(root) {
  try {
    const found = parse(readFileSync(join(root, 'taskdir.json')));
    if (!isSettings(found)) return null;
    const value = (field) => found.get(field)?.value ?? found.get(field) ?? defaultOf(field);
    return {
      window: value('walls') ? 0 : value('window'), // behind walls nothing is offered (docs/walls.md)
      contextBytes: value('context_bytes'),
      scanSeconds: value('scan_seconds'),
      resources: new Map([...(found.get('resources') ?? [])].map(([each, most]) => [each, most.value ?? most])),
    };
  } catch {
    return null;
  }
}

// Say whether a daemon holds the root's lock. Node has no flock; Linux lists all locks in one file.
function isLive(root) {
  try {
    const { dev, ino } = statSync(root, { bigint: true });
    const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
    const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn);
    const hex = (number) => number.toString(16).padStart(2, '0');
    const lock = new RegExp(`FLOCK +ADVISORY +WRITE +-?[0-9]+ ${hex(major)}:${hex(minor)}:${ino} `);
    return lock.test(readFileSync('/proc/locks', 'latin1'));
  } catch {
    return false;
  }
}

function answer(request) {
  const offers = ['check', 'check-log', 'checkpoint'];
  if (request.do === 'hello') return { name: 'taskdir checker (Node)', version: '1', offers };
  const shown = (found) => ({ findings: found.map(({ code, place, line }) => ({ code, place, line })) });
  if (request.do === 'check') return shown(checkRoot(request.root, request));
  if (request.do === 'check-log') return shown(checkLog(request.files, request.checkpoints));
  return { error: `${request.do} is not offered` };
}

async function serve() {
  for await (const line of createInterface({ input: process.stdin })) {
    let said;
    try {
      said = answer(JSON.parse(line));
    } catch (error) {
      said = { error: error.message };
      process.stderr.write(`${error.stack}\n`);
    }
    process.stdout.write(`${JSON.stringify(said)}\n`);
  }
}

function main(args) {
  const isJson = args[0] === '--json' && Boolean(args.shift());
  const about = args[0] === '--published' ? { published: Number(args.splice(0, 2)[1]) } : {};
  const kept = args[0] === '--checkpoint' ? args.splice(0, 2)[1] : undefined;
  if (args.length === 0 || args.some((arg) => arg.startsWith('-')) || Number.isNaN(about.published)) {
    process.stderr.write('usage: check.mjs [--json] [--published SEQ] [--checkpoint FILE] ROOT…\n');
    return 2;
  }
  try {
    if (kept !== undefined) about.checkpoints = readCheckpoints(readFileSync(kept));
  } catch (error) {
    process.stderr.write(`${kept}: ${error.message}\n`);
    return 65;
  }
  const missing = args.find((root) => !existsSync(join(root, 'taskdir.json')));
  if (missing !== undefined) {
    process.stderr.write(`${missing}: there is no taskdir.json here\n`);
    return 66;
  }
  const pause = (seconds) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1000);
  const found = args.flatMap((root) => checkRoot(resolve(root), about, pause).map((finding) => ({ root, ...finding })));
  if (isJson) process.stdout.write(`${JSON.stringify({ ok: !found.some(isError), findings: found })}\n`);
  for (const { root, code, place, line, message } of isJson ? [] : found) {
    const where = `${join(root, place)}${line ? `:${line}` : ''}`;
    process.stdout.write(`${WARNINGS.has(code) ? 'warning' : 'error'}: ${where}: ${message ?? SAID[code]} [${code}]\n`);
  }
  return found.some(isError) ? 1 : 0;
}

if (resolve(process.argv[1] ?? '') === new URL(import.meta.url).pathname) {
  if (process.argv.length === 2) await serve();
  else process.exitCode = main(process.argv.slice(2));
}
