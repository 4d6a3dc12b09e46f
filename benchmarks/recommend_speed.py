"""How long an answer over the whole catalog takes, on demand and spot: the bound is 2 s.

    python benchmarks/recommend_speed.py [--repeat N]

Runs the command in a fresh process, with the documents of ``results/``. Prints one line a need: the
fastest and the median of N answers, and the median of their processor time, which other work on the
machine changes less. Ends with 1 if a median is above the bound.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from dlbench.core.errors import EXIT_NOTHING_RAN, EXIT_OK

BOUND_S = 2.0
FOLDER = Path(__file__).parent.parent


def main() -> int:
    """Time each of the worked needs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    slowest_s = 0.0
    for path in sorted((FOLDER / "docs" / "needs").glob("*.toml")):
        spans_s, busy_s = zip(*(_answered(path) for _ in range(repeat)), strict=True)
        median_s = statistics.median(spans_s)
        slowest_s = max(slowest_s, median_s)
        print(
            f"{path.stem:<20} fastest {min(spans_s):.2f} s, median {median_s:.2f} s, "
            f"of a processor {statistics.median(busy_s):.2f} s"
        )
    return int(slowest_s > BOUND_S)


def _answered(need: Path) -> tuple[float, float]:
    """Seconds from start to end of one answer, and those of processors."""
    command = [sys.executable, "-m", "dlbench", "recommend", str(need), "--spot"]
    before_s, start_s = _processor_s(), time.perf_counter()
    done = subprocess.run(command, cwd=FOLDER, stdout=subprocess.DEVNULL, check=False)
    if done.returncode not in {EXIT_OK, EXIT_NOTHING_RAN}:
        raise SystemExit(done.returncode)
    return time.perf_counter() - start_s, _processor_s() - before_s


def _processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
