"""The kit for agents is red for wrong agents, by the right rule, and green for ours.

Each adapter's own tests run the kit over its program (``live.conforms``). Here wrong agents are made of the shell's
text, each by one change, so that a case that could not fail would show.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from adapters.live import conforms, report_of
from adapters.programs import MAKERS

HERE = Path(__file__).parent
ADAPTERS = HERE.parents[1] / "adapters"
SHELL = ADAPTERS / "shell" / "taskdir.sh"

RENAME = 'command mv -f "$ready/$name" "$mine/$name" 2>/dev/null'
LINK = 'command ln "$temp" "$id.json" 2>/dev/null'
LOOK = '[ ! -e "$id.json" ] && [ ! -L "$id.json" ] ||'
STILL_THERE = 'td__file "$name" || td__no 66 "gone, it is no longer yours, stop: $1"'
RESULT = 'printf \'%s\\n\' "$1" >>"$temp" && command mv -f "$temp" "$stem.result.json"'
UNFINISHED = 'td__offer "$name" && td__file "$mine/$name" && [ ! -e "$mine/$stem.result.json" ] || continue'

WRONG: dict[str, tuple[list[tuple[str, str]], list[str], set[tuple[str, str]]]] = {
    "claims by write, then unlink": (
        [(RENAME, '{ cat "$ready/$name" >"$mine/$name" && command rm "$ready/$name"; } 2>/dev/null')],
        ["claim/*", "live/one-holder"],
        {("claim/by-rename", "claim-copy"), ("live/one-holder", "claim-copy")},
    ),
    "claims by link, then unlink": (
        [(RENAME, 'command ln "$ready/$name" "$mine/$name" && command rm "$ready/$name" 2>/dev/null')],
        ["claim/*"],
        {("claim/by-rename", "claim-copy")},
    ),
    "renames over a message": (
        [(LOOK, "true ||"), (LINK, 'command mv -f "$temp" "$id.json"')],
        ["submit/*"],
        {(f"submit/{case}", "id-taken") for case in ("never-replaces", "taken-while-reading")},
    ),
    "looks, then renames over a message": (
        [(LINK, '{ sleep 0.5; command mv -f "$temp" "$id.json"; }')],
        ["submit/taken-meanwhile"],
        {("submit/taken-meanwhile", "id-taken")},
    ),
    "hands in late": (
        [(f"    {STILL_THERE}\n}}\ntd__temp", "}\ntd__temp")],
        ["finish/*", "live/late", "work/gone"],
        {(case, "late") for case in ("finish/gone", "finish/gone-meanwhile", "live/late", "work/gone")},
    ),
    "gives up at the first failure": (
        [('"$1 ended with exit code $code" --retry', '"$1 ended with exit code $code"')],
        ["work/ends"],
        {("work/ends", "")},
    ),
    "leaves a refused result as it is": (
        [('            if [ -e "$mine/$stem.refused.json" ]; then td__refused', "            if false; then :")],
        ["work/refused"],
        {("work/refused", "refusal-cap")},
    ),
    "writes results in place": (
        [(RESULT, 'printf \'%s\\n\' "$1" >"$stem.result.json"')],
        ["finish/by-rename"],
        {("finish/by-rename", "json-syntax")},
    ),
    "writes messages in place": (
        [('cat >>"$temp" ||', 'temp=$id.json; cat >>"$temp" ||'), (LOOK, "true ||"), (LINK, "true")],
        ["submit/never-half"],
        {("submit/never-half", "json-syntax")},
    ),
    "claims more than it can do": (
        [(UNFINISHED, "continue")],
        ["claim/unfinished"],
        {("claim/unfinished", "max-claims")},
    ),
    "claims whatever it finds": (
        [('td__offer "$name" && td__file "$ready/$name" || continue', ":")],
        ["claim/strangers"],
        {("claim/strangers", "claim-unknown")},
    ),
    "makes a claim again by touching it": (
        [(f"    {STILL_THERE}\n}}\ntd__temp", "}\ntd__temp"), ('touch -c "$name" 2>', 'touch "$name" 2>')],
        ["keep/*"],
        {("keep/gone", "claim-unknown")},
    ),
    "takes any queue": (
        [('case $queue in "@$agent") ;; @*) td__no 2 "queue $queue is for that agent alone" ;; esac', "")],
        ["claim/queues"],
        {("claim/queues", "wrong-queue")},
    ),
    "hands in over what the command handed in": (
        [('if [ -e "$result" ]; then : #', "if false; then : #")],
        ["work/handed-in"],
        {("work/handed-in", "")},
    ),
    "does again what was refused": (
        [('elif [ -e "$mine/$stem.refused.json" ]; then', "elif false; then")],
        ["work/handed-in"],
        {("work/handed-in", "refusal-cap")},
    ),
    "looks at no lock": (
        [("until flock -xn 0 <&9; do", "until true; do")],
        ["work/held", "hold/*"],
        {("work/held", "")},
    ),
    "takes links for files": (
        [(' && [ ! -L "$1" ]; } # PATH', "; } # PATH")],
        ["claim/strangers", "path/*"],
        {("claim/strangers", "claim-unknown"), ("path/no-file", "")},
    ),
    "searches on from $TASKDIR": (
        [('while [ -z "${TASKDIR:-}" ] && [ -n "$root" ]', 'while [ -n "$root" ]')],
        ["root/*"],
        {("root/none", "")},
    ),
    "loses what it cannot tell": (
        [("2>/dev/null || td__no 73 'cannot write to stdout'", "2>/dev/null || true")],
        ["stdout/*"],
        {("stdout/full", "")},
    ),
    "tells a path as it was given": (
        [('cd "${root:-/}" && [ -f', 'cd "${root:-/}" && root=${TASKDIR:-$root} && [ -f')],
        ["root/*"],
        {("root/relative", "")},
    ),
    "cuts large outputs": (
        [('output=$(cat -- "$2")', 'output=$(head -c 65536 "$2")')],
        ["work/large"],
        {("work/large", "")},
    ),
    "takes any number of tasks": (
        [('[ "$2" -gt 0 ] && left=$2 ||', "left=$2 ||")],
        ["work/usage"],
        {("work/usage", "")},
    ),
    "dies of SIGTERM": (
        [("trap 'ended=y again=y' 1 2 15", "trap - 1 2 15")],
        ["work/ended-idle"],
        {("work/ended-idle", "")},
    ),
    "does not escape": (
        [("s/ 042/ 134 042/g", "")],
        ["fail/*"],
        {("fail/writes", "")},
    ),
}
"""What is wrong → (changes of the program, the cases played, (case, rule) that have to be among the failures)."""


def needs_shell() -> None:
    for tool in ("sh", "flock"):
        if shutil.which(tool) is None:
            pytest.skip(f"NOT TESTED: the kit over the shell adapter, since this machine has no {tool}")


def test_the_shell_conforms() -> None:
    needs_shell()
    conforms(["sh", SHELL])


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_agent_turns_it_red_by_its_rule(wrong: str, tmp_path: Path) -> None:
    needs_shell()
    changes, only, expected = WRONG[wrong]
    text = SHELL.read_text()
    for old, new in changes:
        assert text.count(old) == 1, f"the program has no longer: {old}"
        text = text.replace(old, new)
    program = tmp_path / "taskdir.sh"
    program.write_text(text)
    report = report_of(["sh", str(program)], *(f"--only={glob}" for glob in only))
    failed = {(case["name"], case.get("rule", "")) for case in report["cases"] if case["verdict"] == "failed"}
    assert expected <= failed, json.dumps(report["cases"], indent=1)


def languages() -> list[str]:
    """Return the adapters that have a program."""
    return sorted(path.name for path in ADAPTERS.iterdir() if path.is_dir() and path.name != "checker")


def test_the_kit_runs_over_every_adapter() -> None:
    tests = [(path.stem, path.read_text()) for path in HERE.glob("test_*.py")]
    missing = [
        language
        for language in languages()
        if not any(language in stem and "conforms(" in text for stem, text in [*tests, ("shell", "conforms(")])
    ]
    assert not missing, f"no test runs the kit over: {missing}"


def test_every_adapter_races() -> None:
    assert languages() == sorted(set(languages()) & {*MAKERS}), "adapters/programs.py does not make all of them"
