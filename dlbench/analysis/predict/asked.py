"""Rows of a table without values, answered: predictions in each row's own unit, or why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dlbench import catalog
from dlbench.analysis.predict import estimate, tables
from dlbench.analysis.predict.catalog_specs import device_table
from dlbench.analysis.predict.devices import DeviceTable
from dlbench.analysis.predict.types import DeviceSpec, Workload
from dlbench.core.types import Absent, Estimated

HIDDEN = ("value", "per_device_value")
"""Columns that are never read of rows that are asked, and never written."""
COLUMNS = ("pred", "lo90", "hi90", "pred_per_device", "evidence", "reason")
DIGITS = 6
WIDEST_RATIO = 1e4
"""Who asks for rows wants a number with its interval, wide as it may be; up to a factor of 100."""


def answer(rows: Sequence[Mapping[str, str]], folder: Path) -> list[dict[str, str]]:
    """The rows with ``COLUMNS`` added, in their order.

    Args:
        rows: the columns of the tables; values are not looked at.
        folder: the tables to learn from.

    Devices are those of the folder's data sheets, by the catalog's names too, else the catalog's. A
    row that cannot be told, or says what ``tables.unread`` tells, has an empty ``pred`` and a reason.
    """
    shipped = device_table(catalog.shipped())
    read = tables.read(folder)
    fitted = estimate.fit(read.observations, read.devices, provenance=str(folder))
    fitted = replace(fitted, widest_ratio=WIDEST_RATIO)
    questions = [_question(row, read.devices, shipped) for row in rows]
    pairs = [q for q in questions if isinstance(q, tuple)]
    answers = iter(fitted.estimate_many(pairs))
    return [
        dict(row) | (_reason(q) if isinstance(q, str) else _cells(row, q[1], next(answers)))
        for row, q in zip(rows, questions, strict=True)
    ]


def _question(
    row: Mapping[str, str], devices: DeviceTable, shipped: DeviceTable
) -> tuple[DeviceSpec, Workload] | str:
    name = row.get("device", "")
    listed = devices.find(name) or shipped.find(name)
    if listed is None:
        return f"device {name!r} is neither in the data sheets nor in the catalog"
    if unread := tables.unread(row):
        return unread
    # The catalog knows more names than the folder. What it alone lists is asked as what was learnt
    # from is: the folder's data sheets have no peak of FP8, whose rows met that of fp16.
    spec = devices.find(listed.name) or replace(listed, fp8_tflops=None)
    workload = tables.workload_of(row)
    if row.get("unit", "").strip() in tables.CONSTANT_TIME_UNITS and workload.batch is None:
        return "time a step needs a batch size"
    return spec, workload


def _cells(row: Mapping[str, str], workload: Workload, found: Estimated | Absent) -> dict[str, str]:
    if isinstance(found, Absent):
        return _reason(found.reason)
    low, value, high = found.interval.low, found.value, found.interval.high
    per_device = value if workload.unit.startswith("J/") else value / workload.n_devices
    scale = tables.CONSTANT_TIME_UNITS.get(row.get("unit", "").strip())
    if scale is not None and workload.batch is not None:
        work = scale * workload.batch * workload.n_devices
        low, value, high = work / high, work / value, work / low
    return {
        "pred": _text(value),
        "lo90": _text(low),
        "hi90": _text(high),
        "pred_per_device": _text(per_device),
        "evidence": "; ".join((found.method, *found.from_)),
        "reason": "",
    }


def _reason(reason: str) -> dict[str, str]:
    return dict.fromkeys(COLUMNS, "") | {"reason": reason}


def _text(x: float) -> str:
    return f"{x:.{DIGITS}g}"


def prices_usd_per_h() -> dict[str, float]:
    """The lowest on-demand price of one accelerator in the catalog, by its name."""
    lowest: dict[str, float] = {}
    for offer in catalog.shipped().offers:
        price, count = offer.ondemand_usd_per_h, offer.accelerator_count
        if offer.accelerator is None or isinstance(price, Absent) or isinstance(count, Absent):
            continue
        if count >= 1 and price > 0:
            each = price / count
            lowest[offer.accelerator] = min(each, lowest.get(offer.accelerator, each))
    return lowest
