"""End to end: a producer, and agents that claim and complete, at the same time. Parts (a), (b), (c) and (i).

Each repetition of a peer is a pair: a lap of the peer, then one of ours, with two agents both. A ratio is the median
over the pairs, so that what slows the machine for a while slows both alike.
"""

from __future__ import annotations

import json
import resource
from pathlib import Path

from bench import drive
from bench.ground import ground
from bench.parts import median
from bench.peers import Peer, Skip
from bench.peers.files import BareRename, Floor, Maildir, Ours
from bench.peers.libraries import Huey, LiteQueue, PersistQueue
from bench.peers.servers import Beanstalkd, Postgres, RedisStreams, Rq
from bench.race import Lap, lap, started
from bench.sizes import Bench

AGENTS = 2
RIVALS = (Floor, Beanstalkd, RedisStreams, Postgres, Rq, Huey, PersistQueue, LiteQueue, Maildir, BareRename)
BESIDE = ("xfs", "tmpfs")
"""Other file systems for ours alone, for comparison."""


def one(peer: Peer, on: str, tasks: int, agents: int = AGENTS) -> tuple[Lap, str]:
    """Run a lap in a fresh home; returns it with the peer's version. Raises Skip."""
    with started(peer, on):
        return lap(peer, max(20, round(tasks * peer.share)), agents), peer.version()


def rivals(bench: Bench) -> None:
    """(b), (c): ours and each peer in pairs, two agents."""
    ours, rows = list[Lap](), dict[str, list[tuple[Lap, Lap]]]()
    about: dict[str, tuple[str, str]] = {}
    bench.progress.part("(a) (b) (c) end to end, in pairs with peers", bench.sizes.rounds * len(RIVALS))
    for _ in range(bench.sizes.rounds):
        for kind in RIVALS:
            peer = kind()
            if peer.name not in bench.skipped:
                try:
                    theirs, version = one(peer, bench.on, bench.sizes.tasks)
                    mine, said = one(Ours(), bench.on, bench.sizes.tasks)
                except (Skip, OSError) as missing:
                    bench.skip(peer.name, str(missing))
                else:
                    ours.append(mine)
                    about |= {"taskdir": (said, Ours.promise), peer.name: (version, peer.promise)}
                    rows.setdefault(peer.name, []).append((mine, theirs))
            bench.progress.step()
    _tell(bench, ours, rows, about)


def _tell(
    bench: Bench, ours: list[Lap], rows: dict[str, list[tuple[Lap, Lap]]], about: dict[str, tuple[str, str]]
) -> None:
    told = [_row("taskdir", about["taskdir"], ours, 1.0)] if ours else []
    for name, pairs in rows.items():
        ratio = median([mine.rate / theirs.rate if theirs.rate else 0.0 for mine, theirs in pairs])
        told.append(_row(name, about[name], [theirs for _, theirs in pairs], ratio))
        bench.figures[f"ratio {name}"] = ratio
    bench.series["peers"] = told


def _row(name: str, about: tuple[str, str], laps: list[Lap], ratio: float) -> dict[str, object]:
    rates = [each.rate for each in laps]
    return {
        "name": name,
        "version": about[0],
        "promise": about[1],
        "rate": median(rates),
        "least": min(rates),
        "most": max(rates),
        "ratio": ratio,
        "tasks": sum(each.tasks + each.lost for each in laps),
        "lost": sum(each.lost for each in laps),
        "twice": sum(each.twice for each in laps),
    }


def _rounds(bench: Bench, counts: tuple[int, ...], title: str) -> dict[int, list[float]]:
    """Run ours with each count of agents in turn, again and again; returns the rates."""
    rates: dict[int, list[float]] = {count: [] for count in counts}
    bench.progress.part(title, bench.sizes.rounds * len(counts))
    for _ in range(bench.sizes.rounds):
        for count in counts:
            rates[count].append(one(Ours(), bench.on, bench.sizes.tasks, count)[0].rate)
            bench.progress.step()
    return rates


def _lines(rates: dict[int, list[float]], key: str) -> list[dict[str, float]]:
    return [
        {key: count, "rate": median(values), "least": min(values), "most": max(values)}
        for count, values in rates.items()
    ]


def few(bench: Bench) -> None:
    """(a): ours with 1, 2 and 4 agents."""
    bench.series["few"] = _lines(_rounds(bench, (1, 2, 4), "(a) end to end with 1, 2, 4 agents"), "agents")


def many(bench: Bench) -> None:
    """(i): ours with more and more agents that contend for the same offers."""
    rates = _rounds(bench, bench.sizes.agents, "(i) agents that contend")
    bench.series["agents"] = _lines(rates, "agents")
    if {4, 64} <= set(rates):
        bench.figures["ratio agents"] = median([more / few for more, few in zip(rates[64], rates[4], strict=True)])


def phases(bench: Bench) -> None:
    """Where a task's time goes, with two agents and with very many: microseconds a task."""
    told = []
    bench.progress.part("(a) (i) where the time goes", 2)
    for agents in (AGENTS, max(bench.sizes.agents)):
        peer = Ours()
        peer.phases = f"{bench.on}/phases.json"
        with started(peer, bench.on):
            before, people = drive.spent(peer.pid), _people()
            run = lap(peer, bench.sizes.tasks, agents)
            after, worked = drive.spent(peer.pid), _people() - people
        parts = json.loads(Path(peer.phases).read_text(encoding="utf-8"))
        parts.pop("waiting for work", None)  # it waited before and after the lap, too
        row = {part: seconds / run.tasks * 1e6 for part, seconds in parts.items()}
        daemon = (after.user + after.system - before.user - before.system) / run.tasks * 1e6
        told.append({"agents": agents, "parts": row, "wall": run.seconds / run.tasks * 1e6, "daemon": daemon,
                     "people": worked / run.tasks * 1e6})  # fmt: skip
        bench.progress.step()
    bench.series["phases"] = told


def _people() -> float:
    """Return the seconds of processor time of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def beside(bench: Bench) -> None:
    """Ours on other file systems, in the same run; tmpfs is the floor of what the processor needs."""
    told = []
    bench.progress.part("(a) on other file systems", bench.sizes.rounds * len(BESIDE))
    for kind in BESIDE:
        with ground(kind, "/dev/shm" if kind == "tmpfs" else bench.under) as other:
            if kind not in other.words:
                bench.skip(f"taskdir on {kind}", "it could not be mounted")
                continue
            rates = []
            for _ in range(bench.sizes.rounds):
                rates.append(one(Ours(), other.path, bench.sizes.tasks)[0].rate)
                bench.progress.step()
        told.append({"on": other.words, "rate": median(rates), "least": min(rates), "most": max(rates)})
    bench.series["beside"] = told
