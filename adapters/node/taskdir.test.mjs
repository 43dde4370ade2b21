// What the library promises, on a root made by hand and without a daemon: node --test
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { beforeEach, afterEach, test } from "node:test";
import { setTimeout as rest } from "node:timers/promises";
import { Claim, Taskdir, TaskdirError } from "./taskdir.mjs";

let root, td;

beforeEach(() => {
  root = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), "a root é ")));
  for (const place of ["inbox", "ready/default", "ready/@me", "claimed", "done", "failed", "rejected"]) {
    fs.mkdirSync(join(root, place), { recursive: true });
  }
  fs.writeFileSync(join(root, "taskdir.json"), '{"protocol": 1}');
  td = new Taskdir(root);
});
afterEach(() => fs.rmSync(root, { recursive: true, force: true }));

function offer(seq, { place = "ready/default", ...fields } = {}) {
  const path = join(root, place, `5-${String(seq).padStart(12, "0")}.t${seq}.1.json`);
  fs.mkdirSync(join(root, place), { recursive: true });
  fs.writeFileSync(path, JSON.stringify({ id: `t${seq}`, attempt: 1, type: "echo", input: seq, ...fields }));
  return path;
}
const result = (path) => JSON.parse(fs.readFileSync(path.replace(/json$/, "result.json"), "utf8"));
const names = (place) => (fs.existsSync(join(root, place)) ? fs.readdirSync(join(root, place)).sort() : []);
const code = (wanted) => (error) => error instanceof TaskdirError && error.code === wanted;
const aborted = async (signal) => {
  while (!signal.aborted) await rest(10); // a claim by itself does not keep the process alive
};

test("submit publishes the whole message and never replaces", async () => {
  assert.equal(await td.submit({ type: "echo", input: "é" }, "one"), "one");
  assert.deepEqual(JSON.parse(fs.readFileSync(join(root, "inbox/one.json"), "utf8")), { type: "echo", input: "é" });
  await assert.rejects(td.submit("{}", "one"), code("taken"));
  fs.symlinkSync("nowhere", join(root, "inbox/link.json"));
  await assert.rejects(td.submit("{}", "link"), code("taken"));
  await assert.rejects(td.submit("", "two"), code("empty"));
  for (const bad of ["", "-a", "A", "a.b", "x".repeat(65), "é", 7]) {
    await assert.rejects(td.submit("{}", bad), code("usage"));
  }
  const minted = await Promise.all([1, 2, 3].map(() => td.submit({ type: "echo" })));
  assert.equal(new Set(minted).size, 3);
  assert.deepEqual(names("inbox"), ["link.json", "one.json", ...minted.map((id) => `${id}.json`).sort()]);
});

test("the root is the argument, $TASKDIR or a parent directory", () => {
  assert.throws(() => new Taskdir(join(root, "inbox")), code("no-root"));
  const [before, cwd] = [process.env.TASKDIR, process.cwd()];
  try {
    process.env.TASKDIR = root;
    assert.equal(new Taskdir().root, root);
    process.env.TASKDIR = "";
    process.chdir(join(root, "inbox"));
    assert.equal(new Taskdir().root, root);
    process.chdir("/");
    assert.throws(() => new Taskdir(), code("no-root"));
  } finally {
    process.chdir(cwd);
    if (before === undefined) delete process.env.TASKDIR;
    else process.env.TASKDIR = before;
  }
});

test("claim takes the first offer, one at a time", async () => {
  for (const stranger of ["README", ".5-000000000001.t.1.json", "5-1.t.1.json", "5-000000000001.t.01.json"]) {
    fs.writeFileSync(join(root, "ready/default", stranger), "{}");
  }
  fs.mkdirSync(join(root, "ready/default/0-000000000001.dir.1.json"));
  offer(12), offer(3);
  const claim = await td.claim("me");
  assert.deepEqual([claim.id, claim.attempt, claim.input], ["t3", 1, 3]);
  assert.equal(claim.path, join(root, "claimed/me/5-000000000003.t3.1.json"));
  await assert.rejects(td.claim("me"), code("unfinished"));
  await claim.finish();
  assert.equal((await td.claim("me")).id, "t12");
  assert.equal(await td.claim("you"), undefined);
  assert.equal(await td.claim("you", "absent"), undefined);
  await assert.rejects(td.claim("you", "@me"), code("usage"));
});

test("many agents in one process win each offer once", async () => {
  for (let seq = 1; seq <= 60; seq += 1) offer(seq);
  const drain = async (agent) => {
    const won = [];
    for (let claim; (claim = await td.claim(agent)); await claim.giveBack()) won.push(claim.id);
    return won;
  };
  const won = (await Promise.all([..."abcdef"].map(drain))).flat();
  assert.equal(won.length, 60);
  assert.equal(new Set(won).size, 60);
});

test("finish, fail, note, giveBack leave what SPEC says", async () => {
  for (const seq of [1, 2, 3, 4]) offer(seq);
  const [a, b, c, d] = await Promise.all(["a", "b", "c", "d"].map((agent) => td.claim(agent)));
  await a.note("so far\ud800");
  const notes = fs.readFileSync(a.path.replace(/json$/, "notes.jsonl"), "utf8");
  assert.match(notes, /^\{"time":"[^"]+Z","text":"so far\ufffd"\}\n$/);
  await a.finish({ n: [1] });
  assert.deepEqual(result(a.path), { status: "ok", output: { n: [1] } });
  await b.fail("x".repeat(9000), { code: "no-space", retry: true });
  const { error, retry } = result(b.path);
  assert.deepEqual([error.code, error.message.length, retry], ["no-space", 8192, true]);
  await c.finishJson("1.50");
  assert.equal(fs.readFileSync(c.path.replace(/json$/, "result.json"), "utf8"), '{"status":"ok","output":1.50}\n');
  await d.giveBack();
  assert.ok(!fs.existsSync(d.path));
  for (const claim of [a, b, c, d]) {
    assert.ok(claim.over);
    await assert.rejects(claim.finish(), code("usage"));
  }
  assert.deepEqual(names("claimed/a").filter((name) => name.startsWith(".")), []);
});

test("what is gone is never made again", async () => {
  for (const gesture of ["keep", "finish", "fail", "note", "giveBack"]) {
    offer(1);
    const claim = await td.claim("me");
    fs.unlinkSync(claim.path);
    await assert.rejects(claim[gesture]("said"), code("gone"), gesture);
    assert.deepEqual(names("claimed/me"), [], gesture);
    assert.ok(claim.signal.aborted);
    assert.ok(code("gone")(claim.signal.reason));
    await assert.rejects(Claim.resume(claim.path), code("gone"));
  }
  await assert.rejects(Claim.resume(join(root, "taskdir.json")), code("usage"));
  await assert.rejects(Claim.resume(offer(2)), code("usage")); // nobody claimed it
});

test("a claim renews itself, aborts when it is lost, and stops when it is over", async () => {
  offer(1, { lease_seconds: 1 });
  const claim = await td.claim("me");
  for (let n = 0; n < 2; n += 1) {
    fs.utimesSync(claim.path, 1, 1);
    while (fs.statSync(claim.path).mtimeMs < 5000) await rest(10);
  }
  fs.unlinkSync(claim.path);
  await aborted(claim.signal);
  assert.deepEqual(names("claimed/me"), []);
  offer(2, { lease_seconds: 1 });
  const left = await td.claim("me");
  left.leave();
  fs.utimesSync(left.path, 1, 1);
  await rest(700);
  assert.equal(fs.statSync(left.path).mtimeMs, 1000);
});

test("disposing gives back what has no result", async () => {
  const dispose = Symbol.asyncDispose ?? Symbol.for("nodejs.asyncDispose");
  offer(1), offer(2);
  const [finished, given] = [await td.claim("a"), await td.claim("b")];
  await finished.finish("x");
  await finished[dispose]();
  await given[dispose]();
  await given[dispose]();
  assert.deepEqual(names("claimed/a").length, 2);
  assert.deepEqual(names("claimed/b"), []);
});

test("wait finds the end, and its signal ends it", async () => {
  fs.writeFileSync(join(root, "done/a.json"), '{"output": 1}');
  fs.writeFileSync(join(root, "failed/b.json"), "{}");
  fs.writeFileSync(join(root, "rejected/c.reason.json"), '{"code": "late"}');
  assert.deepEqual(await td.wait("a"), { ok: true, path: join(root, "done/a.json"), document: { output: 1 } });
  assert.equal((await td.wait("b")).ok, false);
  assert.equal((await td.wait("c")).document.code, "late");
  fs.writeFileSync(join(root, "inbox/c.json"), "{}"); // the repair is not judged yet
  await assert.rejects(td.wait("c", { signal: AbortSignal.timeout(20) }), { name: "TimeoutError" });
  const later = td.wait("d");
  fs.writeFileSync(join(root, "done/d.json"), "{}");
  assert.equal((await later).ok, true);
});

test("work: outputs, errors, what is its own affair, and what went before", async () => {
  for (const seq of [1, 2, 3, 4]) offer(seq);
  const refused = offer(8, { place: "claimed/me" });
  fs.writeFileSync(refused.replace(/json$/, "refused.json"), "{}");
  offer(9, { place: "claimed/me" });
  const [seen, told] = [[], []];
  const handler = async (claim) => {
    seen.push(claim.input);
    if (claim.input === 2) throw Object.assign(new Error("disk full"), { code: "ENOSPC" });
    if (claim.input === 3) await claim.giveBack();
    if (claim.input === 4) await claim.fail("no");
    return claim.input === 1 ? undefined : "output";
  };
  const onError = (error, claim) => told.push([error.message, claim.id]);
  assert.equal(await td.work("me", handler, { idle: 0, onError }), 5);
  assert.deepEqual(seen, [9, 1, 2, 3, 4]);
  assert.deepEqual(told, [["disk full", "t2"]]);
  const found = (seq) => result(join(root, `claimed/me/5-00000000000${seq}.t${seq}.1.json`));
  assert.deepEqual(found(1), { status: "ok", output: null });
  assert.deepEqual(found(2), { status: "error", error: { code: "enospc", message: "disk full" }, retry: true });
  assert.deepEqual(found(4).error, { message: "no" });
  assert.deepEqual(found(8).error.code, "refused");
  assert.deepEqual(found(9).output, "output");
  assert.ok(!names("claimed/me").includes("5-000000000003.t3.1.json"));
});

test("work: a lost claim aborts the handler's signal, and nothing is handed in", async () => {
  offer(1);
  const told = [];
  const handler = async (claim) => {
    fs.unlinkSync(claim.path);
    await aborted(claim.signal);
    return "late";
  };
  assert.equal(await td.work("me", handler, { tasks: 1, onError: (error) => told.push(error.code) }), 1);
  assert.deepEqual(told, ["gone"]);
  assert.deepEqual(names("claimed/me"), []);
});

test("work: a root that is gone stays gone", async () => {
  fs.rmSync(root, { recursive: true });
  await assert.rejects(td.work("me", () => {}), { code: "ENOENT" });
  assert.ok(!fs.existsSync(root));
});

test("work: its signal ends it after the task in hand", async () => {
  offer(1), offer(2);
  const end = new AbortController();
  const handler = async () => {
    end.abort();
    await rest(20);
    return "done";
  };
  assert.equal(await td.work("me", handler, { signal: end.signal }), 1);
  assert.equal(result(join(root, "claimed/me", basename(offer(1)))).output, "done");
  const idle = new AbortController();
  const nothing = td.work("you", () => {}, { queue: "absent", signal: idle.signal });
  idle.abort();
  assert.equal(await nothing, 0);
});
