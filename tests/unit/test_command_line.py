"""The root of the command line: each command is imported when it is asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dlbench.cli import main


@pytest.mark.parametrize("name", main.COMMANDS)
def test_the_list_of_commands_says_what_each_command_says(name: str) -> None:
    """The first paragraph of its own help."""
    command = main.load(name)
    assert " ".join(command.help.split("\n\n")[0].split()) == main.COMMANDS[name]


def test_help_imports_no_command_and_a_command_no_other() -> None:
    """What makes a command line slow is what it imports."""
    program = (
        "import sys\nfrom dlbench.cli import main\n"
        "for arguments in (['--help'], ['check', '--help']):\n"
        "    sys.argv = ['dlbench', *arguments]\n"
        "    try: main.main()\n    except SystemExit: pass\n"
        f"    names = [n for n in {list(main.COMMANDS)!r} if 'dlbench.cli.' + n in sys.modules]\n"
        "    print('loaded:', names)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    loaded = [line for line in done.stdout.splitlines() if line.startswith("loaded:")]
    assert loaded == ["loaded: []", "loaded: ['check']"]


def test_a_recommendation_imports_no_scipy(tmp_path: Path) -> None:
    """It would take longer than the answer: simulation and predictor have what they need in numpy."""
    program = (
        "import sys\nfrom dlbench.__main__ import main\n"
        "sys.argv = ['dlbench', 'recommend', '--workload', 'resnet50']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print('loaded:', sorted({'scipy', 'pandas', 'torch', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout.splitlines()[-1] == "loaded: ['numpy']", done.stderr
