// The bytes of what the daemon writes for a task (SPEC 6.4, 6.6).

import { compact, pretty } from './json.mjs';
import { sha256 } from './log.mjs';

// Build the bytes of a task's record (SPEC 6.6).
export function recordBytes(task) {
  const made = [['kind', 'record'], ['id', task.id], ['state', task.state], ['task', task.body], ...task.ended];
  return pretty(new Map([...made, ['attempts', task.attempts]]));
}

export function stemOf(task) {
  return `${task.priority}-${String(task.seq).padStart(12, '0')}.${task.id}.${task.attempt}`;
}

// Build the bytes of a queued task's offer (SPEC 6.4).
export function offerBytes(replay, task, contextBytes) {
  const context = new Map();
  const files = new Map();
  let left = contextBytes;
  for (const id of task.body.get('after') ?? []) {
    const done = replay.tasks.get(id);
    const output = done.ended.get('output');
    left -= compact(output).length;
    if (left >= 0) context.set(id, output);
    else files.set(id, new Map([['path', `done/${id}.json`], ['sha256', sha256(recordBytes(done))]]));
  }
  const made = new Map([
    ['id', task.id],
    ['attempt', task.attempt],
    ['type', task.body.get('type')],
    ['input', task.body.get('input')],
    ['context', context],
    ['lease_seconds', task.body.get('lease_seconds')],
    ['result_file', `${stemOf(task)}.result.json`],
  ]);
  if (files.size > 0) made.set('context_files', files);
  const schema = task.contract.get('output') ?? null;
  if (schema !== null) made.set('output_schema', schema);
  if (task.lastError !== null) made.set('last_error', task.lastError);
  return `${compact(made)}\n`;
}
