"""Runners with a fault planted, each seen by the testers of the runner: none of these would be a runner to trust."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runner import test_attempt, test_process, test_workspaces
from runner.stage import Stage

FAULTS: list[tuple[str, Callable[[Stage], None], str]] = [
    (
        "an exit code of 0 is a result",
        test_attempt.test_exit_0_proves_nothing,
        (
            "from taskdir.runner import collect\n"
            "collect._none = lambda ended, *_: collect.Finding({'status': 'ok', 'output': {'n': 1}})"
        ),
    ),
    (
        "a result is not checked before it is handed in",
        test_attempt.test_a_bad_result_is_told_back_and_mended_in_the_same_workspace,
        "from taskdir.runner import collect\ncollect.results.check = lambda *_: None",
    ),
    (
        "what was wrong is not told",
        test_attempt.test_a_bad_result_is_told_back_and_mended_in_the_same_workspace,
        (
            "from taskdir.runner import prompt\nreal = prompt.write\n"
            "prompt.write = lambda space, claim, contract, trouble, disk, speaks: "
            "real(space, claim, contract, None, disk, speaks=speaks)"
        ),
    ),
    (
        "the contract's check is not run",
        test_attempt.test_the_contracts_verify_is_run_and_told_back,
        "from taskdir.runner.attempt import Attempt\nAttempt._verify = lambda *_: None",
    ),
    (
        "commands are not led by a session of their own",
        test_attempt.test_the_desk_and_the_environment,
        (
            "import subprocess\nreal = subprocess.Popen\n"
            "subprocess.Popen = lambda *w, start_new_session=False, **k: real(*w, **k)"
        ),
    ),
    (
        "links are artifacts",
        test_attempt.test_a_link_is_no_artifact,
        "from taskdir.runner import collect\ncollect.stat.S_ISREG = lambda mode: True",
    ),
    (
        "what is left uncommitted is not committed",
        test_attempt.test_a_worktree_its_branch_its_commit_and_its_artifacts,
        "from taskdir.runner import git\ngit.commit_all = lambda *_: None",
    ),
    (
        "worktrees are removed by force",
        test_workspaces.test_uncommitted_work_of_a_failed_attempt_is_never_removed,
        (
            "from taskdir.runner import git\nreal = git.git\ngit.dirty = lambda tree: []\n"
            "git.git = lambda *w, **k: real(*w[:2], *(['--force'] if w[1] == 'remove' else []), *w[2:], **k)"
        ),
    ),
    (
        "a workspace that is in use is removed",
        test_workspaces.test_a_tree_in_use_is_left,
        "from taskdir.runner import processes\nprocesses.inside = lambda path: []",
    ),
    (
        "without a workspace the command runs in what is there",
        test_workspaces.test_without_a_workspace_nothing_is_run,
        (
            "import os\nfrom taskdir.disk import Disk\nreal = Disk.mkdir\n"
            "Disk.mkdir = lambda self, path, mode=0o755: real(self, path, mode) or True\n"
            "os.path.lexists = lambda path: False if path.endswith('a.1') else os.path.exists(path)"
        ),
    ),
    (
        "the desk may be a link",
        test_workspaces.test_a_desk_that_was_replaced_by_a_link_is_not_written_to,
        "from taskdir.runner.attempt import Attempt\nAttempt._desk_is_ours = lambda self: True",
    ),
    (
        "git believes the tree's own .git file",
        test_workspaces.test_git_is_not_led_astray_by_the_tree,
        (
            "from taskdir.runner import git\nreal = git.git\ngit._QUIET = ()\n"
            "git.git = lambda *w, tree=None, **k: real(*w, cwd=tree.path, **k) if tree else real(*w, **k)"
        ),
    ),
    (
        "the first signal is no reason to end",
        test_process.test_the_first_signal_drains_the_second_stops,
        "from taskdir.runner.loop import Signals\nSignals.draining = lambda self: self.count > 1",
    ),
    (
        "a slot does not look whether its runner lives",
        test_process.test_slots_end_when_the_runner_above_them_is_killed,
        "from taskdir.runner import loop\nloop.Slot = loop.Signals",
    ),
]


@pytest.mark.parametrize(("tester", "fault"), [each[1:] for each in FAULTS], ids=[each[0] for each in FAULTS])
def test_a_planted_fault_is_seen(tmp_path: Path, tester: Callable[[Stage], None], fault: str) -> None:
    stage = Stage(tmp_path)
    stage.planted, stage.patience = fault, 3.0
    with pytest.raises(AssertionError) as caught:
        tester(stage)
    assert "Traceback" not in str(caught.value), "the runner did not even run"
