"""One attempt: workspace, tries, check, hand-in, and what becomes of the workspace (docs/runner.md).

The lease is kept by the claim itself, from a thread and by its lock (``held``), whatever the command does.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from taskdir import gestures, roots
from taskdir.disk import Disk
from taskdir.errors import Invalid, Missing, TaskdirError
from taskdir.held import Claim
from taskdir.runner import collect, git, process, processes, prompt, workspace
from taskdir.runner.collect import Finding
from taskdir.runner.commands import Profile, fill, is_strict
from taskdir.runner.options import Options
from taskdir.runner.paths import Paths
from taskdir.runner.process import Ended, Job, Limits
from taskdir.validate import Checker

NEVER_INHERITED = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY")


class Outcome(NamedTuple):
    """How an attempt ended: done, failed, lost or given back; ``kept``: why its workspace is still there."""

    how: str
    code: str
    message: str
    tries: int
    paths: Paths
    kept: str | None
    commit: str | None = None
    branch: str | None = None


class Attempt:
    """One claimed task on its way through the runner."""

    def __init__(self, claim: Claim, options: Options, disk: Disk, word: Callable[[], str | None]) -> None:
        """``word``: says "stopped" when the runner is to let go at once."""
        self._claim, self._options, self._disk, self._word = claim, options, disk, word
        self._paths = Paths(options.work, options.agent, f"{claim.id}.{claim.attempt}")
        self._root = roots.of_claim(claim.path).root
        type = str(claim.task.get("type"))
        self._contract = roots.read_json(os.path.join(self._root, "contracts", f"{type}.json")) or {}
        self._check = Checker(claim.task["output_schema"]) if "output_schema" in claim.task else None
        self._found = options.commands.of(type)
        self._tries = 0
        self._evidence: dict[str, Any] = {}

    def run(self) -> Outcome:
        """Do it. Raises CannotCreate, Busy, ConfigError when there can be no workspace; the task is given back then."""
        try:
            space = workspace.make(self._options, self._paths, self._disk, self._claim.path)
        except BaseException:
            self._claim.give_back()
            raise
        try:
            prompt.lay(space, self._claim, self._disk)
            finding = self._until_result(space)
            how = self._end(finding)
        except BaseException:  # ours, not the task's, such as a full disk
            if not self._claim.over:
                self._claim.give_back()
            raise
        kept = self._put_away(space, how)
        told = {name: self._evidence.get(name) for name in ("commit", "branch")}
        return Outcome(how, finding.code, finding.message, self._tries, self._paths, kept, **told)

    def _until_result(self, space: workspace.Workspace) -> Finding:
        if self._found is None:
            told = f"no command for tasks of the type {self._claim.task.get('type')}"
            return Finding(None, "retry", "no-command", told)
        words, profile = self._found
        trouble, finding = None, Finding(None)
        while self._tries < self._options.tries:
            self._tries += 1
            if not self._desk_is_ours():
                return Finding(None, "retry", "desk-gone", f"{self._paths.desk} is no longer the directory that it was")
            for path in (self._paths.result, self._paths.last):
                self._disk.unlink(path)  # a try is judged by what it wrote itself
            speaks = bool(profile.reads)
            self._evidence = {}
            text = prompt.write(space, self._claim, self._contract, trouble, self._disk, speaks=speaks)
            argv, printed = self._argv(words, profile, text), self._paths.printed(self._tries)
            ended = self._command(space, argv, printed, profile)
            finding = self._judged(ended, printed, profile)
            if finding.document is not None and finding.document["status"] == "ok":
                finding = self._sealed(space, finding, profile)
            if finding.document is not None:
                finding = self._handed_in(finding)
            if finding.then != "again":
                return finding
            trouble = finding.message
        return finding._replace(then="retry")

    def _desk_is_ours(self) -> bool:
        """Say whether the desk is still a directory and no link: what we write must not land elsewhere."""
        return all(
            os.path.isdir(path) and not os.path.islink(path) for path in (self._paths.workspace, self._paths.desk)
        )

    def _judged(self, ended: Ended, printed: tuple[str, str], profile: Profile) -> Finding:
        if ended.why in ("lost", "stopped"):
            return Finding(None, ended.why, ended.why)
        if ended.why != "exit":
            return collect.stopped(ended, collect.tail(printed))
        if not self._desk_is_ours():
            return Finding(None, "again", "desk-gone", f"{self._paths.desk} is no longer the directory that it was")
        return collect.look(ended, self._paths, profile, printed, self._check)

    def _sealed(self, space: workspace.Workspace, finding: Finding, profile: Profile) -> Finding:
        """Commit, run the contract's ``verify``, list artifacts: what is wrong with any of it is told back."""
        try:
            if space.tree is not None:
                if git.dirty(space.tree):
                    git.commit_all(space.tree, f"{self._claim.id}.{self._claim.attempt} by {self._options.agent}")
                commit = git.head(space.tree)
                kept = {"branch": space.tree.branch} if commit != space.tree.base else {}  # a branch without work goes
                self._evidence = {**kept, "commit": commit}
            if (fault := self._verify(space, profile)) is not None:
                return fault
        except git.Failed as error:
            return Finding(None, "again", "no-commit", f"the work cannot be committed: {error}")
        try:
            files = collect.artifacts(self._paths)
        except TaskdirError as error:
            return Finding(None, "again", error.code, error.message)
        if files:
            self._evidence |= {"dir": collect.free(self._paths.artifacts), "files": files}
        return finding

    def _verify(self, space: workspace.Workspace, profile: Profile) -> Finding | None:
        argv = self._contract.get("verify")
        if not argv:
            return None
        printed = self._paths.printed(self._tries, "verify")
        ended = self._command(space, [str(word) for word in argv], printed, profile)
        if space.tree is not None:
            git.reset(space.tree)  # what the check made is nobody's work, and would keep the worktree from going
        if ended.why in ("lost", "stopped"):
            return Finding(None, ended.why, ended.why)
        if not self._desk_is_ours():
            return Finding(None, "again", "desk-gone", f"{self._paths.desk} is no longer the directory that it was")
        if (ended.why, ended.code) == ("exit", 0):
            return None
        how = f"exited with {ended.code}" if ended.why == "exit" else collect.stopped(ended, "").message
        told = f"the work does not pass `{' '.join(argv)}`, which {how}:\n{collect.tail(printed)}"
        return Finding(None, "again", "verify-failed", told)

    def _handed_in(self, finding: Finding) -> Finding:
        """Hand in, artifacts first, so that they are there once the result is; a refusal is told back."""
        document = finding.document or {}
        place = self._evidence.get("dir")
        if place is not None:
            self._disk.mkdir(os.path.dirname(place))
            self._disk.rename(self._paths.offered, place)
        judged = self._judged_by_daemon(document)
        if judged.document is None and place is not None:
            self._disk.rename(place, self._paths.offered)
        return judged

    def _judged_by_daemon(self, document: dict[str, Any]) -> Finding:
        try:
            if document["status"] == "ok":
                self._claim.note({"runner": self._options.agent, "tries": self._tries, **self._evidence})
                self._claim.finish(self._with_evidence(document["output"]))
            else:
                error = document["error"]
                self._claim.fail(error["message"], error.get("code", "error"), document.get("retry", False))
                return Finding(document, "done", error.get("code", "error"), error["message"])
        except Missing:
            return Finding(None, "lost", "lost")
        except Invalid as error:
            if self._claim.over:
                return Finding(None, "lost", error.code, error.message)
            return Finding(None, "again", error.code, f"refused: {error.message} [{error.code}] {error.expected or ''}")
        return Finding(document, "done")

    def _with_evidence(self, output: Any) -> Any:
        """Add commit and artifacts to an output that is an object, if its contract lets them stand there."""
        if not self._evidence or not isinstance(output, dict) or "artifacts" in output:
            return output
        whole = {**output, "artifacts": self._evidence}
        return output if self._check is not None and self._check.check(whole) is not None else whole

    def _end(self, finding: Finding) -> str:
        """End the claim as it must be; returns how the attempt ended."""
        if finding.document is not None:
            return "done" if finding.document["status"] == "ok" else "failed"
        if finding.then == "lost" or self._claim.over or self._claim.lost:
            self._claim.leave()
            return "lost"
        if finding.then == "stopped":
            self._claim.give_back()
            return "given-back"
        try:
            self._claim.fail(finding.message, finding.code, retry=finding.then == "retry")
        except (Missing, Invalid):
            self._claim.leave()
            return "lost"
        return "failed"

    def _put_away(self, space: workspace.Workspace, how: str) -> str | None:
        """Remove what may go: after success, and after a loss with nothing uncommitted; returns why it stays."""
        space.stage("done" if how == "done" else "failed")
        if how == "failed" or (how != "done" and not space.empty()):
            return how
        return space.remove()

    def _command(
        self, space: workspace.Workspace, argv: list[str], printed: tuple[str, str], profile: Profile
    ) -> Ended:
        options = self._options
        argv = self._walled(space, argv) if options.sandbox else argv

        def began(pid: int) -> None:
            space.facts["command"] = processes.named(pid)
            space.stage("running")

        job = Job(
            argv, self._paths.workspace, self._env(space, profile), printed,
            Limits(options.seconds, options.output, options.grace),
        )  # fmt: skip
        ended = process.run(job, self._watch, began, self._disk)
        if options.sandbox:
            self._tell_walls(printed)
        return ended

    def _walled(self, space: workspace.Workspace, argv: list[str]) -> list[str]:
        """Return the command behind walls; root and repository stay readable, wherever they lie."""
        from taskdir.runner import sandbox

        seen = [self._root, *([space.facts["repo"]] if space.tree is not None else [])]
        options, at = self._options, self._paths.workspace
        return sandbox.wrap(argv, at, network=options.network, readable=seen, writable=options.writable)

    def _tell_walls(self, printed: tuple[str, str]) -> None:
        """Leave a note, which ends up in the log, of what a wall stopped, as far as the command says so."""
        from taskdir.runner import sandbox

        if lines := sandbox.stopped(printed):
            with suppress(Missing):
                self._claim.note({"walls": lines, "try": self._tries})

    def _watch(self) -> str | None:
        return "lost" if self._claim.lost else self._word()

    def _argv(self, words: tuple[str, ...], profile: Profile, text: str) -> list[str]:
        paths, claim = self._paths, self._claim
        schema = claim.task.get("output_schema")
        values = {
            "prompt": prompt.argument(paths, text),
            "prompt_file": paths.prompt,
            "task": paths.task,
            "result": paths.result,
            "schema": paths.schema,
            "schema_json": gestures.encode(True if schema is None else schema).decode().strip(),
            "workspace": paths.workspace,
            "desk": paths.desk,
            "last": paths.last,
            "artifacts": paths.offered,
            "id": claim.id,
            "attempt": str(claim.attempt),
            "agent": self._options.agent,
            "type": str(claim.task.get("type")),
            "try": str(self._tries),
        }
        passed = schema is not None and (not profile.strict or is_strict(schema))
        return fill([*words, *(profile.schema if passed else ())], values)

    def _env(self, space: workspace.Workspace, profile: Profile) -> dict[str, str]:
        paths, claim = self._paths, self._claim
        env = {name: value for name, value in os.environ.items() if name not in NEVER_INHERITED}
        for name, value in profile.env:
            env.pop(name, None)
            env |= {name: value} if value is not None else {}
        return env | {
            "TASKDIR": self._root,
            "TASKDIR_AGENT": self._options.agent,
            "TASKDIR_ID": claim.id,
            "TASKDIR_ATTEMPT": str(claim.attempt),
            "TASKDIR_TRY": str(self._tries),
            "TASKDIR_TASK": paths.task,
            "TASKDIR_PROMPT": paths.prompt,
            "TASKDIR_SCHEMA": paths.schema,
            "TASKDIR_RESULT": paths.result,
            "TASKDIR_ARTIFACTS": paths.offered,
            "PWD": paths.workspace,
            "GIT_CEILING_DIRECTORIES": os.path.dirname(paths.workspace),  # no repository around counts as its own
            processes.MARK: space.token,
        }
