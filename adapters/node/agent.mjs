#!/usr/bin/env node
// The command line of adapters/CONTRACT.md, section 1, on taskdir.mjs.
import { spawn } from "node:child_process";
import * as fs from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { Claim, isLocked, Taskdir, TaskdirError } from "./taskdir.mjs";

const USAGE = {
  submit: "submit [ID] <MESSAGE",
  claim: "claim AGENT [QUEUE]",
  keep: "keep PATH",
  finish: "finish PATH [FILE | -]",
  fail: "fail PATH [CODE] MESSAGE [--retry]",
  "give-back": "give-back PATH",
  note: "note PATH TEXT",
  wait: "wait ID [SECONDS]",
  hold: "hold PATH CMD...",
  work: "work AGENT [QUEUE] [--tasks N] [--idle SECONDS] [-- CMD...]",
};
const EXITS = { usage: 2, empty: 65, gone: 66, "no-root": 66, taken: 73, unfinished: 75 };

const verbs = {
  submit: [0, 1, async (id) => show(await root().submit(await stdin(), id))],
  claim: [1, 2, async (agent, queue) => {
    const claim = await root().claim(agent, queue);
    if (!claim) return tell(`nothing to claim in ready/${queue ?? "default"}`, 75);
    show(claim.path);
  }],
  keep: [1, 1, async (path) => (await Claim.resume(path)).keep()],
  finish: [1, 2, async (path, source) => {
    const output = source === undefined ? Buffer.from("null") : source === "-" ? await stdin() : read(source);
    if (blank(output)) throw new TaskdirError("empty", "the output is empty");
    await (await Claim.resume(path)).finishJson(output);
  }],
  fail: [2, 4, async (path, ...words) => {
    const retry = words.at(-1) === "--retry" && words.pop() !== undefined;
    const message = words.pop();
    if (words.length > 1 || !message || message === "--retry") throw usage("fail");
    await (await Claim.resume(path)).fail(message, { code: words[0], retry });
  }],
  "give-back": [1, 1, async (path) => (await Claim.resume(path)).giveBack()],
  note: [2, 2, async (path, text) => (await Claim.resume(path)).note(text)],
  wait: [1, 2, async (id, seconds) => {
    const limit = seconds === undefined ? undefined : Math.min(1000 * number(seconds, "wait"), 2 ** 31 - 1);
    const signal = limit === undefined ? undefined : AbortSignal.timeout(limit);
    try {
      const { ok, path } = await root().wait(id, { signal });
      show(path);
      return ok ? 0 : 1;
    } catch (error) {
      if (error !== signal?.reason) throw error;
      return tell(`${id} is not done after ${seconds} s`, 124);
    }
  }],
  hold: [2, Infinity, async (path, ...command) => {
    const claim = await Claim.resume(path);
    if (await isLocked(claim.path)) return tell(`another process holds ${path}`, 75);
    process.on("SIGINT", () => {}); // Ctrl-C at a terminal is the command's affair: it gets it, too
    const { code, signal } = await run(command, { stdio: "inherit" }, (child) => {
      process.on("SIGTERM", () => child.kill("SIGTERM"));
    });
    claim.leave();
    return code ?? 128 + constants.signals[signal];
  }],
  work: [1, Infinity, async (agent, ...words) => {
    const at = words.indexOf("--");
    const [ahead, command] = at < 0 ? [words, []] : [words.slice(0, at), words.slice(at + 1)];
    const queue = ahead.length > 0 && !ahead[0].startsWith("--") ? ahead.shift() : "default";
    const limits = {};
    while (ahead.length > 1 && ["--tasks", "--idle"].includes(ahead[0])) {
      limits[ahead.shift().slice(2)] = number(ahead.shift(), "work");
    }
    if (ahead.length > 0 || (at >= 0 && command.length === 0) || limits.tasks === 0) throw usage("work");
    const end = new AbortController();
    for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => end.abort());
    const handler = (claim) => (command.length > 0 ? carryOut(claim, command) : claim.finishJson(read(claim.path)));
    const { tasks, idle = Infinity } = limits;
    const onError = (error) => tell(error.message);
    await root().work(agent, handler, { queue, tasks, idle: 1000 * idle, signal: end.signal, onError });
  }],
};

/** Runs the command for one task and hands in what came of it. Once the claim is lost, the command is asked to end. */
async function carryOut(claim, command) {
  const aside = fs.mkdtempSync(join(tmpdir(), "taskdir-"));
  const [task, output] = [fs.openSync(claim.path, "r"), fs.openSync(join(aside, "output"), "w+")];
  try {
    const facts = { TASKDIR_TASK: claim.path, TASKDIR_ID: claim.id, TASKDIR_ATTEMPT: String(claim.attempt) };
    const options = { stdio: [task, output, "inherit"], env: { ...process.env, ...facts }, signal: claim.signal };
    const { code, signal } = await run(command, options);
    if (claim.signal.aborted) return;
    const beside = (ending) => fs.existsSync(claim.path.replace(/\.json$/, ending));
    if (beside(".result.json")) return claim.leave(); // the command handed it in itself: that stands
    if (beside(".refused.json")) return await claim.fail("the result was refused", { code: "refused", retry: true });
    const how = signal ? `signal-${constants.signals[signal]}` : `exit-${code}`;
    if (code === 0) {
      const said = fs.readFileSync(join(aside, "output"));
      await claim.finishJson(blank(said) ? "null" : said);
    } else if (code === 75) await claim.giveBack();
    else await claim.fail(`${command[0]} ended with ${how}`, { code: how, retry: true });
  } finally {
    fs.closeSync(task);
    fs.closeSync(output);
    fs.rmSync(aside, { recursive: true, force: true });
  }
}

/**
 * Runs a command to its end: `{ code, signal }`. Given a signal, it runs in a session of its own: Ctrl-C at a terminal
 * ends the worker alone, and the signal ends the command with its children.
 */
function run([program, ...words], { signal, ...options }, started = () => {}) {
  return new Promise((over) => {
    const child = spawn(program, words, { ...options, detached: signal !== undefined });
    started(child);
    const end = () => {
      try {
        process.kill(-child.pid, "SIGTERM");
      } catch {} // it has just ended
    };
    signal?.addEventListener("abort", end);
    child.on("error", (error) => {
      tell(`cannot run the command: ${error.message}`);
      over({ code: error.code === "ENOENT" ? 127 : 126 }); // as a shell has it
    });
    child.on("exit", (code, killedBy) => {
      signal?.removeEventListener("abort", end);
      over({ code, signal: killedBy });
    });
  });
}

const usage = (verb) => new TaskdirError("usage", `usage: ${USAGE[verb]}`);
const blank = (data) => !/\S/.test(data.toString("latin1"));

function number(text, verb) {
  if (!/^[0-9]{1,9}$/.test(text)) throw usage(verb);
  return Number(text);
}

function read(source) {
  try {
    return fs.readFileSync(source);
  } catch (error) {
    throw new TaskdirError("gone", `cannot read the output: ${error.message}`);
  }
}

async function stdin() {
  const pieces = [];
  for await (const piece of process.stdin) pieces.push(piece);
  return Buffer.concat(pieces);
}

function tell(words, code) {
  for (const line of words.split("\n")) process.stderr.write(`taskdir: ${line}\n`);
  return code;
}

// --- paths that are no UTF-8 -----------------------------------------------------------------------------------------
// Node's strings cannot hold them, so a directory of such a name is opened and goes by /proc/PID/fd/N: Linux alone.
const aliases = new Map();
const LOSSY = "\ufffd";

function alias(directory) {
  const text = directory.toString();
  if (Buffer.from(text).equals(directory)) return text;
  const name = `/proc/${process.pid}/fd/${fs.openSync(directory, "r")}`;
  aliases.set(name, fs.realpathSync.native(directory, "buffer"));
  return name;
}

/** The words of the command line, those that are paths in such a way that the file is found. */
function commandLine() {
  const words = process.argv.slice(2);
  if (!words.some((word) => word.includes(LOSSY))) return words;
  const raw = nulSeparated("/proc/self/cmdline").slice(-words.length);
  const reach = (n) => {
    const slash = raw[n].lastIndexOf("/");
    if (slash > 0) words[n] = `${alias(raw[n].subarray(0, slash))}/${raw[n].subarray(slash + 1)}`;
  };
  if (["keep", "finish", "fail", "give-back", "note", "hold"].includes(words[0]) && words.length > 1) reach(1);
  if (words[0] === "finish" && words.length > 2) reach(2);
  return words;
}

function root() {
  const named = process.env.TASKDIR;
  if (!(named || process.cwd()).includes(LOSSY)) return new Taskdir();
  let here = named
    ? nulSeparated("/proc/self/environ").find((word) => word.toString().startsWith("TASKDIR=")).subarray(8)
    : fs.readlinkSync("/proc/self/cwd", "buffer");
  while (!named && here.length > 0 && !fs.existsSync(Buffer.concat([here, Buffer.from("/taskdir.json")]))) {
    here = here.subarray(0, Math.max(here.lastIndexOf("/"), 0));
  }
  return new Taskdir(alias(here));
}

function nulSeparated(path) {
  const data = fs.readFileSync(path).toString("latin1");
  return data.split("\0").slice(0, -1).map((word) => Buffer.from(word, "latin1"));
}

function show(path) {
  const [name, directory] = [...aliases].find(([name]) => path.startsWith(`${name}/`)) ?? ["", Buffer.alloc(0)];
  let data = Buffer.concat([directory, Buffer.from(`${path.slice(name.length)}\n`)]);
  while (data.length > 0) data = data.subarray(fs.writeSync(1, data)); // an error is known at once
}

async function main([verb = "help", ...words]) {
  if (["help", "-h", "--help"].includes(verb)) return show(Object.values(USAGE).join("\n"));
  try {
    if (!Object.hasOwn(verbs, verb)) throw new TaskdirError("usage", `no such verb: ${verb} (see help)`);
    const [least, most, gesture] = verbs[verb];
    if (words.length < least || words.length > most) throw usage(verb);
    return await gesture(...words);
  } catch (error) {
    if (!(error instanceof TaskdirError) && error.syscall === undefined) throw error;
    return tell(error.message, EXITS[error.code] ?? 73);
  }
}

process.exitCode = await main(commandLine());
