"""What the kernel says of processes that it ended for want of memory, and who ended one by a signal."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest

from dlbench.core.requests import TrialRequest
from dlbench.launchers import local
from dlbench.session.signals import StopSignal
from tests import builders

V2 = {"proc/self/cgroup": "0::/job\n", "sys/fs/cgroup/job/memory.events": "oom 4\noom_kill 3\n"}
V1 = {
    "proc/self/cgroup": "4:memory:/slurm/job\n0::/\n",
    "sys/fs/cgroup/memory/memory.oom_control": "under_oom 0\noom_kill 0\n",
}
MACHINE = {"proc/vmstat": "oom_kill 2\npgfault 7\n"}


@pytest.mark.parametrize(
    ("files", "n"), [({**V2, **MACHINE}, 3), ({**V1, **MACHINE}, 2), (MACHINE, 2), ({}, 0)]
)
def test_the_oom_killers_victims_are_counted_where_they_count(
    files: dict[str, str], n: int, tmp_path: Path
) -> None:
    """By the root of version 1 two workers that it had ended had crashed for no known reason."""
    assert local.oom_kills(builders.tree(tmp_path, files)) == n


@pytest.mark.parametrize(
    ("signal_", "asked", "interrupted"),
    [("TERM", True, True), ("TERM", False, False), ("SEGV", True, False)],
)
def test_a_worker_that_is_told_to_end_just_before_us_has_not_crashed(
    signal_: str,
    asked: bool,
    interrupted: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As at a shutdown: the trial counted as crashed, and resuming did not go on with its case."""
    dying = tmp_path / "python"
    dying.write_text(f"#!/bin/sh\nkill -{signal_} $$\n")
    dying.chmod(0o755)
    request = TrialRequest(
        case=builders.case(),
        device=builders.CPU,
        profile=builders.PROFILE,
        workload_folder="",
        threads=1,
        seed=0,
        round=0,
        role="measure",
        position=0,
        parent_pid=os.getpid(),
        content_hash="",
    )
    end = local._end
    with contextlib.closing(StopSignal()) as stop:

        def ended_before_us(*given: Any, **options: Any) -> int | None:
            returncode = end(*given, **options)
            if asked:
                stop.ask()
            return returncode

        monkeypatch.setattr(local, "_end", ended_before_us)
        monkeypatch.setattr(local, "TOGETHER_S", 0.0)
        ended = local.launch(
            request,
            environment=os.environ,
            deadlines=local.Deadlines(),
            on_event=lambda _: None,
            stop=stop,
            python=str(dying),
        )
    assert ended.interrupted is interrupted
