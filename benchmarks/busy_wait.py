"""A true slowdown of 3 %: found by ``dlbench ab``, or honestly declared too small for this machine.

    python benchmarks/busy_wait.py [--slowdown 0.03] [--pairs 64]

A is a program that computes for a while; B is the same program, which then waits busily for 3 % of the
time that it took so far, the start of its process included (measured beforehand with an empty program).
Both are timed as whole processes. Ends with exit code 1 where B is not found although the closing line
says that so much is resolved here, or where the wrong side is found.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

from dlbench import paired
from dlbench.core.stats import EQUIVALENCE_ZONE
from dlbench.core.types import Absent
from dlbench.session import commands

PROGRAM = """
import sys, time
began_s = time.perf_counter()
total = 0
for i in range(2500000):
    total += i * i % 7
spent_s = time.perf_counter() - began_s + {start_s}
until_s = time.perf_counter() + {slowdown} * spent_s
while time.perf_counter() < until_s:
    pass
"""

STARTS = 15
"""Empty programs that are timed for the start of a process."""


def main() -> None:
    """Calibrate, compare, and judge the judgement."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--slowdown", type=float, default=0.03)
    parser.add_argument("--pairs", type=int, default=paired.LOOKS[-1])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start_s = _start_s()
    print(f"an empty program takes {start_s * 1e3:.1f} ms")
    asked = commands.request(
        (_command(start_s, 0.0), _command(start_s, options.slowdown)),
        most_pairs=options.pairs,
        zone=EQUIVALENCE_ZONE,
        budget_s=None,
        timeout_s=60.0,
        seed=options.seed,
    )
    found = commands.run(asked, lambda so_far, left_s: print(so_far.last_pair_in_words(left_s)))
    print(found.sentence())
    print(found.resolution_sentence())
    said = found.judgement
    resolved = not isinstance(said.resolves, Absent) and said.resolves <= options.slowdown
    if found.interrupted:
        sys.exit(130)
    if said.verdict == "slower":
        print(f"found: the true ratio is {1 / (1 + options.slowdown):.3f}")
    elif said.verdict == "cannot tell" and not resolved:
        print(f"declared unresolvable: {options.slowdown:.0%} is less than this machine resolves")
    else:
        print(f"wrong: B is {options.slowdown:.0%} slower")
        sys.exit(1)


def _command(start_s: float, slowdown: float) -> str:
    program = PROGRAM.format(start_s=start_s, slowdown=slowdown)
    return f'{sys.executable} -I -S -c "{program}"'


def _start_s() -> float:
    """Seconds that an empty program takes, from outside."""
    spans_s = []
    for _ in range(STARTS):
        began_s = time.perf_counter()
        subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True)
        spans_s.append(time.perf_counter() - began_s)
    return statistics.median(spans_s)


if __name__ == "__main__":
    main()
