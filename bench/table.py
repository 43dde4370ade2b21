"""One table of a result, for a terminal: goals and ratios first, then the rows behind them."""

from __future__ import annotations

from typing import Any

from bench.judge import number


def table(told: dict[str, Any]) -> str:
    """Return the text."""
    lines = [
        f"taskdir beside its peers · {told['date']}{' · QUICK: a small run' if told['quick'] else ''}",
        machine_words(told["machine"]),
        f"on {told['file_system']}",
        "",
        *columns(goal_rows(told)),
    ]
    for title, rows in sections(told):
        lines += ["", title, *columns(rows)]
    lines += [f"NOT MEASURED: {what}: {why}" for what, why in told["skipped"].items()]
    return "\n".join(lines)


def machine_words(machine: dict[str, Any]) -> str:
    """Name a machine."""
    words = f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, {machine['kernel']}, "
    nice = f", at nice {machine['nice']}" if machine["nice"] else ""
    return words + f"Python {machine['python']}; load {machine['load']} when the run began{nice}"


def columns(rows: list[list[str]]) -> list[str]:
    """Lay rows out in columns, the first one being the heads."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    laid = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [laid[0], "  ".join("-" * width for width in widths), *laid[1:]]


def goal_rows(told: dict[str, Any]) -> list[list[str]]:
    """Return the goals: part, what, measured, goal, verdict."""
    rows = [["", "what", "measured", "goal", "verdict"]]
    for each in told["goals"]:
        value = "–" if each["value"] is None else f"{number(each['value'])} {each['unit']}"
        verdict = each["verdict"] + (f" ({each['why']})" if each["why"] else "")
        rows.append([each["part"], each["what"], value, each["goal"], verdict])
    return rows


def sections(told: dict[str, Any]) -> list[tuple[str, list[list[str]]]]:
    """Return the tables behind the goals, as far as their parts ran."""
    series, figures = told["series"], told["figures"]
    made = [
        ("(a) (b) (c) End to end, durable: 1 submitter and 2 agents at once", _peers(series)),
        ("(a) taskdir with more agents, and on other file systems", _alone(series)),
        ("(a) (i) Where the time goes: microseconds a task", _phases(series)),
        ("(d) Latency in ms", _latency(series)),
        ("(d) (h) Starting the agents' verbs", _starts(series)),
        ("(e) Claim and complete, 2 agents, with so many waiting", _waiting(series)),
        ("(f) Memory, restart and replay", _restarts(series)),
        ("(g) At rest", _rest(series, figures)),
        ("(i) Agents that contend for the same offers", _agents(series)),
        ("(j) Batches", _batch(series)),
    ]
    return [(title, rows) for title, rows in made if len(rows) > 1]


def _span(row: dict[str, Any]) -> str:
    return f"{number(row['least'])}–{number(row['most'])}"


def _peers(series: dict[str, Any]) -> list[list[str]]:
    rows = [["queue", "taskdir is", "tasks/s", "least–most", "lost", "twice", "of", "durable how", "version"]]
    for row in series.get("peers", ()):
        counts = [f"{row[name]:,}" for name in ("lost", "twice", "tasks")]
        ratio = "" if row["name"] == "taskdir" else f"{number(row['ratio'])} ×"
        rows.append([row["name"], ratio, number(row["rate"]), _span(row), *counts, row["promise"], row["version"]])
    return rows


def _alone(series: dict[str, Any]) -> list[list[str]]:
    rows = [["agents", "on", "tasks/s", "least–most"]]
    rows += [[str(row["agents"]), "as above", number(row["rate"]), _span(row)] for row in series.get("few", ())]
    rows += [["2", row["on"], number(row["rate"]), _span(row)] for row in series.get("beside", ())]
    return rows


def _phases(series: dict[str, Any]) -> list[list[str]]:
    told = series.get("phases", ())
    rows = [["of the daemon, part by part", *(f"{row['agents']} agents" for row in told)]]
    if not told:
        return rows
    parts = sorted(told[0]["parts"], key=lambda part: -float(told[0]["parts"][part]))
    rows += [[part, *(number(row["parts"].get(part, 0.0)) for row in told)] for part in parts]
    names = {"daemon": "CPU time of the daemon", "people": "CPU time of the submitter and the agents", "wall": "a task"}
    rows += [[words, *(number(row[name]) for row in told)] for name, words in names.items()]
    return rows


def _latency(series: dict[str, Any]) -> list[list[str]]:
    rows = [["from submit to", "p50", "p95", "p99"]]
    told = series.get("latency")
    if told:
        half = f"an offer, at {number(told['half load per s'])} tasks/s, half load"
        names = {"rest": "an offer, at rest"}
        if "sync" in told:
            names["sync"] = "… of which one sync of the log: a line appended, without any daemon"
        names |= {"half load": half, "refusal": "a bad document's verdict, at rest"}
        names |= {"hostile": "a hostile document's verdict, at rest"} if "hostile" in told else {}
        for name, words in names.items():
            rows.append([words, *(number(told[name][p]) for p in ("p50", "p95", "p99"))])
    return rows


def _starts(series: dict[str, Any]) -> list[list[str]]:
    rows = [["command", "× a bare interpreter", "ms", "modules imported", "importing, ms"]]
    rows += [
        [row["name"], number(row["ratio"]), number(row["ms"]), str(row["imports"]), number(row["import ms"])]
        for row in series.get("starts", ())
    ]
    return rows


def _waiting(series: dict[str, Any]) -> list[list[str]]:
    rows = [["waiting", "tasks/s", "least–most", "daemon's memory, MB"]]
    rows += [
        [f"{row['waiting']:,}", number(row["rate"]), _span(row), number(row["mb"])] for row in series.get("waiting", ())
    ]
    return rows


def _restarts(series: dict[str, Any]) -> list[list[str]]:
    heads = "tasks|memory, MB|first offer after a restart, s|index lost: events|replayed/s|offer after, s|at most, MB"
    rows = [heads.split("|")]
    for name in ("waiting", "history"):
        told = series.get(f"restart {name}")
        if told:
            what = f"{told['tasks']:,} {'waiting' if name == 'waiting' else 'done'}"
            speeds = [number(told[name]) for name in ("replay per s", "offered s", "most mb")]
            rows.append([what, number(told["mb"]), number(told["ready s"]), f"{told['events']:,}", *speeds])
    return rows


def _rest(series: dict[str, Any], figures: dict[str, float]) -> list[list[str]]:
    rows = [["looked for", "CPU", "wake-ups"]]
    told = series.get("rest")
    if told:
        percent, wakes = figures["idle cpu percent"], figures["idle wakeups per s"]
        rows.append([f"{number(told['seconds'])} s", f"{percent:.3f} % of a core", f"{number(wakes)} /s"])
        if "pass" in told:
            rows[0] += ["an empty pass, ms: after a second of sleep", "… one after the other"]
            rows[1] += [number(told["pass"]["cold"]), number(told["pass"]["warm"])]
    return rows


def _agents(series: dict[str, Any]) -> list[list[str]]:
    rows = [["agents", "tasks/s", "least–most"]]
    rows += [[str(row["agents"]), number(row["rate"]), _span(row)] for row in series.get("agents", ())]
    return rows


def _batch(series: dict[str, Any]) -> list[list[str]]:
    rows = [["tasks in a batch", "tasks/s", "least–most"]]
    told = series.get("batch")
    if told:
        rows.append([f"{told['tasks']:,}", number(told["rate"]), _span(told)])
    return rows
