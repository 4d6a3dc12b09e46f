"""How well the predictor tells devices that it never saw, on tables of public measurements.

    python benchmarks/predict_eval.py --fit DIR         the table of docs/prediction.md
    python benchmarks/predict_eval.py --fit DIR --ask ROWS.csv --out PRED.csv

DIR holds ``*.csv`` or ``*.csv.gz`` and ``device-specs.csv``; docs/prediction.md says which columns.
Rows that are asked have the same columns; ``value`` and ``per_device_value`` are never read.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import gzip
import hashlib
import io
import math
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TextIO

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import predict_ranking as ranking
from dlbench.analysis.predict import asked, calibration, leave_out, predictor, tables
from dlbench.analysis.predict.cells import Cells, Encoder, Floats, sizes_of
from dlbench.analysis.predict.estimate import WIDEST_RATIO
from dlbench.analysis.predict.kernel import Scales
from dlbench.analysis.predict.leave_out import Flags, Learner, LeftOut
from dlbench.analysis.predict.types import Task
from dlbench.core.errors import DlbenchError, StoreError, UsageError

MODERN_YEAR = 2018
"""Matrix units came with Volta (late 2017) and Turing (2018): older devices are not modern."""
NEW_YEAR = 2022
TRAINING_PANEL, INFERENCE_PANEL = 3000, 1200
"""Panels above this take part with half of that: timm has thousands of models of three devices."""
MOST_ANCHORS = 1300
MEASURED_ON_NEW = 3
MAIN_TARGET = "median 8.5 mean 12 p90 22, inside 87-95"
LEAST_TO_COVER, MANY_TO_COVER = 8, 20
HOST_BOUND = ("tacotron2", "waveglow")
"""Of Lambda's: their rates follow the host and the batch as much as the device."""
LEAST_REPEATED = 3
"""Devices that two eras of Lambda's tables both measured on one piece of work, to tell its repeats."""
BEGIN, END = "<!-- results: made by benchmarks/predict_eval.py -->", "<!-- end of results -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """What one protocol gave: relative errors, and whether the intervals held, one a cell."""

    name: str
    relative: Floats
    inside: Flags
    target: str = ""

    def line(self) -> str:
        """One line of the table."""
        if not len(self.relative):
            return f"{self.name:<58}      0  none; {self.target}".rstrip("; ")
        e = self.relative * 100
        covered = f"{100 * self.inside.mean():6.1f}" if len(self.inside) else "     -"
        return (
            f"{self.name:<58} {len(e):6d} {np.median(e):7.1f} {e.mean():7.1f} "
            f"{np.quantile(e, 0.9):7.1f} {covered}  {self.target}"
        )


def main() -> int:
    """Print the table, or answer the rows that are asked."""
    options = _options()
    try:
        if options.ask is not None:
            return _answer(options)
        if options.doc is not None:
            _around(options.doc)  # before minutes are spent on the table
        with contextlib.redirect_stdout(_Both(sys.stdout)) as told:
            _table(options)
        if options.doc is not None:
            _write_into(options.doc, told.text)
    except DlbenchError as error:
        print(f"{error.message}\n{error.advice}", file=sys.stderr)
        return error.exit_code
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fit", type=Path, required=True, metavar="DIR", help="folder of tables")
    parser.add_argument("--ask", type=Path, metavar="ROWS.csv", help="rows to predict")
    parser.add_argument("--out", type=Path, metavar="PRED.csv", help="where predictions go")
    parser.add_argument("--doc", type=Path, metavar="PAGE.md", help="put the table into this page")
    parser.add_argument("--seed", type=int, default=0, help="of the measured-on-new draws")
    options = parser.parse_args()
    if (options.ask is None) != (options.out is None):
        parser.error("--ask and --out belong together")
    return options


class _Both(io.TextIOBase):
    """Shows what is printed, and keeps it."""

    def __init__(self, shown: TextIO) -> None:
        self._shown = shown
        self.text = ""

    def write(self, text: str, /) -> int:
        self.text += text
        return self._shown.write(text)


def _around(page: Path) -> tuple[str, str]:
    """What stands before a page's block of results, and after it.

    Raises:
        StoreError: there is no such page.
        UsageError: it has no such block.
    """
    try:
        text = page.read_text(encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{page} cannot be read: {error.strerror}", "Check the path.") from None
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise UsageError(
            f"{page} has no place for the table", f"Put these two into it: {BEGIN} {END}"
        )
    return before, after


def _write_into(page: Path, table: str) -> None:
    """Replace the page's block of results."""
    before, after = _around(page)
    lines = "\n".join(line.rstrip() for line in table.strip().splitlines())
    page.write_text(f"{before}{BEGIN}\n```\n{lines}\n```\n{END}{after}", encoding="utf-8")


# --- answering rows -------------------------------------------------------------------------


def _answer(options: argparse.Namespace) -> int:
    started = time.monotonic()
    rows = tables.read_rows(options.ask)
    if not rows:
        raise UsageError(f"{options.ask} has no row", "see docs/prediction.md, The tables")
    if missing := [column for column in ("model", "task") if column not in rows[0]]:
        raise UsageError(
            f"{options.ask} has no column {' and none '.join(map(repr, missing))}",
            "see docs/prediction.md, The tables",
        )
    if not options.out.parent.is_dir():
        raise UsageError(f"{options.out.parent} is no folder", "another --out")
    answers = asked.answer(rows, options.fit)
    columns = [c for c in rows[0] if c not in (*asked.HIDDEN, *asked.COLUMNS)]
    opener = gzip.open if options.out.suffix == ".gz" else open
    try:
        with opener(options.out, "wt", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(
                file, [*columns, *asked.COLUMNS], extrasaction="ignore", lineterminator="\n"
            )
            writer.writeheader()
            writer.writerows(answers)
    except OSError as error:
        raise StoreError(
            f"{options.out} cannot be written: {error.strerror}", "another --out"
        ) from error
    told = sum(1 for row in answers if row["pred"])
    print(f"{told} of {len(answers)} rows predicted in {time.monotonic() - started:.0f} s")
    for reason, n in Counter(row["reason"] for row in answers if not row["pred"]).most_common(8):
        print(f"  {n:>6} without: {reason}")
    return 0


# --- the table ------------------------------------------------------------------------------


def _table(options: argparse.Namespace) -> None:
    started = time.monotonic()
    read = tables.read(options.fit)
    training = _pool(read, Task.TRAIN, TRAINING_PANEL)
    inference = _pool(read, Task.INFER, INFERENCE_PANEL)
    print(f"date {datetime.now(UTC):%Y-%m-%d}, tables {_hash(options.fit)}")
    print(
        f"{len(read.observations)} rows; cells (device x work, medians of repeats): "
        f"{len(training.cells)} of training, {len(inference.cells)} of inference"
    )
    print(f"rows without use: {dict(read.unusable) or 'none'}\n")
    devices, archs = training.left_out("device"), training.left_out("arch")
    widths = calibration.of(archs)
    _progress(started, "training: devices and architectures left out")
    print(f"{'':58} {'cells':>6} {'median':>7} {'mean':>7} {'p90':>7} {'in 90%':>6}  asked for")
    _training_lines(devices, archs, widths)
    _new_lines(training, widths)
    _few_lines(training, widths, options.seed)
    _progress(started, "training: new and partly measured devices")
    _harder_training_line(training, widths)
    _inference_lines(inference)
    _progress(started, "inference")
    for name, pool in (("training", training), ("inference", inference)):
        _source_lines(name, pool)
        _family_lines(name, pool)
    _progress(started, "sources and families left out")
    _ranking_lines(devices, widths)
    print(f"\n{time.monotonic() - started:.0f} s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The cells of one task, and how to learn from them."""

    cells: Cells
    learner: Learner

    def left_out(self, column: str, which: Flags | None = None) -> LeftOut:
        """Each value of a column hidden in turn, and its cells (of ``which``) asked."""
        everything = np.ones(len(self.cells), dtype=bool) if which is None else which
        return leave_out.folds(
            self.cells, self.learner, leave_out.by_column(self.cells, column, everything)
        )


def _pool(read: tables.Tables, task: Task, large: int) -> Pool:
    encoder = Encoder()
    rows = [o for o in read.observations if o.workload.task is task]
    # Tables of training leave sizes to those of inference.
    sizes = sizes_of(o.workload for o in read.observations)
    every, batched = predictor.gather(rows, read.devices, encoder, sizes)
    learner = Learner(encoder=encoder, batched=batched, scales=Scales(), most_anchors=MOST_ANCHORS)
    return Pool(cells=leave_out.thin(every, large), learner=learner)


def _training_lines(devices: LeftOut, archs: LeftOut, widths: calibration.Calibration) -> None:
    cells = devices.cells
    modern = cells.year >= MODERN_YEAR
    known = devices.n_same_work > 0
    single = cells.spread == 0
    faulty = leave_out.implausible(cells)
    main_ones = modern & known & single
    lambdas = main_ones & ~faulty & _panel(cells, "lambda")
    steady = lambdas & ~_models(cells, HOST_BOUND)
    for where, which in (("all", main_ones), ("Lambda's", lambdas), ("these without *", steady)):
        for what, rate in (("peak TFLOP/s", cells.compute), ("bandwidth", cells.bandwidth)):
            print(_baseline(cells, which, rate, f"  baseline on {where}: ratio of {what}").line())
    for name, which, target in (
        ("training, modern, one device left out", main_ones & ~faulty, MAIN_TARGET),
        (f"  with its {(main_ones & faulty).sum()} implausible cells", main_ones, ""),
        ("  of these Lambda's panel", lambdas, ""),
        ("    without Tacotron 2 and WaveGlow (*)", steady, ""),
        ("  of these DeepLearningExamples", main_ones & _panel(cells, "nvidia-dle"), ""),
        ("  several devices joined", modern & known & ~single, ""),
        ("training, modern, this set-up on no other device", modern & ~known & single, ""),
    ):
        print(_errors(devices, widths, which, name, target).line())
    elsewhere = modern & single & ~faulty & (archs.n_same_work > 0)
    print(_errors(archs, widths, elsewhere, "training, whole architecture left out").line())
    for line in _repeat_lines(cells, modern & single & _panel(cells, "lambda")):
        print(line)


def _repeat_lines(cells: Cells, which: Flags) -> list[str]:
    """How well the tables tell themselves: one era of Lambda's from the one before.

    Each device's rate in the later era from its own in the earlier one, shifted by the median over
    the other devices, which is what newer software gains. No predictor need do better than this.
    """
    rates: dict[tuple[object, ...], dict[str, dict[str, float]]] = {}
    for i in np.flatnonzero(which):
        w = cells.workloads[i]
        eras = rates.setdefault((w.model, w.arithmetic), {})
        eras.setdefault(w.setup, {})[cells.devices[i].name] = float(cells.y[i])
    gaps: list[float] = []
    taus: list[float] = []
    for eras in rates.values():
        ordered = sorted(eras)
        for before, after in pairwise(ordered):
            both = sorted(eras[before].keys() & eras[after].keys())
            if len(both) < LEAST_REPEATED:
                continue
            old, new = (np.array([eras[era][name] for name in both]) for era in (before, after))
            gain = new - old
            gaps += [float(np.median(np.delete(gain, k)) - gain[k]) for k in range(len(both))]
            if len(both) >= ranking.LEAST_TO_RANK:
                tau = ranking.tau(old, new)
                taus += [] if tau is None else [tau]
    relative = np.abs(np.exp(np.array(gaps)) - 1)
    none = np.zeros(0, dtype=bool)
    name = "  no prediction: Lambda's one era told by the one before"
    return [
        Errors(name=name, relative=relative, inside=none).line(),
        f"    Kendall's tau of the two eras' rankings, mean of {len(taus)}: {_mean(taus)}",
    ]


def _mean(values: list[float]) -> str:
    """The mean of taus, or of what is like them; ``none`` of nothing."""
    return f"{np.mean(values):.3f}" if values else "none"


def _new_lines(pool: Pool, widths: calibration.Calibration) -> None:
    cells = pool.cells
    new = cells.year >= NEW_YEAR
    wanted = new & (cells.spread == 0)
    said = leave_out.folds(cells, pool.learner, [(new, wanted)])
    known = wanted & (said.n_same_model > 0)
    for name, which, target in (
        (f"training, before {NEW_YEAR} -> newest", known, "median 12"),
        ("  of these Lambda's panel", known & _panel(cells, "lambda"), ""),
    ):
        print(_errors(said, widths, which, name, target).line())


def _few_lines(pool: Pool, widths: calibration.Calibration, seed: int) -> None:
    """Three pieces of work of the device are known, drawn by seed; its others are asked."""
    cells = pool.cells
    rng = np.random.default_rng(seed)
    wanted = (cells.year >= MODERN_YEAR) & (cells.spread == 0) & ~leave_out.implausible(cells)
    parts = []
    for device in np.unique(cells.codes["device"][wanted]):
        own = np.flatnonzero(wanted & (cells.codes["device"] == device))
        models = np.unique(cells.codes["model"][own])
        if len(models) <= MEASURED_ON_NEW:
            continue
        shown = rng.choice(models, MEASURED_ON_NEW, replace=False)
        seen = [rng.choice(own[cells.codes["model"][own] == m]) for m in shown]
        hidden = cells.codes["device"] == device
        hidden[seen] = False
        parts.append((hidden, hidden & wanted))
    said = leave_out.folds(cells, pool.learner, parts)
    known = said.asked & (said.n_same_work > 0)
    for name, which, target in (
        (f"training, {MEASURED_ON_NEW} pieces of work measured on the device", known, "median 7"),
        ("  of these Lambda's panel", known & _panel(cells, "lambda"), ""),
    ):
        print(_errors(said, widths, which, name, target).line())


def _harder_training_line(pool: Pool, widths: calibration.Calibration) -> None:
    """The model is hidden on every device: only its family and its name's words are left."""
    single = _panel(pool.cells, "lambda") & (pool.cells.spread == 0)
    said = pool.left_out("model", single)
    print(_errors(said, widths, said.asked, "training, model unknown, sizes unknown").line())


def _inference_lines(pool: Pool) -> None:
    cells = pool.cells
    modern = (cells.year >= MODERN_YEAR) & (cells.codes["model"] % 2 == 0)
    archs = pool.left_out("arch", modern)
    widths = calibration.of(archs)
    devices = pool.left_out("device", modern)
    known = devices.asked & (devices.n_same_work > 0)
    print(_errors(devices, widths, known, "inference, modern, one device left out").line())
    for name in ("timm", "mlperf", "nvidia-dle"):
        which = known & _panel(cells, name)
        print(_errors(devices, widths, which, f"  of these {name}").line())
    wanted = _panel(cells, "timm") & (cells.codes["model"] % 15 == 0)
    parts = []
    for device in np.unique(cells.codes["device"][wanted]):
        own = wanted & (cells.codes["device"] == device)
        models = np.isin(cells.codes["model"], cells.codes["model"][own])
        parts.append(((cells.codes["device"] == device) | models, own))
    said = leave_out.folds(cells, pool.learner, parts)
    name = "inference, model and device unknown, sizes known"
    print(_errors(said, widths, said.asked, name).line())


def _source_lines(task: str, pool: Pool) -> None:
    """Each source in turn is hidden, and its rows asked as of a source that nobody knows.

    Of models that other sources measured. Widths are those of the other half of the sources.
    """
    cells = pool.cells
    parts = leave_out.by_source(cells, np.ones(len(cells), dtype=bool))
    parts = [part for part in parts if part[1].sum() >= LEAST_TO_COVER]
    halves = [
        leave_out.folds(cells, pool.learner, parts[k::2], put=leave_out.as_stranger) for k in (0, 1)
    ]
    widths = [calibration.Calibration(half_widths=calibration.of_sources(h)) for h in halves]
    panels = sorted({w.panel for w in cells.workloads})
    names = [(f"{task}, source unknown, model known elsewhere", np.ones(len(cells), dtype=bool))]
    names += [(f"  of these {panel}", _panel(cells, panel)) for panel in panels]
    for name, which in names:
        known = [which & (half.n_same_model > 0) for half in halves]
        first, second = (
            _errors(half, width, flags, name)
            for half, width, flags in zip(halves, widths[::-1], known, strict=True)
        )
        print(_joined(first, second).line())


def _joined(first: Errors, second: Errors) -> Errors:
    return replace(
        first,
        relative=np.concatenate([first.relative, second.relative]),
        inside=np.concatenate([first.inside, second.inside]),
    )


def _family_lines(task: str, pool: Pool) -> None:
    """Each family of models in turn is hidden on all devices, and asked; widths are of the other half.

    What has so wide an interval that it would not be told is counted, and not in the errors.
    """
    everything = np.ones(len(pool.cells), dtype=bool)
    parts = leave_out.by_column(pool.cells, "family", everything)
    halves = [leave_out.folds(pool.cells, pool.learner, parts[k::2]) for k in (0, 1)]
    widths = [calibration.Calibration(half_widths=calibration.of_families(h)) for h in halves]
    sized = np.isfinite(pool.cells.size[:, 0])
    for name, which in (("sizes known", sized), ("sizes unknown", ~sized)):
        line = f"{task}, whole family of models left out, {name}"
        told = [_told(half, width) for half, width in zip(halves, widths[::-1], strict=True)]
        n_refused = sum(
            int((half.asked & which & ~t).sum()) for half, t in zip(halves, told, strict=True)
        )
        first, second = (
            _errors(half, width, which & t, line, f"{n_refused} refused")
            for half, width, t in zip(halves, widths[::-1], told, strict=True)
        )
        print(_joined(first, second).line())


def _told(left_out: LeftOut, widths: calibration.Calibration) -> Flags:
    """Which cells have an interval that is narrow enough to be told."""
    half = widths.half_width(left_out.cells, calibration.tiers(left_out, left_out.cells))
    return np.asarray(2 * half * left_out.sd <= math.log(WIDEST_RATIO))


def _ranking_lines(left_out: LeftOut, widths: calibration.Calibration) -> None:
    cells = left_out.cells
    wanted = (
        left_out.asked
        & (cells.year >= MODERN_YEAR)
        & (left_out.n_same_work > 0)
        & (cells.spread == 0)
    )
    covered = _errors(left_out, widths, wanted, "").inside
    print()
    for least in (LEAST_TO_COVER, MANY_TO_COVER):
        worst = _worst_covered(cells.take(wanted), covered, least)
        name = f"worst device's share inside, of those with {least} cells or more"
        print(f"{name}: {worst}; asked for: 75 %")
    ranked = ranking.pieces(left_out, wanted)
    taus = ranking.taus(left_out, ranked)
    print(f"Kendall's tau of the devices' ranking, mean of {len(taus)}: {_mean(taus)}; 0.92")
    many = ranking.pieces(left_out, wanted, ranking.MANY_TO_RANK)
    apart = ranking.taus_without_ties(left_out, many)
    print(
        f"  of {ranking.MANY_TO_RANK} devices or more, pairs within {100 * ranking.NEAR_TIE:.0f} % "
        f"not counted, mean of {len(apart)}: {_mean(apart)}"
    )
    lambdas = wanted & _panel(cells, "lambda")
    steady = lambdas & ~_models(cells, HOST_BOUND)
    for name, which in (("Lambda's panel", lambdas), ("  without (*)", steady)):
        taus = ranking.taus(left_out, ranking.pieces(left_out, which))
        print(f"  of these {name}, mean of {len(taus)}: {_mean(taus)}")
    print("a device that was left out, placed among the others as measured, like a tau:")
    for name, which in (("all", wanted), ("Lambda's panel", lambdas), ("  without (*)", steady)):
        places = ranking.places(left_out, ranking.pieces(left_out, which))
        print(f"  {name}: {_mean(places)}")
    print("Kendall's tau of one ranking of devices over all their work:")
    for name, which in (("all", wanted), ("Lambda's panel", lambdas), ("  without (*)", steady)):
        tau, n_devices = ranking.overall_tau(left_out, which)
        print(f"  {name}, {n_devices} devices: {_mean([] if tau is None else [tau])}")
    regrets = ranking.regrets(left_out, ranked, asked.prices_usd_per_h())
    lost = f"{100 * np.mean(regrets):.1f} %" if regrets else "none"
    print(f"regret per dollar, mean of {len(regrets)} pieces of work: {lost}; asked for: 3.5 %")


def _worst_covered(cells: Cells, inside: Flags, least: int) -> str:
    """The device whose cells lie least often in their intervals, of those with so many cells."""
    names = np.array([device.name for device in cells.devices])
    shares = {
        str(name): float(inside[names == name].mean())
        for name in np.unique(names)
        if (names == name).sum() >= least
    }
    if not shares:
        return "none"
    worst = min(shares, key=lambda name: shares[name])
    return f"{100 * shares[worst]:.0f} % ({worst})"


def _errors(
    left_out: LeftOut,
    widths: calibration.Calibration,
    which: Flags,
    name: str,
    target: str = "",
) -> Errors:
    said = left_out.take(which & left_out.asked)
    tiers = calibration.tiers(said, said.cells)
    gap = said.ln_rate - said.cells.y
    inside = np.abs(gap) <= widths.half_width(said.cells, tiers) * said.sd
    return Errors(name=name, relative=np.abs(np.exp(gap) - 1), inside=inside, target=target)


def _baseline(cells: Cells, which: Flags, rate: Floats, name: str) -> Errors:
    """The same work elsewhere, scaled by one data-sheet rate; geometric mean over the other devices."""
    relative = []
    for i in np.flatnonzero(which):
        others = (cells.codes["setup"] == cells.codes["setup"][i]) & (
            cells.codes["device"] != cells.codes["device"][i]
        )
        others &= cells.spread == cells.spread[i]
        if others.any():
            ln_ratio = np.log(rate[i] / rate[others])
            gap = np.mean(cells.y[others] + ln_ratio) - cells.y[i]
            relative.append(abs(np.exp(gap) - 1))
    return Errors(name=name, relative=np.array(relative), inside=np.zeros(0, dtype=bool))


def _models(cells: Cells, names: tuple[str, ...]) -> Flags:
    return np.array([w.model in names for w in cells.workloads], dtype=bool)


def _panel(cells: Cells, name: str) -> Flags:
    return np.array([w.panel == name for w in cells.workloads], dtype=bool)


def _hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in (*tables.table_files(folder), folder / tables.SPECS_FILE):
        if path.exists():
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _progress(started: float, what: str) -> None:
    print(f"[{time.monotonic() - started:4.0f} s] {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
