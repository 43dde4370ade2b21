// A taskdir from Node: every gesture of an agent, in one file, without any dependency. The types are in taskdir.d.mts,
// the protocol in SPEC.md (its sections are named below). Node cannot lock a file, so a claim renews its lease instead.
//
// Where a file lies says what is true; only a link, a rename or an unlink changes that. A name that is gone is no error
// but a lost race, and nothing here makes a file again that somebody else took away.
import { randomBytes } from "node:crypto";
import { existsSync, realpathSync } from "node:fs";
import * as fs from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { setTimeout as rest } from "node:timers/promises";

const WORD = /^[a-z0-9][a-z0-9_-]{0,63}$/;
const OFFER = /^[0-9]-[0-9]{12}\.([a-z0-9][a-z0-9_-]{0,63})\.([1-9][0-9]{0,8})\.json$/;
const LOOK = 300; // milliseconds between two looks whether a claim is still there
const NO_LINKS = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"]);
const dispose = Symbol.asyncDispose ?? Symbol.for("nodejs.asyncDispose");

/** What went wrong; `code` is one of usage, no-root, empty, taken, gone, unfinished, failed, or the system's own. */
export class TaskdirError extends Error {
  name = "TaskdirError";
  constructor(code, message, options) {
    super(message, options);
    this.code = code;
  }
}

/** A root: submit, claim, wait, work. It keeps nothing open. */
export class Taskdir {
  /** Uses `root`, else $TASKDIR, else the nearest parent directory that holds taskdir.json. */
  constructor(root = process.env.TASKDIR || undefined) {
    this.root = find(root);
  }

  /** Offers a message (6.2), an object or ready-made JSON, and never replaces another; returns its id. */
  async submit(message, id = mint()) {
    named(id);
    const data = typeof message === "string" || message instanceof Uint8Array ? message : JSON.stringify(message);
    if (data === undefined || data.length === 0) throw new TaskdirError("empty", "the message is empty");
    const inbox = join(this.root, "inbox");
    const aside = join(inbox, `.${id}.${random()}`);
    const path = join(inbox, `${id}.json`);
    try {
      await write(aside, data);
      if (!(await linkNew(aside, path))) throw new TaskdirError("taken", `${path} is there already`);
      await sync(inbox);
    } finally {
      await fs.rm(aside, { force: true });
    }
    return id;
  }

  /**
   * Takes the first task of a queue that nobody else gets (7.4); undefined when there is none, or the agent is benched.
   * Throws `unfinished` while the agent has a claim without a result: resume it, or delete it.
   */
  async claim(agent, queue = "default") {
    checkNames(agent, queue);
    const [held] = await this.unfinished(agent);
    if (held) throw new TaskdirError("unfinished", `unfinished, resume or delete it: ${held}`);
    const mine = join(this.root, "claimed", agent);
    await happens(["EEXIST"], fs.mkdir(mine)); // a root that is gone stays gone
    const ready = join(this.root, "ready", queue);
    for (let names = await offers(ready); names.length > 0; names = await offers(ready)) {
      if (await isBenched(mine)) return undefined;
      for (const name of names) {
        const path = join(mine, name);
        if (!(await renamed(join(ready, name), path))) continue; // somebody was faster
        const claim = await Claim.of(path);
        if (claim) return claim;
        await unlinked(path); // torn by a power cut, or taken back already: the daemon offers it again
      }
    }
    return undefined;
  }

  /** The paths of the agent's claims that have no result beside them, in byte order. */
  async unfinished(agent) {
    named(agent);
    const mine = join(this.root, "claimed", agent);
    const there = new Set(await list(mine));
    const names = (await offers(mine)).filter((name) => !there.has(`${name.slice(0, -5)}.result.json`));
    return names.map((name) => join(mine, name));
  }

  /**
   * Waits for the end of a task: `{ ok, path, document }`, of its record, or of the reason if it was refused.
   * A time limit is a signal: `{ signal: AbortSignal.timeout(60_000) }`; its reason is then thrown.
   */
  async wait(id, { signal } = {}) {
    named(id);
    const file = `${id}.json`;
    for (let pause = 10; ; pause = Math.min(pause * 1.2, 250)) {
      // The reason of an earlier refusal is void while a message of that name waits in inbox/.
      const refused = existsSync(join(this.root, "inbox", file)) ? [] : [["rejected", `${id}.reason.json`]];
      for (const [place, name] of [["done", file], ["failed", file], ...refused]) {
        const path = join(this.root, place, name);
        if (existsSync(path)) return { ok: place === "done", path, document: await json(path) };
      }
      signal?.throwIfAborted();
      await rest(pause, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }

  /**
   * Does one task after the other by `handler(claim)`, whose value becomes the output; returns how many.
   *
   * First it takes up what the agent left unfinished. What the handler throws is handed in as an error, to be retried,
   * and told to `onError`; a handler may also finish the claim, or give it back, by itself. `claim.signal` aborts when
   * the claim is lost. Ends after `tasks` tasks, after `idle` milliseconds without one, and once `signal` aborts, after
   * the task in hand. Waits for no verdict: an attempt whose result was refused is failed before the next claim.
   */
  async work(agent, handler, { queue = "default", tasks = Infinity, idle = Infinity, signal, onError } = {}) {
    checkNames(agent, queue);
    let count = 0;
    let since;
    for (let pause = 10; count < tasks && !signal?.aborted; ) {
      const claim = await this.#next(agent, queue);
      if (claim) {
        count += 1;
        since = undefined;
        pause = 10;
        await attend(claim, handler, onError ?? ((error, { path }) => console.error(`taskdir: ${path}:`, error)));
        continue;
      }
      since ??= performance.now();
      if (performance.now() - since >= idle) break;
      pause = Math.min(pause * 1.2, 250);
      await rest(pause, undefined, { signal }).catch(() => {});
    }
    return count;
  }

  async #next(agent, queue) {
    for (const path of await this.unfinished(agent)) {
      if (await isLocked(path)) continue; // a twin of the same name is at it, in a language that can lock
      const claim = await Claim.of(path);
      if (!claim) continue;
      const refused = existsSync(`${stem(path)}.refused.json`);
      if (refused) await unlessGone(claim.fail("the result was refused", { code: "refused", retry: true }));
      else if (await unlessGone(claim.keep())) return claim;
    }
    try {
      return await this.claim(agent, queue);
    } catch (error) {
      if (error.code === "unfinished") return undefined; // a twin of the same name was faster
      throw error;
    }
  }
}

/** A task that is yours until you finish it, give it back, or lose it. Disposing of it before that gives it back. */
export class Claim {
  #lost = new AbortController();
  #timer;
  #over = false;

  /** Goes on with a claimed file, after a restart or from a command line. Throws `gone`. */
  static async resume(path) {
    const held = await own(path);
    const claim = (await touch(held)) && (await Claim.of(held)); // nobody knows how old its lease is
    if (!claim) throw gone(path);
    return claim;
  }

  /** @private Reads a claimed file and keeps its lease; undefined if it is gone or no whole document. */
  static async of(path) {
    const task = await json(path);
    return task && new Claim(path, task);
  }

  /** @private */
  constructor(path, task) {
    [, this.id, this.attempt] = OFFER.exec(basename(path));
    this.attempt = Number(this.attempt);
    this.path = path;
    this.task = task;
    this.signal = this.#lost.signal;
    const third = ((task.lease_seconds ?? 1800) * 1000) / 3;
    let renewed = performance.now();
    let busy = false;
    const look = async () => {
      if (busy) return;
      busy = true;
      const due = performance.now() - renewed + LOOK > third; // by the next look it would be late
      const there = await (due ? touch(path) : exists(path)).catch(() => true); // not sure is not gone
      if (due) renewed = performance.now();
      busy = false;
      if (!there && !this.#over) this.#lose();
    };
    this.#timer = setInterval(look, Math.min(third, LOOK)).unref();
  }

  /** The task's input. */
  get input() {
    return this.task.input;
  }

  /** Whether it is finished, given back, or known to be lost. */
  get over() {
    return this.#over;
  }

  /** Renews the lease now (7.5). Throws `gone`. */
  async keep() {
    await this.#mine();
    if (!(await touch(this.path))) throw this.#lose();
  }

  /** Hands in the output (7.8), any JSON value. Throws `gone`. */
  async finish(output = null) {
    await this.finishJson(JSON.stringify(output) ?? "null");
  }

  /** Hands in an output that is JSON already, byte for byte: a string or a Buffer. */
  async finishJson(output) {
    const parts = ['{"status":"ok","output":', output, "}\n"];
    await this.#handIn(Buffer.concat(parts.map((part) => Buffer.from(part))));
  }

  /** Hands in an error; `retry` if another attempt may help. Throws `gone`. */
  async fail(message, { code, retry = false } = {}) {
    if (code !== undefined) named(code);
    const error = { code, message: message.slice(0, 8192).toWellFormed() || "no message" };
    await this.#handIn(`${JSON.stringify({ status: "error", error, retry })}\n`);
  }

  /** Lets somebody else do it, at once (7.9). Throws `gone`. */
  async giveBack() {
    await this.#mine();
    this.#end();
    if (!(await unlinked(this.path))) throw gone(this.path);
  }

  /** Appends a line for people, which renews the lease too (7.7). Throws `gone`. */
  async note(text) {
    await this.#mine();
    const line = JSON.stringify({ time: new Date().toISOString(), text: text.toWellFormed() });
    const file = await fs.open(`${stem(this.path)}.notes.jsonl`, "a");
    await file.appendFile(`${line}\n`).finally(() => file.close());
  }

  /** Keeps it no longer and leaves it as it is; its lease goes on. */
  leave() {
    this.#end();
  }

  async [dispose]() {
    if (this.#over) return;
    this.#end();
    if (!existsSync(`${stem(this.path)}.result.json`)) await unlinked(this.path);
  }

  async #mine() {
    if (this.#over && !this.signal.aborted) throw new TaskdirError("usage", `this claim is over: ${this.path}`);
    if (this.#over || !(await exists(this.path))) throw this.#lose();
  }

  async #handIn(data) {
    await this.#mine();
    const mine = dirname(this.path);
    const aside = join(mine, `.${basename(stem(this.path))}.${random()}`);
    try {
      await write(aside, data);
      this.#end(); // before the rename: once the result is accepted, the claimed file goes, and that is no loss
      await fs.rename(aside, `${stem(this.path)}.result.json`);
    } catch (error) {
      await fs.rm(aside, { force: true });
      throw error;
    }
    await sync(mine);
  }

  #end() {
    this.#over = true;
    clearInterval(this.#timer);
  }

  #lose() {
    this.#end();
    const error = gone(this.path);
    this.#lost.abort(error);
    return error;
  }
}

/** Whether a result lies beside it, be it by a command that the handler ran: that stands. */
const handedIn = (claim) => existsSync(`${stem(claim.path)}.result.json`);

async function attend(claim, handler, onError) {
  const awake = setInterval(() => {}, 1 << 30); // the claim's own timer does not keep the process alive
  try {
    const output = await handler(claim);
    claim.signal.throwIfAborted();
    if (!claim.over && !handedIn(claim)) await claim.finish(output);
  } catch (error) {
    const code = String(error?.code ?? error?.name ?? "error").toLowerCase();
    const told = { code: WORD.test(code) ? code : "error", retry: true };
    if (!claim.over && !handedIn(claim)) await unlessGone(claim.fail(String(error?.message ?? error), told));
    onError(error, claim);
  } finally {
    clearInterval(awake);
    claim.leave();
  }
}

function find(root) {
  if (root !== undefined) {
    if (existsSync(join(root, "taskdir.json"))) return resolve(root);
    throw new TaskdirError("no-root", `no taskdir.json in ${root}`);
  }
  for (let path = process.cwd(); ; path = dirname(path)) {
    if (existsSync(join(path, "taskdir.json"))) return path;
    if (path !== dirname(path)) continue;
    throw new TaskdirError("no-root", "no taskdir.json here or above: set TASKDIR, or run `taskdir init`");
  }
}

/** The absolute path of a claimed file that is there. */
async function own(path) {
  if (!OFFER.test(basename(path))) throw new TaskdirError("usage", `not the name of a task: ${path}`);
  if (!existsSync(dirname(path))) throw gone(path);
  const mine = realpathSync.native(dirname(path), "buffer");
  if (!/\/claimed\/[^/]+$/.test(mine.toString("latin1"))) {
    throw new TaskdirError("usage", `not in claimed/AGENT/: ${path}`);
  }
  const there = await fs.lstat(path).catch(() => undefined);
  if (!there?.isFile()) throw gone(path);
  const whole = mine.toString(); // unless it is no UTF-8
  return Buffer.from(whole).equals(mine) ? join(whole, basename(path)) : resolve(path);
}

function named(word) {
  if (typeof word !== "string" || !WORD.test(word)) {
    throw new TaskdirError("usage", `not a name of 1 to 64 of a-z 0-9 _ -: ${JSON.stringify(word)}`);
  }
}

function checkNames(agent, queue) {
  named(agent);
  named(queue.replace(/^@/, ""));
  if (queue.startsWith("@") && queue !== `@${agent}`) {
    throw new TaskdirError("usage", `the queue ${queue} is for that agent alone`);
  }
}

const gone = (path) => new TaskdirError("gone", `gone, it is no longer yours, stop: ${path}`);
const stem = (path) => path.slice(0, -".json".length);
const random = () => randomBytes(6).toString("hex");
const mint = () => `t-${Date.now().toString(16).padStart(12, "0")}-${random()}`;

/** Says false for what throws one of these codes: a race that was lost, or a file that is gone, is a value. */
const happens = (codes, promise) => promise.then(() => true, (error) => {
  if (codes.includes(error.code)) return false;
  throw error;
});
const exists = (path) => happens(["ENOENT", "ENOTDIR"], fs.lstat(path));
const unlinked = (path) => happens(["ENOENT", "ENOTDIR"], fs.unlink(path));
const touch = (path) => happens(["ENOENT", "ENOTDIR"], fs.utimes(path, new Date(), new Date()));
const isBenched = async (mine) => ((await fs.stat(mine)).mode & 0o200) === 0; // root could write all the same
const unlessGone = (promise) => happens(["gone"], promise);

async function renamed(from, to) {
  const benchedNow = async (error) => {
    if (error.code === "EACCES" && (await isBenched(dirname(to)))) return false; // in this very moment
    throw error;
  };
  if (await happens(["ENOENT"], fs.rename(from, to)).catch(benchedNow)) return true;
  if (await isBenched(dirname(to))) return false;
  if (await exists(from)) throw new TaskdirError("ENOENT", `cannot move ${from} to ${to}`);
  return false;
}

/** The names of files in a directory, none if it is not there. Names that count are ASCII: this is their byte order. */
async function list(path) {
  const entries = await fs.readdir(path, { withFileTypes: true }).catch((error) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  return entries.filter((entry) => entry.isFile()).map((entry) => entry.name).sort();
}

async function offers(path) {
  return (await list(path)).filter((name) => OFFER.test(name));
}

/** Reads a JSON object; undefined when there is none: gone, or torn by a power cut. */
async function json(path) {
  try {
    const found = JSON.parse(await fs.readFile(path, "utf8"));
    return typeof found === "object" && found !== null ? found : undefined;
  } catch (error) {
    if (error.code === "ENOENT" || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

async function write(path, data) {
  const file = await fs.open(path, "wx");
  try {
    await file.writeFile(data);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Gives a file a second name, which never replaces; where there are no links: look, then rename. */
async function linkNew(from, to) {
  try {
    await fs.link(from, to);
  } catch (error) {
    if (error.code === "EEXIST") return false;
    if (!NO_LINKS.has(error.code)) throw error;
    if (await exists(to)) return false;
    await fs.rename(from, to);
  }
  return true;
}

/** Whether Linux knows of an exclusive flock on a file (7.6); elsewhere as if there were none. */
export async function isLocked(path) {
  try {
    const { dev, ino } = await fs.stat(path, { bigint: true });
    const [major, minor] = [((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn), (dev & 0xffn) | ((dev >> 12n) & ~0xffn)];
    const file = ` ${[major, minor].map((part) => part.toString(16).padStart(2, "0")).join(":")}:${ino} `;
    const lines = (await fs.readFile("/proc/locks", "latin1")).split("\n");
    return lines.some((line) => / FLOCK .* WRITE /.test(line) && line.includes(file));
  } catch {
    return false;
  }
}

/** Makes the names in a directory last through a power cut, where the system can. */
async function sync(path) {
  const directory = await fs.open(path, "r").catch(() => undefined);
  await directory?.sync().catch(() => {});
  await directory?.close();
}
