"""What is written for each service manager, held against its own checker where there is one; and how it is called.

The managers' tools are stand-ins here, which note their arguments: tests/scenario/test_systemd.py has a real systemd.
"""

from __future__ import annotations

import json
import os
import plistlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from taskdir import service
from taskdir.cli import main
from taskdir.errors import NoDaemon, Usage
from taskdir.service import Job, is_as_made
from taskdir.service.job import escape
from taskdir.service.seal import seal

ODD = [
    "/srv/jobs",
    "/",
    "/a b",
    "/a-b/c_d",
    "/.x/y",
    "/a//b/",
    "/q\"u'o\\te",
    "/100%/$HOME",
    "/ä/日本",
    "/a:b@c+d,e=f~g",
    "/-",
]
ALL = [*service.MANAGERS]


def made(root: str = "/srv/jobs", *, system: bool = True, command: tuple[str, ...] = ("/usr/bin/env",)) -> Job:
    return Job(root, command, "daemon", "/home/ann", system)


def tool(name: str) -> str:
    """Return a tool's path, or skip."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"NOT TESTED: no {name} here")
    return found


@pytest.mark.parametrize("root", ODD)
def test_a_root_is_one_word_as_systemd_says(root: str) -> None:
    said = subprocess.run([tool("systemd-escape"), "--path", "--", root], capture_output=True, text=True, check=True)
    assert escape(root) == said.stdout.strip()


def test_every_root_has_a_service_of_its_own() -> None:
    roots = [*ODD[:5], *ODD[6:], "/a/b", "/a-b", "/a_x20b", "/a~20b", "/a\\x20b", "/a~3ab", "/a:b"]
    for name in ALL:
        names = {service.of(name).service(made(root)) for root in roots}
        assert len(names) == len(roots)
        assert all(re.fullmatch(r"[^/\0]+", each) for each in names)
    assert all(re.fullmatch(r"[A-Za-z0-9_.~-]+", service.of("windows").service(made(root))) for root in roots)


@pytest.mark.parametrize("scope", ["system", "user"])
def test_systemd_takes_the_units(scope: str, tmp_path: Path) -> None:
    units = [tmp_path / f"taskdir@{number}.service" for number, _ in enumerate(ODD)]  # the names have their own tests
    for unit, root in zip(units, ODD, strict=True):
        unit.write_text(service.of("systemd").text(made(root, system=scope == "system")), encoding="utf-8")
    done = analyze(scope, "verify", *map(str, units), runtime=tmp_path)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    units[0].write_text(units[0].read_text().replace("Restart=on-failure", "Restart=perhaps"))
    assert "perhaps" in analyze(scope, "verify", str(units[0]), runtime=tmp_path).stderr, "the checker checks"


def analyze(scope: str, *words: str, runtime: Path) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze; a user's units want a runtime directory, which is not there without a log-in."""
    command = [tool("systemd-analyze"), f"--{scope}", "--no-pager", *words]
    env = os.environ | {"XDG_RUNTIME_DIR": str(runtime)}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("scope", "root", "below"), [("system", "/srv/jobs", 2.0), ("system", "/tmp/jobs", 2.0)])
def test_the_systems_unit_is_shut(scope: str, root: str, below: float, tmp_path: Path) -> None:
    unit = tmp_path / "taskdir@x.service"
    text = service.of("systemd").text(made(root))
    unit.write_text(text)
    assert exposure(unit, scope, tmp_path) < below
    unit.write_text(re.sub(r"^(Protect|Private|Restrict|SystemCall|Capability).*\n", "", text, flags=re.M))
    assert exposure(unit, scope, tmp_path) > 5, "the measure measures"


def exposure(unit: Path, scope: str, runtime: Path) -> float:
    done = analyze(scope, "security", "--offline=true", str(unit), runtime=runtime)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found is not None, done.stderr
    return float(found[1])


def test_the_unit_hides_no_process_and_no_root() -> None:
    for root, hidden in (("/srv/jobs", True), ("/tmp/jobs", False), ("/var/tmp/x", False), ("/tmpfs/x", True)):
        text = service.of("systemd").text(made(root))
        assert ("\nPrivateTmp=yes" in text) == hidden
        assert "ProtectProc" not in text
        assert "ProcSubset" not in text
        assert "PrivatePIDs" not in text
    assert "User=" not in service.of("systemd").text(made(system=False))


@pytest.mark.parametrize("root", ODD)
def test_launchd_can_read_the_list(root: str) -> None:
    job = made(root)
    found = plistlib.loads(service.of("launchd").text(job).encode())
    assert found["ProgramArguments"] == ["/usr/bin/env", "--root", root, "run"]
    assert found["Label"] == Path(service.of("launchd").path(job)).stem
    assert (found["KeepAlive"], found["UserName"]) == ({"SuccessfulExit": False}, "daemon")
    assert "UserName" not in plistlib.loads(service.of("launchd").text(made(root, system=False)).encode())


ORDER = {
    "Task": {"RegistrationInfo", "Triggers", "Principals", "Settings", "Actions"},
    "RegistrationInfo": {"Description"},
    "Triggers": {"BootTrigger", "LogonTrigger"},
    "LogonTrigger": {"UserId"},
    "Principals": {"Principal"},
    "Principal": {"UserId", "LogonType", "RunLevel"},
    "Settings": set(
        "MultipleInstancesPolicy DisallowStartIfOnBatteries StopIfGoingOnBatteries StartWhenAvailable"
        " ExecutionTimeLimit RestartOnFailure".split()
    ),
    "RestartOnFailure": {"Interval", "Count"},
    "Actions": {"Exec"},
    "Exec": {"Command", "Arguments", "WorkingDirectory"},
}
"""What each element may hold, from the schema of the Task Scheduler, as far as we use it."""
NAMESPACE = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"


@pytest.mark.parametrize("root", [*ODD, "/<&>", r"C:\My Jobs"])
@pytest.mark.parametrize("system", [True, False])
def test_the_task_is_well_formed(root: str, system: bool) -> None:
    text = service.of("windows").text(made(root, system=system, command=(r"C:\Program Files\taskdir.exe", "-m", "x y")))
    for encoding in ("utf-16", "utf-8"):  # as it is installed, as it is printed
        top = ET.fromstring(text.encode(encoding))
        assert (top.tag, top.get("version")) == (f"{NAMESPACE}Task", "1.2")
    tree = ET.fromstring(text)
    for element in tree.iter():
        name = element.tag.removeprefix(NAMESPACE)
        assert {child.tag.removeprefix(NAMESPACE) for child in element} <= ORDER.get(name, set()), name
    told = {element.tag.removeprefix(NAMESPACE): element.text for element in tree.iter()}
    assert told["Command"] == r"C:\Program Files\taskdir.exe"
    assert str(told["Arguments"]).startswith('-m "x y" --root ')
    assert told["WorkingDirectory"] == root


@pytest.mark.parametrize("name", ALL)
def test_an_edit_is_seen(name: str) -> None:
    text = service.of(name).text(made())
    assert is_as_made(text)
    assert is_as_made(text.replace("Made by taskdir 0", "Made by taskdir 9")), "what another version wrote is ours too"
    assert not is_as_made(text.replace("/srv/jobs", "/srv/other"))
    assert not is_as_made(text + "\n")
    assert not is_as_made("")
    assert not is_as_made("[Service]\nExecStart=/bin/true\n")


def test_the_mark_stands_where_it_is_told() -> None:
    assert seal("a\nb\n", "# {}").splitlines()[1:] == ["a", "b"]
    assert seal("a\nb\n", "# {}", after="a\n").splitlines()[::2] == ["a", "b"]


def test_the_manager_of_each_platform() -> None:
    found = {name: service.of(None, name).name for name in ("linux", "darwin", "win32")}
    assert found == {"linux": "systemd", "darwin": "launchd", "win32": "windows"}
    with pytest.raises(NoDaemon, match="sunos5"):
        service.of(None, "sunos5")


@pytest.mark.parametrize("name", ["line\nbreak", "bell\a", "not-utf8-\udcff"])
def test_a_path_that_no_unit_can_hold(name: str, tmp_path: Path) -> None:
    with pytest.raises(Usage, match="cannot name the path"):
        service.job(str(tmp_path / name), system=False)


def test_a_path_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="too long"):
        service.job(str(tmp_path / ("x" * 120) / ("y" * 120)), system=False)


def test_the_job_of_a_root(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    found = service.job(str(tmp_path / "link"), system=False)
    assert found.root == str(tmp_path / "real"), "the lock and the name are of the directory, not of a link to it"
    assert Path(found.command[0]).is_absolute()
    if os.geteuid() == 0:
        os.chown(tmp_path / "real", 54321, 54321)
        assert service.job(str(tmp_path / "real"), system=True).user == "54321"


STAND_IN = """#!{python}
import json, os, sys
with open({notes!r}, "a") as notes:
    notes.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]) + "\\n")
answer = json.load(open({answers!r})).get(next((word for word in sys.argv[1:] if not word.startswith("-")), ""), "")
if answer.startswith("!"):
    sys.exit(answer[1:])
print(answer)
"""

Said = Callable[..., dict[str, Any]]


class Tools:
    """Stand-ins for the managers' tools, alone on the PATH: what they were asked, and what each word is answered."""

    def __init__(self, base: Path) -> None:
        self.bin, self._notes, self._answers = base / "bin", base / "notes", base / "answers"
        self.bin.mkdir()
        self.answer()
        script = STAND_IN.format(python=sys.executable, notes=str(self._notes), answers=str(self._answers))
        for name in ("systemctl", "journalctl", "launchctl", "schtasks", "tail"):
            (self.bin / name).write_text(script)
            (self.bin / name).chmod(0o755)

    def answer(self, **answers: str) -> None:
        self._answers.write_text(json.dumps(answers))

    def asked(self) -> list[list[str]]:
        """Return the commands since the last look."""
        try:
            lines = self._notes.read_text().splitlines()
            self._notes.unlink()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines]


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    made = Tools(tmp_path)
    monkeypatch.setenv("PATH", str(made.bin))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    return made


@pytest.fixture
def root(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Path:
    assert main(["init", str(tmp_path / "my jobs")]) == 0
    capfd.readouterr()
    return tmp_path / "my jobs"


@pytest.fixture
def said(root: Path, capfd: pytest.CaptureFixture[str]) -> Said:
    """Run `taskdir service … --json`; returns what it says on stdout, or its error."""

    def run(*words: str, code: int = 0) -> dict[str, Any]:
        assert main(["--root", str(root), "--json", "service", *words]) == code
        out, err = capfd.readouterr()
        return dict(json.loads(out or err))

    return run


SHAPES = {
    "systemd": (
        [["systemctl", "--user", "--no-pager", "daemon-reload"], ["systemctl", "--user", "--no-pager", "enable", "@"]],
        [["systemctl", "--user", "--no-pager", "start", "@"]],
        [["systemctl", "--user", "--no-pager", "stop", "@"]],
        [["systemctl", "--user", "--no-pager", "disable", "--now", "@"],
         ["systemctl", "--user", "--no-pager", "daemon-reload"]],
    ),
    "launchd": (
        [["launchctl", "enable", "gui/UID/@"]],
        [["launchctl", "bootstrap", "gui/UID", "PATH"]],
        [["launchctl", "bootout", "gui/UID/@"]],
        [["launchctl", "bootout", "gui/UID/@"]],
    ),
    "windows": (
        [["schtasks", "/create", "/tn", "@", "/xml", "PATH", "/f"]],
        [["schtasks", "/run", "/tn", "@"]],
        [["schtasks", "/end", "/tn", "@"]],
        [["schtasks", "/delete", "/tn", "@", "/f"]],
    ),
}  # fmt: skip
"""install, start, stop, uninstall: the commands; @ is the service's name."""


@pytest.mark.parametrize("name", ALL)
def test_how_the_tools_are_called(name: str, tools: Tools, said: Said, tmp_path: Path) -> None:
    use = ("--manager", name)
    assert said("start", *use, code=66)["error"]["code"] == "not-installed"
    assert said("uninstall", *use, code=66)["error"]["code"] == "not-installed"
    assert said("status", *use, code=1)["installed"] is False
    assert tools.asked() == [], "nothing is asked about what is not there"
    for action, shape in zip(("install", "start", "stop", "uninstall"), SHAPES[name], strict=True):
        told = said(action, *use)
        assert Path(told["path"]).is_relative_to(tmp_path / "home")
        put = {"@": told["name"], "PATH": told["path"], "UID": str(os.getuid())}
        wanted = [[re.sub("UID|PATH|@", lambda found: put[found[0]], word) for word in words] for words in shape]  # noqa: B023
        assert tools.asked() == wanted
        assert os.path.exists(told["path"]) == (action != "uninstall")


@pytest.mark.parametrize("name", ALL)
def test_an_edited_file_is_kept(
    name: str, tools: Tools, said: Said, root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    use, path = ("--manager", name), Path(said("install", "--manager", name)["path"])
    encoding = service.of(name).encoding
    text = path.read_text(encoding=encoding)
    path.write_text(text.replace("taskdir", "mine", 3), encoding=encoding)
    edited = path.read_bytes()
    tools.asked()
    for action in ("install", "uninstall"):
        assert said(action, *use, code=73)["error"]["code"] == "edited"
        assert (path.read_bytes(), tools.asked()) == (edited, [])
    assert main(["--root", str(root), "service", "install", *use]) == 73
    assert "\n+" in capfd.readouterr().err, "the difference is shown"
    assert said("install", *use, "--force")["changed"]
    assert path.read_text(encoding=encoding) == text
    path.write_text(seal("of a version before\n", "# {}"), encoding=encoding)
    assert said("install", *use)["changed"], "what we wrote ourselves is brought up to date unasked"
    path.write_bytes(b"\xff\xfe\xfd")
    assert said("uninstall", *use, code=73)["error"]["code"] == "edited"
    said("uninstall", *use, "--force")
    assert not path.exists()


def test_what_systemd_says(tools: Tools, said: Said) -> None:
    said("install")
    running = "ActiveState=active\nSubState=running\nMainPID=77\nStatusText=12 events in /x\nResult=success"
    tools.answer(show=running)
    found = said("status")
    assert (found["active"], found["pid"], found["said"]) == ("running", 77, "12 events in /x")
    assert found["daemon_runs"] is False
    tools.answer(show="ActiveState=failed\nSubState=failed\nMainPID=0\nStatusText=\nResult=watchdog")
    found = said("status", code=1)
    assert (found["active"], found["said"]) == ("failed", "failed (failed): watchdog")
    tools.answer(start="!Job failed")
    assert said("start", code=1)["error"]["code"] == "service-failed"
    for words in ("System has not been booted with systemd as init system (PID 1). Can't operate.",
                  "Failed to connect to bus: No medium found"):  # fmt: skip
        tools.answer(start=f"!{words}")
        assert said("start", code=69)["error"]["code"] == "no-manager"
    tools.answer(disable="!Failed to connect to bus", **{"daemon-reload": "!Failed to connect to bus"})
    assert said("uninstall")["changed"], "a manager that is gone keeps no file from going"


def test_an_install_that_the_manager_does_not_take(tools: Tools, said: Said) -> None:
    tools.answer(**{"daemon-reload": "!Failed to connect to bus: No medium found"})
    error = said("install", code=69)["error"]
    assert (error["code"], "the file is written" in error["message"]) == ("no-manager", True)
    assert os.path.exists(error["file"])
    tools.answer(enable="!Unit is masked")
    assert said("install", code=1)["error"]["code"] == "service-failed"
    tools.answer()
    tools.asked()
    assert not said("install")["changed"]
    assert len(tools.asked()) == 2, "what the manager did not hear is said again"


def test_what_the_others_say(tools: Tools, said: Said) -> None:
    said("install", "--manager", "launchd")
    tools.answer(print="gui/501/taskdir.x = {\n\tstate = running\n\tpid = 42\n}")
    found = said("status", "--manager", "launchd")
    assert (found["active"], found["pid"]) == ("running", 42)
    tools.answer(print='!Could not find service "taskdir.x" in domain for port')
    assert said("status", "--manager", "launchd", code=1)["said"] == "not loaded"
    said("install", "--manager", "windows")
    tools.answer(**{"/query": '"\\taskdir-x","N/A","Running"'})
    assert said("status", "--manager", "windows", code=1)["active"] == "unknown"


def test_logs(tools: Tools, said: Said, root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tools.answer(**{f"{service.of('systemd').service(service.job(str(root), system=False))}": "started\x1b[31m"})
    assert main(["--root", str(root), "service", "logs", "-n", "5", "-f"]) == 0
    ((first, *words),) = tools.asked()
    assert (first, words[1], words[-1]) == ("journalctl", "--user-unit", "--follow")
    capfd.readouterr()
    assert said("logs")["message"].startswith("started")
    assert said("logs", "--manager", "windows", code=69)["error"]["code"] == "no-logs"
    assert said("logs", "--manager", "launchd", code=69)["error"]["code"] == "no-logs"


def test_where_there_is_no_manager(
    root: Path, said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    for name, tool in (("systemd", "systemctl"), ("launchd", "launchctl"), ("windows", "schtasks")):
        error = said("install", "--manager", name, code=69)["error"]
        assert (error["code"], f"there is no {tool} here" in error["message"]) == ("no-manager", True)
        assert not (tmp_path / "home").exists(), "nothing was written"
    assert said("print")["text"].startswith("# Made by taskdir")
    assert main(["--root", str(root), "service", "print", "--manager", "launchd"]) == 0
    assert plistlib.loads(capfd.readouterr().out.encode())["RunAtLoad"]


def test_a_place_that_cannot_be_written(tools: Tools, said: Said, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    assert said("install", code=73)["error"]["code"] == "cannot-write"
