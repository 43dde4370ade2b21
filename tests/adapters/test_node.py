"""adapters/node: its own tests, what npm packs, the types under tsc, its README at a live root, paths of any bytes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from adapters.live import conforms
from adapters.readme import ADAPTERS, drain, example

HERE = ADAPTERS / "node"
OFFLINE = ["--offline", "--no-audit", "--no-fund", "--loglevel=error"]
TYPESCRIPT = "typescript@5.9"
STRICT = "--strict --noUncheckedIndexedAccess --exactOptionalPropertyTypes --target es2022 --module nodenext".split()
SAMPLE = """
import { Claim, Taskdir, TaskdirError, type Ended, type Message, type Offer } from "taskdir";

const td: Taskdir = new Taskdir();
const message: Message = { type: "echo", input: { text: "hi" }, after: [], "x-note": 1 };
const id: string = await td.submit(message);

async function hold(): Promise<string> {
  await using claim = await td.claim<{ text: string }>("typed");
  if (claim === undefined) return "none";
  const text: string = claim.input.text;
  const task: Offer<{ text: string }> = claim.task;
  const signal: AbortSignal = claim.signal;
  await claim.note(`${text} ${task.attempt} ${signal.aborted}`);
  return claim.path;
}

export function wrong(claim: Claim): void { // compiled, never called
  // @ts-expect-error a task has a type
  void td.submit({ input: 1 });
  // @ts-expect-error no such field
  void td.submit({ type: "echo", prioritty: 1 });
  // @ts-expect-error claims come from claim, resume and work
  new Claim(claim.path, claim.task);
  // @ts-expect-error read-only
  claim.id = "other";
  // @ts-expect-error there is no such option
  void td.work("typed", () => 1, { patience: 1 });
}

const held = await hold();
const count: number = await td.work<{ text: string }>("typed", ({ input }) => input.text.length, {
  idle: 0,
  onError: (error: unknown, claim: Claim) => console.error(claim.id, error),
});
try {
  const ended: Ended = await td.wait(id, { signal: AbortSignal.timeout(0) });
  console.log(ended.document);
} catch (error) {
  if (error instanceof TaskdirError && error.code === "gone") throw error;
}
await Claim.resume(held).catch((error: TaskdirError) => console.log(JSON.stringify([error.code, count])));
"""


def run(*argv: str | bytes | Path, cwd: Path, **env: str) -> str:
    """Run a command to its end; returns its stdout."""
    # npm's own settings of a caller must not reach into the test, nor a root.
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("npm_", "TASKDIR"))}
    done = subprocess.run(argv, cwd=cwd, env=clean | env, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, f"{argv!r}\n{done.stdout.decode()}\n{done.stderr.decode()}"
    return done.stdout.decode()


def needs(*tools: str) -> None:
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"NOT TESTED: the Node adapter, since this machine has no {tool}")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").partition(".")[0]) < 20:
        pytest.skip(f"NOT TESTED: the Node adapter, since this machine has Node {version}, older than 20")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory in which the package is installed as npm would install it from the registry."""
    needs("node", "npm")
    [packed] = json.loads(run("npm", "pack", "--json", "--pack-destination", tmp_path, HERE, cwd=tmp_path))
    (tmp_path / "package.json").write_text('{"private": true, "type": "module"}')
    run("npm", "install", *OFFLINE, tmp_path / packed["filename"], cwd=tmp_path)
    return tmp_path


def test_its_own_tests_pass() -> None:
    needs("node")
    said = run("node", "--test", "--test-reporter=tap", cwd=HERE)
    assert "\n# fail 0\n" in said
    assert "\n# pass 0\n" not in said


MUTANTS = {
    "submit": ("await fs.link(from, to)", "await fs.rename(from, to)"),
    "what is gone": ("if (this.#over || !(await exists(this.path))) throw this.#lose();", ""),
    "claim takes": (".filter((entry) => entry.isFile())", ""),
    "work: a lost claim": ("claim.signal.throwIfAborted();", ""),
}
"""The name of a test → the change of the source that turns it red."""


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_fault_turns_its_own_tests_red(name: str, tmp_path: Path) -> None:
    needs("node")
    good, bad = MUTANTS[name]
    source = (HERE / "taskdir.mjs").read_text()
    assert source.count(good) == 1
    (tmp_path / "taskdir.mjs").write_text(source.replace(good, bad))
    shutil.copy(HERE / "taskdir.test.mjs", tmp_path)
    argv = ["node", "--test", "--test-reporter=tap", f"--test-name-pattern=^{name}"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "\nnot ok" in done.stdout


def test_what_npm_packs(tmp_path: Path) -> None:
    needs("node", "npm")
    [packed] = json.loads(run("npm", "pack", "--dry-run", "--json", HERE, cwd=tmp_path))
    files = {file["path"] for file in packed["files"]}
    assert files == {"LICENSE", "README.md", "agent.mjs", "package.json", "taskdir.d.mts", "taskdir.mjs"}
    package = json.loads((HERE / "package.json").read_text())
    assert not {"dependencies", "peerDependencies", "optionalDependencies"} & package.keys()
    assert {*package["exports"]["."].values(), package["main"], package["types"]} <= {f"./{name}" for name in files}
    assert set(package["bin"].values()) <= files
    assert (HERE / "LICENSE").read_bytes() == (HERE.parents[1] / "LICENSE").read_bytes()


def test_the_example_of_the_readme_drains_a_live_root(project: Path) -> None:
    (project / "worker.mjs").write_text(example(HERE / "README.md", "js"))
    records = drain(project, ["node", "worker.mjs"])
    assert [record["output"] for record in records] == [f"TASK {n}" for n in range(1, len(records) + 1)]
    assert all("half way" in record["attempts"][0]["notes"] for record in records)


def test_the_program_conforms() -> None:
    needs("node")
    conforms(["node", HERE / "agent.mjs"])


def test_the_types_under_tsc(project: Path, request: pytest.FixtureRequest) -> None:
    """Compiled strictly, the sample also runs: `await using` gives back, here on a Node that knows no such syntax."""
    assert request.config.cache is not None
    cached = request.config.cache.mkdir(TYPESCRIPT.replace("@", "-"))
    tsc = cached / "node_modules" / ".bin" / "tsc"
    if not tsc.exists():
        fetched = subprocess.run(
            ["npm", "install", "--prefix", cached, "--no-audit", "--no-fund", "--fetch-retries=0", TYPESCRIPT],
            capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        if fetched.returncode:
            pytest.skip(f"NOT TESTED: the types, since npm cannot fetch {TYPESCRIPT}: {fetched.stderr[-300:]}")
    (project / "sample.mts").write_text(SAMPLE)
    run(tsc, *STRICT, "--lib", "es2023,esnext.disposable,dom", "sample.mts", cwd=project)
    root = tree(project / "root")
    said = run("node", "sample.mjs", cwd=project, TASKDIR=str(root))
    assert json.loads(said) == ["gone", 0]
    assert list((root / "claimed" / "typed").glob("*.json")) == []


def test_the_program_takes_paths_of_any_bytes(tmp_path: Path) -> None:
    needs("node")
    root = os.fsencode(tree(tmp_path / "plain")).replace(b"plain", b"\xff \xe9")
    os.rename(tmp_path / "plain", root)
    agent, name = HERE / "agent.mjs", b"/claimed/me/5-000000000001.t1.1"

    def play(*words: str | bytes) -> bytes:
        argv = ["env", b"TASKDIR=" + root, "node", agent, *words]
        done = subprocess.run(argv, capture_output=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout

    claimed = play("claim", "me")
    assert claimed == root + name + b".json\n"
    play("keep", claimed.strip())
    play("note", claimed.strip(), b"caf\xe9")
    play("fail", claimed.strip(), "no")
    with open(root + name + b".notes.jsonl", encoding="utf-8") as notes:
        assert json.loads(notes.read())["text"] == "caf\ufffd"
    os.unlink(root + name + b".result.json")
    play("work", "me", "--idle", "0", "--", "sh", "-c", 'cat "$TASKDIR_TASK"')
    with open(root + name + b".result.json", encoding="utf-8") as result:
        assert json.loads(result.read())["output"]["id"] == "t1"


def tree(root: Path) -> Path:
    """Make a root with one offer."""
    for place in ("inbox", "ready/default", "claimed", "done", "failed", "rejected"):
        (root / place).mkdir(parents=True)
    (root / "taskdir.json").write_text('{"protocol": 1}')
    offer = {"id": "t1", "attempt": 1, "type": "echo", "input": {"text": "hi"}, "lease_seconds": 60}
    (root / "ready/default/5-000000000001.t1.1.json").write_text(json.dumps(offer))
    return root
