"""``taskdir check``: the log by itself, then everything else against it (SPEC section 10.7). Changes nothing.

With a daemon running, what the directories show may lag one pass behind: then a finding counts only if a second look,
one scan later, has it too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from taskdir import chain, compare, facts, logread, names
from taskdir.audit import Audit, Finding, damage_finding
from taskdir.checkpoint import Checkpoint, Witness
from taskdir.errors import Missing
from taskdir.facts import Progress
from taskdir.index import Index, open_for_reading
from taskdir.logread import Batch, Follower, Mark, Reader
from taskdir.places import Places

INDEX = ".taskdir/index.sqlite"


@dataclass(slots=True)
class Report:
    """What came out: findings, remarks for people, and how much was read; ``pruned`` records were taken by readers.

    ``held``: resource → the most tasks that held it at once, from the log alone. ``level``: what was looked at, the
    ``chain`` of a log, its ``events`` too, or the ``root``. ``checkpoints``: how many it was held against.
    """

    findings: list[Finding] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    events: int = 0
    tasks: int = 0
    records: int = 0
    pruned: int = 0
    held: dict[str, int] = field(default_factory=dict)
    level: str = "root"
    checkpoints: int = 0

    @property
    def failed(self) -> bool:
        """Whether anything worse than a warning was found."""
        return any(finding.level == "error" for finding in self.findings)


def check_files(
    paths: list[str], progress: Progress, checkpoints: Sequence[Checkpoint] = (), *, deep: bool = True
) -> Report:
    """Check log segments by themselves, wherever they lie. What comes before the first of them is taken on trust.

    ``deep``: judge each event too; else only that the lines are whole and sealed one to the next.
    """
    missing = [path for path in paths if not os.path.exists(path)]
    if missing:
        raise Missing("no-file", "there is no such log file", path=missing[0])
    files = sorted((logread.first_seq(path) if logread.unpacks(path) else 0, path) for path in paths)
    files = [one for one in files if one[0]] + [one for one in files if not one[0]]
    start = logread.mark_before(files[:1], files[0][0])
    witness = Witness(checkpoints)
    report = (_check_events if deep else _check_chain)(files, start, witness, progress)
    report.events -= start.seq
    if start.seq:
        report.remarks.append(f"the log starts at seq {start.seq + 1}: what came before, and states, went unchecked")
    report.findings += witness.findings(files[-1][1], report.events + start.seq)
    report.checkpoints = len(witness)
    return report


def _check_events(files: list[tuple[int, str]], start: Mark, witness: Witness, progress: Progress) -> Report:
    audit, reader, told = Audit(files, whole=start.seq == 0), Reader(files, start, thorough=True), 0
    for batch in reader.batches():
        audit.take(batch)
        witness.see(batch)
        progress(batch.mark.offset - told if batch.mark.offset > told else batch.mark.offset)
        told = batch.mark.offset
    report = Report(audit.findings, level="events", tasks=audit.counts["accepted"], held=audit.held)
    report.events = reader.mark.seq
    if reader.damage is not None:
        report.findings.append(damage_finding(reader.damage))
    if not report.findings and start.seq == 0:
        report.findings += audit.books()
    audit.index.close()
    return report


def _check_chain(files: list[tuple[int, str]], start: Mark, witness: Witness, progress: Progress) -> Report:
    reader = Reader(files, chain.skip(files, start, witness.wanted, witness.known, progress), thorough=True)
    for batch in reader.batches():
        witness.see(batch)
    found = [damage_finding(reader.damage)] if reader.damage is not None else []
    return Report(found, level="chain", events=reader.mark.seq)


def check_logs(
    paths: list[str], progress: Progress, checkpoints: Sequence[Checkpoint] = (), *, deep: bool = True
) -> Report:
    """Check the whole of each log that one of ``paths`` is part of, one after the other; arguments as ``check_files``.

    A segment's place, log.jsonl or log/<number>.jsonl, tells its log; a file elsewhere is a log by itself.
    """
    logs = {tuple(_siblings(path)): None for path in paths}
    total = Report(level="events" if deep else "chain")
    for files in logs:
        report = check_files([*files], progress, checkpoints, deep=deep)
        total.findings += report.findings
        total.remarks += [f"{files[0]}: {remark}" for remark in report.remarks]
        total.events += report.events
        total.tasks += report.tasks
        total.checkpoints += report.checkpoints
        total.held |= {name: max(most, total.held.get(name, 0)) for name, most in report.held.items()}
    return total


def _siblings(path: str) -> list[str]:
    """Return the files of the log that a segment is part of, as it would be named beside it."""
    directory, name = os.path.split(path)
    if os.path.basename(directory) == logread.OLD and names.is_segment_name(name):
        directory = os.path.dirname(directory)
    elif name != logread.LIVE:
        return [path]
    return [os.path.normpath(each) for _, each in logread.segments(directory or ".")] or [path]


def check_root(
    root: str, progress: Progress, pause: Callable[[float], None], checkpoints: Sequence[Checkpoint] = ()
) -> Report:
    """Check a root. ``pause`` waits so many seconds; it is called when a running daemon gets a second chance."""
    check = _Check(Places(root), progress, Witness(checkpoints))
    try:
        return check.run(pause)
    finally:
        check.close()


class _Check:
    """One check of one root."""

    def __init__(self, places: Places, progress: Progress, witness: Witness) -> None:
        self._places, self._progress, self._witness = places, progress, witness
        self._follower = Follower(places.root, thorough=True)
        self._audit = Audit(logread.segments(places.root))
        self._live = facts.is_live(places)
        self._settings, self._bad_settings = facts.read_settings(places)
        self._audit.index.lines.use(self._settings.resources)

    def run(self, pause: Callable[[float], None]) -> Report:
        """Return what is found."""
        index = self._read_log()
        report = Report(list(self._audit.findings))
        damage = self._follower.damage
        if damage is not None and not damage.torn:
            report.findings.append(damage_finding(damage))
        report.checkpoints = len(self._witness)
        report.findings += self._witness.findings(self._places.log, self._follower.mark.seq)
        if report.failed:
            report.remarks.append("the log comes first: nothing else was compared with it")
        else:
            report.findings += self._audit.books() + index
            report.findings += self._look_twice(pause, report)
            if self._bad_settings is None:
                self._judge_resources(report)
        report.events, report.tasks, report.held = (
            self._follower.mark.seq, self._audit.counts["accepted"], self._audit.held
        )  # fmt: skip
        report.findings = [replace(each, file=self._relative(each.file)) for each in report.findings]
        if report.failed and self._audit.running and not self._live:
            said = "no daemon runs, and the last one was cut short: the first pass of the next one may mend this"
            report.remarks.append(said)
        return report

    def close(self) -> None:
        """Let go of the replay."""
        self._audit.index.close()

    def _read_log(self) -> list[Finding]:
        """Replay the log; on the way, where the index stands, compare the two. Returns the index's findings."""
        kept = open_for_reading(self._places.index)
        if kept is None or kept.mark.seq == 0:
            self._take_news()
            return []
        try:
            return self._read_past(kept, kept.mark)
        finally:
            kept.close()

    def _read_past(self, kept: Index, mark: Mark) -> list[Finding]:
        found: list[Finding] | None = None
        at = Mark()
        for batch in self._follower.news():
            self._take(batch)
            self._progress(batch.mark.offset - (at.offset if at.first == batch.mark.first else 0))
            at = batch.mark
            if found is None and at.seq >= mark.seq:
                same = (at.seq, at.hash) == (mark.seq, mark.hash)
                ahead = Finding("index-ahead", f"the index knows another line {mark.seq} than the log", INDEX)
                found = compare.indexes(kept, self._audit.index) if same else [ahead]
        if found is None:
            return [Finding("index-ahead", f"the index knows seq {mark.seq}, the log ends at {at.seq}", INDEX)]
        return found

    def _take_news(self) -> None:
        self._audit.name(logread.segments(self._places.root))
        for batch in self._follower.news():
            self._take(batch)

    def _take(self, batch: Batch) -> None:
        self._audit.take(batch)
        self._witness.see(batch)

    def _look_twice(self, pause: Callable[[float], None], report: Report) -> list[Finding]:
        """Compare the directories; with a daemon running, return only what is still there one scan later."""
        first = self._look(report)
        if not self._live or not first:
            return first
        pause(2 * self._settings.scan_seconds)
        self._take_news()
        self._live = facts.is_live(self._places)
        again = set(self._look(report))
        return [each for each in first if each in again]

    def _judge_resources(self, report: Report) -> None:
        """Remark on what is or was held beyond the capacity of now: right only if the setting was larger then.

        No finding, since the log has no settings, and a smaller capacity takes nothing back from holders (SPEC 7.16).
        """
        index = self._audit.index
        for resource, most in sorted(self._audit.held.items()):
            capacity = self._settings.resources.get(resource, 1)
            holders = index.lines.holders(resource)
            if len(holders) > capacity:
                said = f"{', '.join(holders[:5])} hold {resource} beyond its capacity of now, {capacity}"
                report.remarks.append(said)
            elif most > capacity:
                report.remarks.append(f"up to {most} tasks held {resource} at once; its capacity is {capacity} now")

    def _look(self, report: Report) -> list[Finding]:
        found: list[Finding] = []
        for _ in range(5):
            mark = self._follower.mark
            synced, asleep = self._kept()
            look = compare.take_look(
                self._places,
                synced=synced,
                live=self._live,
                window=None if self._bad_settings else self._settings.offered(),
                context_bytes=self._settings.context_bytes,
                asleep=asleep,
            )
            self._take_news()
            found = list(compare.directories(self._audit.index, look, self._audit.refused))
            report.records = len(look.done) + len(look.failed)
            if not found or self._follower.mark == mark:
                break  # else the log moved while we looked: a difference may be our own
        if self._follower.damage is not None:
            found.append(damage_finding(self._follower.damage))
        ended = next(self._audit.index.rows("SELECT count(*) FROM tasks WHERE final IS NOT NULL"))[0]
        report.pruned = max(0, int(ended) - report.records)
        return found

    def _kept(self) -> tuple[int, frozenset[str]]:
        """Return what only the index knows: up to which seq records are on the device, and which tasks sleep."""
        index = open_for_reading(self._places.index)
        if index is None:
            return 0, frozenset()
        try:
            asleep = frozenset(str(id) for (id,) in index.rows("SELECT id FROM tasks WHERE wake_at IS NOT NULL"))
            return int(index.meta("records_synced") or 0), asleep
        finally:
            index.close()

    def _relative(self, path: str) -> str:
        inside = path.startswith(self._places.root + os.sep)
        return os.path.relpath(path, self._places.root) if inside else path
