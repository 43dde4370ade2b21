// Replaying the log (SPEC 3, 9.1, 9.2): each event in order; one that cannot be true is reported and left out.

import { onCycles } from './cycles.mjs';
import { pretty } from './json.mjs';
import { sha256 } from './log.mjs';
import { untold } from './names.mjs';
import { isEvent } from './schema.mjs';

// SPEC 3.1: event → [states it may happen in, state after it].
const STEPS = {
  claimed: [['queued'], 'claimed'],
  refused: [['claimed'], 'claimed'],
  done: [['claimed'], 'done'],
  errored: [['claimed'], 'queued'],
  returned: [['claimed'], 'queued'],
  expired: [['claimed'], 'queued'],
  abandoned: [['claimed'], 'queued'],
  timed_out: [['claimed'], 'queued'],
  failed: [['queued'], 'failed'],
  canceled: [['queued', 'claimed'], 'canceled'],
  redriven: [['failed', 'canceled'], 'queued'],
};
const FAILURES = {
  errored: 'ended with an error',
  expired: 'outlived its lease',
  abandoned: 'was dropped: its process is gone',
  timed_out: 'ran into its time limit',
};
const LOST = [...Object.keys(FAILURES), 'returned'];
const FINAL = ['done', 'failed', 'canceled'];
const REFUSALS = ['rejected', 'late', 'breach'];

export class Replay {
  // `whole`: the log is read from its beginning, so that states can be told.
  constructor(whole = true) {
    this.whole = whole;
    this.running = whole ? false : null; // null: nobody knows
    this.tasks = new Map();
    this.dependants = new Map(); // id → the tasks that wait for it
    this.entries = new Map(); // key → the Map that state/<key>.json shows
    this.refused = new Map(); // name in rejected/ → hashes that a file of that name may have, "" for any
    this.contracts = new Map(); // type and hash → contract
    this.counts = new Map();
    this.findings = [];
  }

  // Judge a batch as log.batches yields it, and take over what can be true of it.
  take({ events, path }) {
    const accepted = events.map(({ event }) => event).filter((event) => event.get('event') === 'accepted');
    this.around = { accepted, ids: new Set(accepted.map((event) => event.get('id'))), ended: new Set(), batches: new Set() };
    this.around.cycle = onCycles(accepted);
    for (const { event, line } of events) {
      const said = this.fault(event);
      if (said === null) this.apply(event);
      else this.findings.push({ code: 'log-event', place: path, line, message: said });
    }
  }

  fault(event) {
    if (!isEvent(event) || !isTime(event.get('time'))) return 'it does not meet its schema';
    const name = event.get('event');
    const idle = this.running === false && name !== 'started';
    this.running = name !== 'stopped';
    if (idle) return `${name} while no daemon runs`;
    return this.faultInBatch(event, name) ?? (this.whole ? this.faultInState(event, name) : null);
  }

  faultInBatch(event, name) {
    if (name === 'failed' && !this.around.ended.has(event.get('id'))) return 'failed without the end of a claim before it';
    if (name === 'batch') {
      const members = this.around.accepted.filter((each) => each.get('batch') === event.get('by'));
      if (members.length !== event.get('count')) return 'the batch does not count right';
    }
    if (name === 'accepted' && event.has('batch') && !this.around.batches.has(event.get('batch'))) {
      return 'a member of a batch that did not come';
    }
    return null;
  }

  faultInState(event, name) {
    const task = this.tasks.get(event.get('id'));
    if (name === 'accepted') return task ? 'accepted a second time' : this.faultOfAccepted(event);
    if (name === 'set') {
      const before = this.entries.get(event.get('key'))?.get('version') ?? 0;
      return event.get('version') === before + 1 ? null : `a version that does not follow ${before}`;
    }
    if (!(name in STEPS)) return null;
    if (task === undefined) return `${name} of a task that never was accepted`;
    if (!STEPS[name][0].includes(task.state)) return `${name} of a task that is ${task.state}`;
    if (event.has('attempt') && event.get('attempt') !== task.attempt) return `${name} of another attempt`;
    if (task.state === 'claimed' && event.get('agent') !== task.agent) return `${name} by another than the holder`;
    if (name === 'claimed' && task.unmet.size > 0) return 'claimed before what it waits for was done';
    return null;
  }

  faultOfAccepted(event) {
    const body = event.get('task');
    if (!this.contracts.has(`${body.get('type')} ${event.get('contract')}`)) return 'accepted under a contract that was not logged';
    const strange = (body.get('after') ?? []).find((id) => !this.tasks.has(id) && !this.around.ids.has(id));
    if (strange !== undefined) return `accepted after ${strange}, which nobody knows`;
    if (body.has('not_before') && !isTime(body.get('not_before'))) return 'not_before is no time';
    return this.around.cycle.has(event.get('id')) ? 'accepted, and waits for itself' : null;
  }

  apply(event) {
    const name = event.get('event');
    if (LOST.includes(name)) this.around.ended.add(event.get('id'));
    if (name === 'batch') this.around.batches.add(event.get('by'));
    this.count(name);
    if (name === 'canceled') this.count(event.has('agent') ? 'canceled from claimed' : 'canceled from queued');
    if (REFUSALS.includes(name)) this.noteRefusal(event);
    if (!this.whole) return;
    if (name === 'contract') this.noteContract(event);
    else if (name === 'accepted') this.accept(event);
    else if (name === 'set') this.entries.set(event.get('key'), entry(event));
    else if (name in STEPS) this.step(this.tasks.get(event.get('id')), event, name);
  }

  count(what) {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  noteContract(event) {
    const key = `${event.get('type')} ${event.get('sha256')}`;
    if (!this.contracts.has(key)) this.contracts.set(key, event.get('contract'));
  }

  accept(event) {
    const body = event.get('task');
    const task = {
      id: event.get('id'),
      seq: event.get('seq'),
      priority: body.get('priority'),
      queue: body.get('queue'),
      contract: this.contracts.get(`${body.get('type')} ${event.get('contract')}`),
      body,
      resources: body.get('resources') ?? [],
      unmet: new Set((body.get('after') ?? []).filter((id) => this.tasks.get(id)?.state !== 'done')),
      state: 'queued',
      attempt: 1,
      agent: null,
      delayed: body.has('not_before'),
      final: null,
      ended: new Map(),
      attempts: [],
      lastError: null,
      refusal: null,
    };
    this.tasks.set(task.id, task);
    for (const id of task.unmet) {
      if (!this.dependants.has(id)) this.dependants.set(id, []);
      this.dependants.get(id).push(task);
    }
  }

  step(task, event, name) {
    const before = task.state;
    task.state = STEPS[name][1];
    if (name === 'claimed') this.claim(task, event);
    else if (name === 'refused') task.refusal = event.get('reason');
    else if (before === 'claimed') endAttempt(task, event, name);
    if (LOST.includes(name) || name === 'canceled') task.attempt += 1;
    if (name === 'redriven') Object.assign(task, { seq: event.get('seq'), final: null, ended: new Map() });
    if (task.state !== 'claimed') task.agent = null;
    if (name in FAILURES) task.lastError = event.get('error') ?? lost(name, task.attempt - 1);
    if (name !== 'refused') task.delayed = event.has('delay');
    if (FINAL.includes(name)) task.final = event.get('seq');
    if (name === 'done') task.ended = new Map([['output', event.get('output')]]);
    if (name === 'failed') task.ended = new Map([['error', event.get('error')]]);
    if (name === 'done') for (const each of this.dependants.get(task.id) ?? []) each.unmet.delete(task.id);
  }

  claim(task, event) {
    task.agent = event.get('agent');
    task.refusal = null;
    task.attempts.push(new Map([
      ['attempt', event.get('attempt')],
      ['agent', task.agent],
      ['claimed', event.get('time')],
    ]));
  }

  // Remember under which names rejected/ may hold a refused file and its reason (SPEC 7.2, 7.4).
  noteRefusal(event) {
    const reason = event.get('reason');
    const told = reason.get('file').split('/').at(-1);
    const name = untold(told)?.toString('latin1') ?? '';
    const isKept = /^[ -~]{1,220}$/.test(name) && !name.endsWith('.reason.json');
    const stored = isKept ? name : `bad-${event.get('seq')}.json`;
    const stem = stored.replace(/\.json$/, '');
    this.allow(stored, '');
    this.allow(`${stem}.reason.json`, sha256(pretty(reason)));
    if (reason.get('code') === 'claim-unknown') this.allow(`${stem}.result.json`, '');
  }

  allow(name, hash) {
    if (!this.refused.has(name)) this.refused.set(name, new Set());
    this.refused.get(name).add(hash);
  }

  // Count the tasks in each state twice (P6): by what happened, and by where each is now.
  books() {
    const of = (...names) => names.reduce((sum, name) => sum + (this.counts.get(name) ?? 0), 0);
    const told = [
      of('accepted', 'redriven', ...LOST) - of('claimed', 'failed', 'canceled from queued'),
      of('claimed') - of(...LOST, 'done', 'canceled from claimed'),
      of('done'),
      of('failed', 'canceled') - of('redriven'),
    ];
    const kept = [['queued'], ['claimed'], ['done'], ['failed', 'canceled']].map(
      (states) => [...this.tasks.values()].filter((task) => states.includes(task.state)).length,
    );
    const sum = kept.reduce((one, other) => one + other);
    if (sum === of('accepted') && kept.every((count, at) => count === told[at])) return [];
    return [{ code: 'p6', place: 'log.jsonl', message: `by their events ${told}, by state ${kept}` }];
  }
}

function endAttempt(task, event, name) {
  const attempt = task.attempts.at(-1);
  attempt.set('ended', event.get('time'));
  attempt.set('outcome', name);
  for (const field of ['error', 'notes']) if (event.has(field)) attempt.set(field, event.get(field));
}

function lost(name, attempt) {
  return new Map([['code', name], ['message', `attempt ${attempt} ${FAILURES[name]}`]]);
}

function entry(event) {
  return new Map(['key', 'version', 'value', 'by', 'time'].map((field) => [field, event.get(field)]));
}

// Say whether a time, of the form that the schemas ask for, is on a day of the calendar.
function isTime(text) {
  const [year, month, day] = text.slice(0, 10).split('-').map(Number);
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  return year > 0 && date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
}
