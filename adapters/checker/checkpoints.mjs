// Checkpoints (SPEC 9.6): lines of the log by their hash, kept elsewhere, and what the log has in their places.

import { parse } from './json.mjs';
import { isCheckpoint } from './schema.mjs';

const NEWLINE = 0x0a;

// Collects the hashes of the lines that some checkpoints name, while the log is read.
export class Witness {
  constructor(checkpoints = []) {
    this.checkpoints = checkpoints;
    this.hashes = new Map();
    this.wanted = new Set(checkpoints.length ? [1, ...checkpoints.map((each) => each.seq)] : []);
  }

  see(batch) {
    for (const { event, hash } of batch.events) {
      if (this.wanted.has(event.get('seq'))) this.hashes.set(event.get('seq'), hash);
    }
  }

  // Return a finding for each checkpoint that the log does not bear out, at the log's last file.
  findings(place) {
    const first = this.hashes.get(1);
    const differs = ({ seq, hash, log }) => this.hashes.get(seq) !== hash || (first !== undefined && first !== log);
    return this.checkpoints.filter(differs).map(({ seq }) => ({
      code: 'log-checkpoint',
      place,
      message: `the log has not the line ${seq} that a checkpoint names`,
    }));
  }
}

// Read a file of checkpoints, one a line. Throws if one is none.
export function readCheckpoints(bytes) {
  const found = [];
  for (let at = 0; at < bytes.length; ) {
    const next = bytes.indexOf(NEWLINE, at) + 1 || bytes.length;
    const line = bytes.subarray(at, next);
    at = next;
    if (line.toString('latin1').trim() !== '') found.push(asCheckpoint(parse(line)));
  }
  if (found.length === 0) throw new Error('no checkpoint');
  return found;
}

function asCheckpoint(document) {
  if (!isCheckpoint(document)) throw new Error('this is no checkpoint');
  const seq = document.get('seq');
  return { seq: seq.value ?? seq, hash: document.get('hash'), log: document.get('log') };
}
