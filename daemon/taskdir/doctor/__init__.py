"""`taskdir doctor`: is this place fit for taskdir, and does everything here run as it should? (SPEC sections 4, 10, 11)

Snapshot, probes, findings: each probe is a function from a Site to findings, and each finding names its repair. Whether
log and directories agree in detail is `taskdir check`'s question. Nothing is changed here, apart from scratch files in
.taskdir/ that are removed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from taskdir.doctor import ground, house, life, walls
from taskdir.doctor.site import Finding, Site, error, visit

__all__ = ["PROBES", "Finding", "Site", "examine", "visit"]

Probe = Callable[[Site], Iterable[Finding]]

PROBES: tuple[Probe, ...] = (
    house.settings_are_good,
    house.directories_are_there,
    house.agents_can_write,
    house.contracts_load,
    house.stands_alone,
    house.is_not_tracked,
    ground.kind_is_durable,
    ground.one_device,
    ground.operations_work,
    ground.watching_works,
    ground.watches_suffice,
    ground.there_is_room,
    life.daemon_is_there,
    life.clock_goes_forward,
    life.index_is_at_the_log,
    life.nothing_is_left_behind,
    life.claims_are_alive,
    walls.walls_stand,
)


def examine(site: Site) -> list[Finding]:
    """Run every probe. One that cannot look says so and stops no other."""
    found: list[Finding] = []
    for probe in PROBES:
        try:
            found += probe(site)
        except OSError as trouble:
            what = probe.__name__.replace("_", " ")
            fix = "give this user access to the root, then run `taskdir doctor` again"
            found.append(error("d-probe", f"cannot find out whether {what}: {trouble}", fix))
    return found
