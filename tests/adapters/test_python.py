"""adapters/python: its README at a live root, and what the kit for agents does not ask of agent.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from adapters.live import conforms
from adapters.readme import ADAPTERS, drain, example
from support.live import ENV

HERE = ADAPTERS / "python"
PROBE = """
import runpy, sys
sys.argv = ["agent.py", "help"]
try:
    runpy.run_path({path!r}, run_name="__main__")
finally:
    print(*sorted({{name.partition(".")[0] for name in sys.modules}} - sys.stdlib_module_names), file=sys.stderr)
"""


def test_the_example_of_the_readme_drains_a_live_root(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(example(HERE / "README.md", "python"))
    records = drain(tmp_path, [sys.executable, "worker.py"], PYTHONPATH=ENV["PYTHONPATH"])
    assert [record["output"] for record in records] == [f"TASK {n}" for n in range(1, len(records) + 1)]
    assert all("half way" in record["attempts"][0]["notes"] for record in records)


def test_the_program_conforms() -> None:
    conforms([sys.executable, HERE / "agent.py"])


def test_the_program_imports_the_standard_library_alone() -> None:
    probe = PROBE.format(path=str(HERE / "agent.py"))
    # -I -S: without site-packages, so that nothing foreign can come in by itself
    argv = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {ENV['PYTHONPATH']!r})\n{probe}"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "work AGENT" in done.stdout
    assert set(done.stderr.split()) <= {"taskdir", "__main__"}
