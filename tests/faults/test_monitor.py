"""Telemetry around any program: right figures, its own exit code, Ctrl-C safe, never in its way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import dlbench
from dlbench.core.errors import UsageError
from dlbench.core.reasons import Reason
from dlbench.core.types import Absent, Estimated, Measured, TelemetryLevel
from dlbench.session import measuring
from dlbench.session import monitor as monitoring
from dlbench.store import runs
from dlbench.telemetry.watch import Watch, Watched
from tests import waiting
from tests.nvml import replaying

ROOT = Path(__file__).parents[2]


def _monitor(
    *command: str, folder: Path, options: tuple[str, ...] = (), **variables: str | Path
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "dlbench",
            "monitor",
            "--idle",
            "0.3",
            "--out",
            str(folder),
            *options,
            "--",
            *command,
        ],
        env={**os.environ, **{k: str(v) for k, v in variables.items()}},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=waiting.LIMIT_S,
    )


def _replay(library: Path, folder: Path, scenario: str) -> dict[str, Path | str]:
    path = folder / "scenario.txt"
    path.write_text(scenario)
    return {
        "DLBENCH_NVML_LIBRARY": library,
        "DLBENCH_NVML_REPLAY": path,
        "CUDA_VISIBLE_DEVICES": "GPU-aaaa0000",
    }


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["true"], 0),
        (["false"], 1),
        ([sys.executable, "-c", "raise SystemExit(42)"], 42),
        (["sh", "-c", "kill -9 $$"], 137),
        (["sh", "-c", "kill -11 $$"], 139),
        (["no-such-program"], 127),
        (["/etc/passwd"], 126),
    ],
)
def test_the_exit_code_is_the_programs(tmp_path: Path, command: list[str], code: int) -> None:
    """Also of one that a signal ended, that is not there, or that may not be run."""
    done = _monitor(*command, folder=tmp_path)
    assert done.returncode == code, done.stderr
    (path,) = tmp_path.glob("*.json")
    (monitored,) = runs.read_run(path).monitored
    assert monitored.exit_code == code
    assert list(monitored.command) == command


def test_a_folder_that_cannot_be_written_is_refused_before_the_program_runs(
    tmp_path: Path,
) -> None:
    """Hours of a program's work would have no document."""
    (tmp_path / "file").touch()
    done = _monitor("touch", str(tmp_path / "ran"), folder=tmp_path / "file" / "results")
    assert done.returncode == 7
    assert "cannot be written" in done.stderr
    assert "Choose another folder with --out." in done.stderr
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_folder_that_is_lost_meanwhile_takes_neither_figures_nor_exit_code(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    """The program puts a file in the folder's place; there is no run to resume."""
    folder = tmp_path / "results"
    program = f"rmdir {folder}; touch {folder}; exit 42"
    done = _monitor("sh", "-c", program, folder=folder, options=options)
    assert done.returncode == 42
    if options:
        answer = json.loads(done.stdout)
        assert answer["path"] is None
        assert answer["host"]["duration_s"]["value"] > 0
    else:
        assert "processor time" in done.stderr
    assert f"{folder} cannot be written" in done.stderr
    assert "--resume" not in done.stderr


def test_the_programs_input_and_output_are_its_own(tmp_path: Path) -> None:
    """Nothing of ours on stdout."""
    done = subprocess.run(
        [sys.executable, "-m", "dlbench", "monitor", "--idle", "0", "--no-keep", "--", "cat"],
        input="through",
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "through"
    assert "processor time" in done.stderr


def test_a_gpus_energy_over_a_program_is_right(library: Path, tmp_path: Path) -> None:
    """250 W for as long as it sleeps; by the counter, which ticks each 100 ms."""
    variables = _replay(library, tmp_path, f"{replaying.A100} period_ms 100 arch 7")
    done = _monitor("sleep", "1.5", folder=tmp_path, options=("--json",), **variables)
    answer = json.loads(done.stdout)
    gpu = answer["devices"]["nvidia:0"]
    assert gpu["energy_j"]["kind"] == "estimated"
    span_s = answer["host"]["duration_s"]["value"]
    assert gpu["energy_j"]["value"] == pytest.approx(250 * span_s, rel=0.02)
    assert gpu["mean_power_w"]["value"] == pytest.approx(250, rel=0.02)
    assert gpu["max_temperature_c"]["value"] == 41
    assert gpu["utilisation_percent"]["value"] == 97
    assert gpu["peak_device_memory_mib"]["value"] == 1024


def test_a_counter_lost_in_mid_run_is_absent_and_the_program_goes_on(
    library: Path, tmp_path: Path
) -> None:
    """Its code, and no number."""
    scenario = f"{replaying.A100}\nfail nvmlDeviceGetTotalEnergyConsumption * 10 15"
    variables = _replay(library, tmp_path, scenario)
    done = _monitor("sleep", "1", folder=tmp_path, options=("--json",), **variables)
    assert done.returncode == 0
    energy = json.loads(done.stdout)["devices"]["nvidia:0"]["energy_j"]
    assert (energy["kind"], energy["code"]) == ("absent", "device_lost")


def test_a_driver_that_cannot_be_used_is_in_nobodys_way(library: Path, tmp_path: Path) -> None:
    """The program runs; there is no such device in the document."""
    variables = _replay(library, tmp_path, f"{replaying.A100}\nfail nvmlInitWithFlags * 1 18")
    done = _monitor("true", folder=tmp_path, options=("--json",), **variables)
    assert done.returncode == 0
    assert list(json.loads(done.stdout)["devices"]) == ["cpu"]


def test_ctrl_c_ends_the_program_and_leaves_its_figures(tmp_path: Path) -> None:
    """The terminal tells both; we stay to write down what it took."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "dlbench",
            "monitor",
            "--idle",
            "0",
            "--out",
            str(tmp_path),
            "--",
            "sleep",
            "600",
        ],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    waiting.program(process.pid, "sleep")
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=waiting.LIMIT_S)
    assert process.returncode == 130
    assert "sleep 600" in errors
    (path,) = tmp_path.glob("*.json")
    assert runs.read_run(path).monitored[0].exit_code == 130


def test_sigterm_is_passed_on(tmp_path: Path) -> None:
    """As a batch system sends it, to us alone."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "dlbench",
            "monitor",
            "--idle",
            "0",
            "--no-keep",
            "--",
            "sleep",
            "600",
        ],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    waiting.program(process.pid, "sleep")
    process.send_signal(signal.SIGTERM)
    assert process.wait(waiting.LIMIT_S) == 143


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["before it is started", "before its number is known"])
def test_a_signal_that_comes_while_the_program_is_started_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals, moment: str
) -> None:
    """It waits until there is somebody to tell."""
    start: Any = subprocess.Popen

    def start_and_be_told(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(subprocess, "Popen", start)
        if moment == "before it is started":
            signal.raise_signal(number)
        process = start(*arguments, stderr=subprocess.DEVNULL, **options)
        if moment == "before its number is known":
            signal.raise_signal(number)
        return process

    monkeypatch.setattr(subprocess, "Popen", start_and_be_told)
    finished = monitoring.monitor(["sleep", "5"], [], TelemetryLevel.OFF, None, idle_s=0.0)
    assert finished.exit_code == 128 + number


def test_a_signal_after_the_end_reaches_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program's number may be another's by then, and we stay to write it down."""
    told: list[int] = []
    wait = os.wait4
    end = Watch.end

    def wait_and_listen(pid: int, options: int) -> Any:
        ended = wait(pid, options)
        monkeypatch.setattr(os, "kill", lambda pid, _: told.append(pid))
        return ended

    def end_and_be_told(self: Watch) -> Watched:
        signal.raise_signal(signal.SIGTERM)
        return end(self)

    monkeypatch.setattr(os, "wait4", wait_and_listen)
    monkeypatch.setattr(Watch, "end", end_and_be_told)
    finished = monitoring.monitor(["true"], [], TelemetryLevel.OFF, None, idle_s=0.0)
    assert (finished.exit_code, told) == (0, [])


def test_a_program_that_nobody_watches_does_not_run(tmp_path: Path) -> None:
    """Whoever was to watch it has died: its end of the pipe closes without a word."""
    marker = tmp_path / "ran"
    gate = [sys.executable, "-I", "-S", "-c", monitoring.GATE, "0", "touch", str(marker)]
    assert subprocess.run(gate, input=b"", check=False).returncode == 125
    assert not marker.exists()
    assert subprocess.run(gate, input=b"x", check=False).returncode == 0
    assert marker.exists()


def test_processor_time_and_memory_are_of_all_its_processes(tmp_path: Path) -> None:
    """A child that works for half a second, and holds 100 MiB."""
    work = (
        "import time; x = bytearray(100 << 20); t = time.process_time()\n"
        "while time.process_time() - t < 0.5: pass"
    )
    shell = f"{sys.executable} -c '{work}'; true"
    done = _monitor("sh", "-c", shell, folder=tmp_path, options=("--json",))
    host = json.loads(done.stdout)["host"]
    assert 0.5 <= host["cpu_s"]["value"] < 1.5
    assert 100 <= host["peak_rss_mib"]["value"] < 200


def test_a_monitored_document_can_be_checked_and_reported(tmp_path: Path) -> None:
    """The same format: every rule holds, and the report is a page."""
    _monitor("true", folder=tmp_path)
    (path,) = tmp_path.glob("*.json")
    for command in (["check", str(path)], ["report", str(path), "-o", str(tmp_path / "r.html")]):
        done = subprocess.run(
            [sys.executable, "-m", "dlbench", *command],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "options", [("--telemetry", "off"), ("--idle", "-1"), ("--device", "nvidia:7")]
)
def test_options_that_make_no_sense_are_refused_before_the_program_runs(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    """With exit code 2."""
    marker = tmp_path / "ran"
    done = _monitor("touch", str(marker), folder=tmp_path, options=options)
    assert done.returncode == 2
    assert not marker.exists()


# --- from Python ------------------------------------------------------------------------------


def test_a_block_is_measured_in_two_lines(tmp_path: Path) -> None:
    """Time, processor time, and each device's figures as what they are."""
    with dlbench.measure("spin") as m:
        end_s = time.process_time() + 0.4
        while time.process_time() < end_s:
            pass
    host = m.metrics["host"]
    assert isinstance(host["duration_s"], Measured)
    assert host["duration_s"].value >= 0.4
    assert isinstance(host["cpu_s"], Measured)
    assert host["cpu_s"].value == pytest.approx(0.4, abs=0.15)
    assert isinstance(m.metrics["cpu"]["energy_j"], Absent | Estimated)
    assert "spin" in str(m)
    saved = runs.read_run(m.save(tmp_path))
    assert saved.monitored[0].name == "spin"


def test_an_exception_leaves_the_block_and_the_figures() -> None:
    """It is not swallowed."""
    m = dlbench.measure()
    with pytest.raises(ValueError, match="mine"), m:
        raise ValueError("mine")
    assert m.run.monitored[0].exit_code == 1


def test_asking_too_early_is_an_error() -> None:
    """There is nothing yet."""
    with pytest.raises(UsageError, match="has not ended"):
        _ = dlbench.measure().run


def test_an_unknown_device_is_refused() -> None:
    """With the reason why there is none."""
    with pytest.raises(UsageError, match="no device nvidia:7"):
        measuring.chosen(["nvidia:7"])


def test_measure_is_a_module_and_a_function() -> None:
    """Whichever is imported first."""
    program = (
        "import dlbench.measure.energy, dlbench\n"
        "with dlbench.measure(level='basic') as m: pass\n"
        "print(m.run.plan.telemetry)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == TelemetryLevel.BASIC


def test_power_read_by_its_integral_has_its_tail(library: Path, tmp_path: Path) -> None:
    """No counter, power as a mean of a second: too short a program has no energy, and says so."""
    scenario = replaying.A100.replace(" base_mj 7000", "")
    variables: dict[str, Any] = _replay(library, tmp_path, scenario)
    done = _monitor("true", folder=tmp_path, options=("--json",), **variables)
    energy = json.loads(done.stdout)["devices"]["nvidia:0"]["energy_j"]
    assert energy["code"] == Reason.WINDOW_TOO_SHORT
