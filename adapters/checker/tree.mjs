// Comparing the directories with what the log calls for (SPEC 3.3, 10.7). Agents may act at any time: what a gesture of
// theirs explains is no finding.

import { lstatSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import { offerBytes, recordBytes, stemOf } from './documents.mjs';
import { pretty } from './json.mjs';
import { sha256 } from './log.mjs';
import { decode, parseStem, splitClaimed } from './names.mjs';

const LARGEST = 2 ** 30;
const WORD = /^[a-z0-9][a-z0-9_-]{0,63}$/;

// Read the directories now: ready/ before claimed/, so that what moves meanwhile is not overlooked.
export function look(root) {
  const ready = new Map([['', new Map()]]);
  for (const [name, at] of list(root, 'ready')) {
    if (isDirectory(at)) ready.set(name, digests(root, `ready/${name}`));
    else ready.get('').set(name, '');
  }
  const agents = [...list(root, 'claimed')].filter(([, at]) => isDirectory(at));
  const claimed = new Map(agents.map(([name]) => [name, digests(root, `claimed/${name}`, '.refused.json')]));
  const [done, failed, state] = ['done', 'failed', 'state'].map((place) => digests(root, place));
  return { ready, claimed, done, failed, state, rejected: digests(root, 'rejected', '.reason.json') };
}

// Map the visible names in a directory to their paths, which are bytes.
function list(root, place) {
  const at = Buffer.from(encode(join(root, place)));
  try {
    const names = readdirSync(at, { encoding: 'buffer' }).filter((name) => name[0] !== 0x2e);
    return new Map(names.map((name) => [decode(name), Buffer.concat([at, Buffer.from('/'), name])]));
  } catch {
    return new Map();
  }
}

// Turn a path that holds names as `decode` gives them back into bytes.
function encode(path) {
  const parts = [...path].map((char) => (/^[\udc80-\udcff]$/.test(char) ? [char.charCodeAt(0) - 0xdc00] : Buffer.from(char)));
  return Buffer.concat(parts.map((part) => Buffer.from(part)));
}

function isDirectory(path) {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

// Map the names in a directory to the hashes of their files, those that end in `ending`; the others are just named.
function digests(root, place, ending = '') {
  const found = new Map();
  for (const [name, path] of list(root, place)) {
    try {
      found.set(name, name.endsWith(ending) ? digest(path) : '');
    } catch (error) {
      if (error.code !== 'ENOENT') found.set(name, '');
    }
  }
  return found;
}

// Hash a regular file, "" for anything else.
function digest(path) {
  const shape = lstatSync(path);
  return shape.isFile() && shape.size <= LARGEST ? sha256(readFileSync(path)) : '';
}

// Yield the findings. `about` has what no log tells: `live` (a daemon runs), `settings` (null if they cannot be read),
// `published` (up to this seq records were published: a missing one was pruned), `asleep` (ids that the daemon lets
// sleep), `contextBytes`.
export function* compare(replay, seen, about) {
  const waiting = lines(replay, about);
  yield* records(replay, seen, about);
  yield* offers(replay, seen, about, waiting);
  if (about.live) yield* claims(replay, seen);
  yield* refusals(replay, seen.rejected);
  yield* entries(replay, seen.state);
}

function* records(replay, seen, about) {
  for (const task of replay.tasks.values()) {
    if (task.final === null) continue;
    const place = task.state === 'done' ? 'done' : 'failed';
    const found = seen[place].get(`${task.id}.json`);
    if (found === undefined) {
      if (task.final > about.published) yield { code: 'view-missing', place: `${place}/${task.id}.json` };
    } else if (found !== sha256(recordBytes(task))) {
      yield { code: 'view-differs', place: `${place}/${task.id}.json` };
    }
  }
  for (const place of ['done', 'failed']) {
    for (const name of seen[place].keys()) {
      const task = name.endsWith('.json') ? replay.tasks.get(name.slice(0, -5)) : undefined;
      const isHere = task && task.final !== null && (task.state === 'done') === (place === 'done');
      if (!isHere) yield { code: 'view-stranger', place: `${place}/${name}` };
    }
  }
}

// Work out who may start now (SPEC 7.3, 7.16): queue → its window. `behind` has who stands behind in some line.
function lines(replay, { settings, asleep }) {
  const order = (one, other) => one.priority - other.priority || one.seq - other.seq;
  const isUp = (task) => task.state === 'queued' && task.unmet.size === 0 && !(task.delayed && asleep.has(task.id));
  const able = [...replay.tasks.values()].filter(isUp).sort(order);
  const taken = new Map();
  const stand = (name) => taken.set(name, (taken.get(name) ?? 0) + 1);
  for (const task of replay.tasks.values()) if (task.state === 'claimed') task.resources.forEach(stand);
  const behind = new Set();
  const windows = new Map();
  for (const task of able) {
    for (const name of task.resources) {
      stand(name);
      if (taken.get(name) > (settings?.resources.get(name) ?? 1)) behind.add(task.id);
    }
    if (!windows.has(task.queue)) windows.set(task.queue, []);
    const window = windows.get(task.queue);
    if (!behind.has(task.id) && window.length < (settings?.window ?? 0)) window.push(task);
  }
  return { windows, behind };
}

function* offers(replay, seen, about, waiting) {
  for (const [queue, shown] of seen.ready) {
    for (const [name, found] of shown) {
      const code = offer(replay, about, waiting, queue, name, found);
      if (code) yield { code, place: queue ? `ready/${queue}/${name}` : `ready/${name}` };
    }
  }
  if (!about.live || about.settings === null) return; // without a daemon, an agent may have claimed and given back
  const held = [...seen.claimed.values()].flatMap((shown) => [...shown.keys()].map((name) => splitClaimed(name)?.stem));
  const taken = new Set(held);
  for (const [queue, window] of waiting.windows) {
    for (const task of window) {
      const name = `${stemOf(task)}.json`;
      if (!seen.ready.get(queue)?.has(name) && !taken.has(stemOf(task))) {
        yield { code: 'view-missing', place: `ready/${queue}/${name}` };
      }
    }
  }
}

// Return the code of what is wrong with a file in ready/, null when nothing is.
function offer(replay, about, { windows, behind }, queue, name, found) {
  const stem = name.endsWith('.json') ? parseStem(name.slice(0, -5)) : null;
  const task = stem && replay.tasks.get(stem.id);
  if (!task || stem.seq > task.seq || stem.attempt > task.attempt || task.queue !== queue) return 'view-stranger';
  if (task.state !== 'queued' || stemOf(task) !== stem.stem) return about.live ? 'view-stranger' : null;
  if (task.unmet.size > 0) return 'view-stranger';
  if (found !== sha256(offerBytes(replay, task, about.contextBytes))) return 'view-differs';
  if (!about.live || about.settings === null || about.asleep.has(task.id)) return null;
  return behind.has(task.id) || !windows.get(queue).includes(task) ? 'view-stranger' : null;
}

function* claims(replay, seen) {
  for (const task of replay.tasks.values()) {
    const shown = task.state === 'claimed' && seen.claimed.get(task.agent);
    if (task.state !== 'claimed' || !shown) continue; // no directory: nothing is known of it
    const base = `claimed/${task.agent}/${stemOf(task)}`;
    if (!shown.has(`${stemOf(task)}.json`) && !shown.has(`${stemOf(task)}.result.json`)) {
      yield { code: 'view-missing', place: `${base}.json` };
    }
    const refusal = shown.get(`${stemOf(task)}.refused.json`);
    if (refusal !== undefined && (task.refusal === null || refusal !== sha256(pretty(task.refusal)))) {
      yield { code: 'view-differs', place: `${base}.refused.json` };
    }
  }
  for (const [agent, shown] of seen.claimed) {
    for (const name of WORD.test(agent) ? shown.keys() : []) {
      const parts = splitClaimed(name);
      if (parts?.ending !== '.json') continue;
      const task = replay.tasks.get(parts.id);
      const holds = task?.state === 'claimed' && task.agent === agent && stemOf(task) === parts.stem;
      if (!holds) yield { code: 'view-stranger', place: `claimed/${agent}/${name}` };
    }
  }
}

function* refusals(replay, shown) {
  for (const [name, found] of shown) {
    if (!name.endsWith('.json')) continue; // nobody's business: an editor's, say
    const aside = /^([^]*)\.[0-9]{12}\.json$/.exec(name)?.[1];
    const known = [name, `${aside}.json`, aside].map((each) => replay.refused.get(each)).find((each) => each);
    if (!known) yield { code: 'view-stranger', place: `rejected/${name}` };
    else if (name.endsWith('.reason.json') && !known.has(found)) yield { code: 'view-differs', place: `rejected/${name}` };
  }
}

function* entries(replay, shown) {
  for (const [key, entry] of replay.entries) {
    const found = shown.get(`${key}.json`);
    if (found === undefined) yield { code: 'view-missing', place: `state/${key}.json` };
    else if (found !== sha256(pretty(entry))) yield { code: 'view-differs', place: `state/${key}.json` };
  }
  for (const name of shown.keys()) {
    const isKey = name.endsWith('.json') && replay.entries.has(name.slice(0, -5));
    if (!isKey) yield { code: 'view-stranger', place: `state/${name}` };
  }
}
