"""How a report bears many results: build time, size, and when the page can be used in a real browser.

``python benchmarks/report_scale.py`` makes 1,000 results case by case and 100,000 from a packed
collection. Results are those of a published document, again and again on pretended machines with a
speed of their own. The limits are those that the report promises; the exit code says whether they hold.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from dlbench.analysis import frame, packed, rows
from dlbench.analysis.rows import Row
from dlbench.core.types import Absent, Run
from dlbench.report import browser, build, content
from dlbench.store import runs as store

MOST_OPEN_S = 3.0
MOST_BUILD_S = 30.0
MOST_BYTES = 10_000_000


def documents(base: Run, n_results: int) -> list[Run]:
    """The same document from as many machines as are needed for so many results."""
    found = []
    for i in range(-(-n_results // len(base.results))):
        environment = dataclasses.replace(base.environment, machine=f"machine-{i:03d}")
        found.append(dataclasses.replace(base, run_id=f"run-{i:06d}", environment=environment))
    return found


def collection(base: Run, n_results: int, seed: int = 0) -> pd.DataFrame:
    """Rows of many machines, device models and batch sizes, as a frame."""
    noise = random.Random(seed)
    originals = rows.of([base])
    found = [_another(originals[i % len(originals)], i, noise) for i in range(n_results)]
    return frame.of_rows(found)


def _another(row: Row, i: int, noise: random.Random) -> Row:
    speed = noise.lognormvariate(0, 0.3)
    machine = i // 50
    case = dataclasses.replace(row.case, batch_size=2 ** noise.randrange(8))
    faster = {
        name: value
        if isinstance(value, Absent)
        else dataclasses.replace(value, value=value.value * speed)
        for name, value in row.metrics.items()
    }
    return dataclasses.replace(
        row,
        run_id=f"run-{machine:06d}",
        machine=f"machine-{machine:06d}",
        device_name=f"Device {machine % 40}",
        case=case,
        metrics=faster,
    )


def opened_s(page: str, folder: Path) -> tuple[float, float] | None:
    """Seconds until the page can be used, and of one filter; None without a browser."""
    found = browser.find()
    if found is None:
        return None
    from playwright.sync_api import sync_playwright

    path = folder / "page.html"
    path.write_text(page, encoding="utf-8")
    with sync_playwright() as started:
        flags = [*browser.FLAGS, "--no-sandbox"]
        running = started.chromium.launch(executable_path=found, args=flags)
        view = running.new_page(viewport={"width": 1280, "height": 900})
        view.goto("about:blank")
        begin_s = time.monotonic()
        view.goto(path.as_uri())
        view.wait_for_selector("html[data-ready]", state="attached")
        view.screenshot()  # until it is drawn
        ready_s = time.monotonic() - begin_s
        begin_s = time.monotonic()
        view.locator("#filters summary").click()
        view.locator("#filters input").first.uncheck()
        view.screenshot()
        filter_s = time.monotonic() - begin_s
        running.close()
    return ready_s, filter_s


def _case_by_case(base: Run, n: int, folder: Path) -> bool:
    runs = documents(base, n)
    begin_s = time.monotonic()
    page = build.page(content.of(runs))
    build_s = time.monotonic() - begin_s
    times = opened_s(page, folder)
    shown = (
        "no browser" if times is None else f"usable in {times[0]:.2f} s, filter {times[1]:.2f} s"
    )
    print(f"{n:,} results: built in {build_s:.1f} s, {len(page.encode()) / 1e6:.1f} MB, {shown}")
    return times is None or times[0] < MOST_OPEN_S


def _packed(base: Run, n: int, folder: Path) -> bool:
    path = folder / "all.parquet"
    packed.write(collection(base, n), path)
    begin_s = time.monotonic()
    page = build.page(content.of([], [packed.read(path)]))
    build_s, size = time.monotonic() - begin_s, len(page.encode())
    times = opened_s(page, folder)
    shown = (
        "no browser" if times is None else f"usable in {times[0]:.2f} s, filter {times[1]:.2f} s"
    )
    print(
        f"{n:,} results packed in {path.stat().st_size / 1e6:.1f} MB: built in {build_s:.1f} s, "
        f"{size / 1e6:.1f} MB, {shown}"
    )
    return build_s < MOST_BUILD_S and size < MOST_BYTES


def main() -> int:
    """Both sizes; 0 when every limit holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("document", nargs="?", type=Path, help="default: the newest in results/")
    parser.add_argument("--results", type=int, default=1000)
    parser.add_argument("--packed", type=int, default=100_000)
    asked = parser.parse_args()
    newest = asked.document or max((Path(__file__).parents[1] / "results").glob("*.json"))
    base = store.read_run(newest)
    with tempfile.TemporaryDirectory() as folder:
        held = [
            _case_by_case(base, asked.results, Path(folder)),
            _packed(base, asked.packed, Path(folder)),
        ]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
