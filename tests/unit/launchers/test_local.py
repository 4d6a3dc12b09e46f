"""What the kernel says of processes that it ended for want of memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlbench.launchers import local
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
