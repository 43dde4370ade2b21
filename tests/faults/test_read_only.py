"""A file system that an error made read-only while a daemon works on it, for real; and back, after the repair."""

from __future__ import annotations

import subprocess
from pathlib import Path

from support.grounds import break_ext4, ext4, needs_root, tmpfs
from support.live import Root, taskdir, until


@needs_root
def test_a_file_system_that_went_read_only_and_came_back(tmp_path: Path) -> None:
    at, image = tmp_path / "small", tmp_path / "image"
    with ext4(at, image):
        root = Root(at / "root", scan_seconds=0.05, settle_seconds=0)
        root.words = tmp_path / "said"
        with root:
            root.put("inbox/a.json", {"type": "echo"})
            claimed = root.claim("alice")
            root.put("inbox/b.json", {"type": "echo", "lease_seconds": 1, "backoff_seconds": 0})
            root.claim("bob")  # and falls silent
            until(lambda: len(root.events("claimed")) == 2, "the claims")
            break_ext4(at)
            until(lambda: "Read-only" in root.said(), "a word about it")
            assert not root.ended()
            assert taskdir("submit", "--type", "echo", root=root.path).returncode == 73
            assert taskdir("finish", str(claimed), "--output", "1", root=root.path).returncode == 73
            for verb in ("list", "status"):
                assert (said := taskdir(verb, root=root.path)).returncode == 0, said.stderr
            root.stop()
    with ext4(at, image), root:
        until(lambda: claimed.read_text().endswith("}\n"), "the claim is whole, if its bytes were lost (SPEC P2)")
        root.finish(claimed, {"status": "ok", "output": 1})
        until(lambda: root.names("done") == ["a.json"], "the result")
        assert taskdir("submit", "--type", "echo", "--id", "new", root=root.path).returncode == 0
        until(lambda: [name.split(".")[1] for name in root.offered()] == ["b", "new"], "the lease is over, at last")
        assert root.stop() == 0
        assert (said := taskdir("check", root=root.path)).returncode == 0, said.stderr


@needs_root
def test_nobody_makes_it_read_only_by_hand_while_a_daemon_runs(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "small", size="4m") as at, Root(at / "root", scan_seconds=0.05) as root:
        words = ["mount", "-o", "remount,ro", str(at)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert "busy" in done.stderr, "the log is open for writing"
        root.put("inbox/a.json", {"type": "echo"})
        until(root.offered, "the offer")
        root.stop()
        until(lambda: subprocess.run(words, check=False, capture_output=True).returncode == 0, "nobody is in the way")
        done = taskdir("run", "--once", root=root.path)
        assert (done.returncode, "Read-only" in done.stderr) == (73, True), done.stderr
        subprocess.run(["mount", "-o", "remount,rw", str(at)], check=True)
        assert taskdir("run", "--once", root=root.path).returncode == 0
