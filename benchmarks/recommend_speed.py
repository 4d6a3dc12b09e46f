"""How long an answer over the whole catalog takes, on demand and spot: the bound is 2 s.

    python benchmarks/recommend_speed.py [--repeat N]

Prints one line a need: the fastest and the median of N answers in this process, and for the first also
the time with everything loaded from disk. Ends with 1 if a median is above the bound.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

BOUND_S = 2.0
FOLDER = Path(__file__).parent.parent


def main() -> int:
    """Time each of the worked needs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    began_s = time.perf_counter()
    from dlbench import catalog
    from dlbench.analysis import recommend
    from dlbench.analysis.recommend import needs
    from dlbench.store.runs import load_runs

    runs, loaded = load_runs([FOLDER / "results"]), catalog.load()
    predictor = recommend.predictor(runs, loaded)
    today = datetime.now(UTC).date()
    print(f"loaded in {time.perf_counter() - began_s:.2f} s: {len(loaded.offers)} offers")
    slowest_s = 0.0
    for path in sorted((FOLDER / "docs" / "needs").glob("*.toml")):
        need = replace(needs.build(needs.read(path))[0], spot=True)
        taken_s, ways = [], 0
        for _ in range(repeat):
            start_s = time.perf_counter()
            answer = recommend.recommend(need, runs, loaded, predictor, today=today)
            taken_s.append(time.perf_counter() - start_s)
            ways = len(answer.rejected) + len(answer.alternatives) + (answer.pick is not None)
        median_s = statistics.median(taken_s)
        slowest_s = max(slowest_s, median_s)
        print(f"{path.stem:<20} fastest {min(taken_s):.2f} s, median {median_s:.2f} s, {ways} ways")
    return int(slowest_s > BOUND_S)


if __name__ == "__main__":
    sys.exit(main())
