"""Makes the tables of docs/reliability.md: counts out of a ledger, bugs out of docs/bugs.json.

    PYTHONPATH=tests python -m faults.evidence [LEDGER…]    writes; without a ledger the counts stay as they are

Run it after ``make torture``. A later find is one line of docs/bugs.json, and this command.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from faults import ledger

PAGE = ledger.HOME / "docs/reliability.md"
BUGS = ledger.HOME / "docs/bugs.json"
SHOWN_SEEDS = 3
"""So many seeds are listed; of more, how many there are."""


def counts_table(entries: Iterable[dict[str, Any]]) -> str:
    """Return the table of what testers tried, one row a tester and tier, in the order of their names."""
    rows: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for entry in entries:
        rows.setdefault((entry["tester"], entry["tier"], entry["unit"]), []).append(entry)
    lines = ["| tester | tier | tried | seeds | seconds | findings |", "|---|---|--:|---|--:|--:|"]
    for (tester, tier, unit), kept in sorted(rows.items()):
        runs, seconds = sum(each["runs"] for each in kept), sum(each["seconds"] for each in kept)
        found = sum(len(each["findings"]) for each in kept)
        lines.append(f"| {tester} | {tier} | {runs:,} {unit} | {_seeds(kept)} | {seconds:,.0f} | {found} |")
    return "\n".join(lines)


def _seeds(entries: list[dict[str, Any]]) -> str:
    seeds = sorted({each["seed"] for each in entries if each["seed"] is not None})
    if len(seeds) > SHOWN_SEEDS:
        return f"{len(seeds)} seeds"
    return ", ".join(map(str, seeds)) or "nothing is drawn"


def counts(entries: list[dict[str, Any]]) -> str:
    """Return the table with where and when it was made."""
    commits = ", ".join(sorted({entry.get("commit", "") for entry in entries} - {""})) or ledger.commit()
    where = f"{platform.system()} {platform.release()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    day = time.strftime("%Y-%m-%d", time.gmtime())
    return f"Made by `tests/faults/evidence.py` on {day}: {where}, commit {commits}.\n\n{counts_table(entries)}"


def bugs_table(bugs: list[dict[str, Any]]) -> str:
    """Return the table of all bugs, as docs/bugs.json lists them."""
    lines = ["| bug | promise | found by | seed | fixed in | kept as a test |", "|---|---|---|---|---|---|"]
    for bug in bugs:
        test = f"`{bug['test']}`" if "test" in bug else "–"
        seed = bug.get("seed", "–")
        lines.append(
            f"| {bug['bug']} | {bug.get('promise', '–')} | {bug['found_by']} | {seed} | {bug['fixed_in']} | {test} |"
        )
    return "\n".join(lines)


def put(page: str, name: str, text: str) -> str:
    """Replace what stands between the markers of ``name``; raises ValueError where there are none."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    made, times = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}", lambda match: f"{begin}\n{text}\n{end}", page, flags=re.DOTALL
    )
    if times != 1:
        raise ValueError(f"the markers of {name} stand {times} times in the page")
    return made


def load_bugs() -> list[dict[str, Any]]:
    """Return the bugs, in the order in which they were fixed."""
    found: list[dict[str, Any]] = json.loads(BUGS.read_bytes())
    return found


def main(paths: list[str]) -> int:
    """Write the page anew."""
    page = put(PAGE.read_text(encoding="utf-8"), "bugs", bugs_table(load_bugs()))
    if paths:
        page = put(page, "counts", counts([entry for path in paths for entry in ledger.read(Path(path))]))
    PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
