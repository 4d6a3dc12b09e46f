"""Large collections in one Parquet file: every row of every document, without the raw values."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dlbench.analysis import frame
from dlbench.core import metrics
from dlbench.core.errors import DocumentError, MissingError, StoreError
from dlbench.core.types import DataMode, Mode, OutcomeKind, Policy, Precision, Scenario
from dlbench.store import files

if TYPE_CHECKING:
    import pandas as pd

SUFFIX = ".parquet"

MOST_ROWS = 5_000_000
MOST_BYTES = 4 * 1024**3
"""A file that claims more than this, unpacked, is not opened."""

NUMBERS = {"batch_size", "n_devices", "n_trials"}


def write(table: pd.DataFrame, path: Path) -> None:
    """Write a frame of ``analysis.frame``, all or nothing.

    Raises:
        MissingError: pyarrow is not installed.
        StoreError: the file cannot be written.
    """
    _need_pyarrow()
    with files.replacing(path) as temporary:
        table.to_parquet(temporary, engine="pyarrow", index=False, compression="zstd")


def read(path: Path) -> pd.DataFrame:
    """The frame of a packed file; older files lack newer metrics, which are then absent.

    Raises:
        MissingError: pyarrow is not installed.
        StoreError: there is no such file.
        DocumentError: it is not a packed collection, or larger than can be.
    """
    _need_pyarrow()
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
        _small_enough(path, file)
        table = file.read(columns=[c for c in frame.columns() if c in file.schema_arrow.names])
        # Metadata of a stranger's could make columns an index, or be none at all.
        read_: pd.DataFrame = table.to_pandas(ignore_metadata=True)
    except FileNotFoundError as error:
        raise StoreError(f"there is no file {path}", "dlbench pack results/") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        first = (str(error).splitlines() or ["?"])[0]
        raise DocumentError(f"{path} cannot be read as Parquet: {first}", ADVICE) from error
    return _checked(path, read_)


def check_alike(tables: Sequence[pd.DataFrame]) -> None:
    """That what frames hold of one run, each or together, is of one document of it.

    By how cases ended, after how many trials, and by throughput: other metrics, and words, are as they
    were computed by the dlbench that packed.

    Raises:
        DocumentError: two are of one run and differ.
    """
    import pandas as pd

    keys, speed = ["run_id", "case_id"], "throughput_samples_per_s"
    known = [table[[*keys, "outcome", "n_trials", speed]] for table in tables]
    found = pd.concat(known, ignore_index=True)
    cases = found[found.duplicated(keys, keep=False)].groupby(keys, sort=False)
    ends = cases[["outcome", "n_trials"]].nunique().max(axis=1)
    speeds = cases[speed].agg(["min", "max"])
    differ = (ends > 1) | (speeds["max"] > speeds["min"] * ROUNDING)
    if differ.any():
        run_id = differ[differ].index.get_level_values("run_id")[0]
        raise DocumentError(
            f"of run {run_id} there are two documents, which differ: a run has one",
            f"Give one of the two. {ADVICE}",
        )


ROUNDING = 1 + 1e-9
"""As far as two machines may round the same numbers apart."""

ADVICE = "Pack the documents again: dlbench pack results/ -o FILE.parquet"


def _need_pyarrow() -> None:
    if importlib.util.find_spec("pyarrow") is None:
        raise MissingError(
            "Parquet needs pyarrow, which is not installed", "pip install 'dlbench[parquet]'"
        )


def _small_enough(path: Path, file: object) -> None:
    metadata = file.metadata  # type: ignore[attr-defined]
    size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    if metadata.num_rows > MOST_ROWS or size > MOST_BYTES:
        raise DocumentError(
            f"{path} holds {metadata.num_rows:,} rows of {size:,} bytes: too many to open",
            f"Pack fewer documents in a file: at most {MOST_ROWS:,} rows.",
        )


def _checked(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    """All columns there, each of its type, and in them nothing that no row could have."""
    from pandas.api.types import is_float_dtype, is_integer_dtype, is_string_dtype

    if not table.columns.is_unique:
        raise DocumentError(f"{path} is not a packed collection: a column is there twice", ADVICE)
    _add_newer(table)
    absent = [name for name in frame.columns() if name not in table]
    if absent:
        raise DocumentError(f"{path} is not a packed collection: no column {absent[0]}", ADVICE)
    numeric = {name + suffix for name in metrics.REGISTRY for suffix in ("", "_low", "_high")}
    for name in frame.columns():
        fits = (
            is_float_dtype if name in numeric
            else is_integer_dtype if name in NUMBERS
            else is_string_dtype
        )  # fmt: skip
        if len(table) and not fits(table[name]):
            raise DocumentError(f"{path}: column {name} is of type {table[name].dtype}", ADVICE)
    table = table[frame.columns()]
    texts = [n for n in frame.columns() if n not in numeric | NUMBERS]
    if table[texts].isna().to_numpy().any():
        raise DocumentError(f"{path}: a text is missing where none may be", ADVICE)
    problem = next(_impossible(table), None)
    if problem:
        raise DocumentError(f"{path}: {problem}", ADVICE)
    return table


def _add_newer(table: pd.DataFrame) -> None:
    """Columns that a collection packed earlier has not, as not known."""
    for name in metrics.REGISTRY:
        if name not in table:
            table[name] = table[f"{name}_low"] = table[f"{name}_high"] = float("nan")
            table[f"{name}_kind"] = "absent"
            table[f"{name}_reason"] = "the collection was packed before there was this metric"
    for name in frame.WORK_COLUMNS:
        if name not in table:
            table[name] = ""


KINDS = frozenset(("measured", "estimated", "absent"))

WORDS: dict[str, frozenset[str]] = {
    "precision": frozenset(Precision),
    "mode": frozenset(Mode),
    "scenario": frozenset(("", *Scenario)),
    "policy": frozenset(Policy),
    "data_mode": frozenset(DataMode),
    "outcome": frozenset(OutcomeKind),
    **{f"{name}_kind": KINDS for name in metrics.REGISTRY},
}
"""Columns whose texts are of a closed list."""


def _impossible(table: pd.DataFrame) -> Iterator[str]:
    """What no row of ours could hold: a word that nobody knows, a number that is none."""
    for name, known in WORDS.items():
        odd = sorted(set(table[name].unique()) - known)
        if odd:
            yield f"{name} is {odd[0][:SHOWN]!r}"
    for text in table["options"].unique():
        try:
            frame.options_of(text)
        except ValueError as error:
            yield f"options are {text[:SHOWN]!r}: {error}"
    if any(text and not text.isdecimal() for text in table["threads"].unique()):
        yield "threads are no number"
    if (table[["batch_size", "n_devices"]] < 1).any(axis=None) or (table["n_trials"] < 0).any():
        yield "a batch of no sample, no device, or less than no trials"
    for name in metrics.REGISTRY:
        kind = table[f"{name}_kind"]
        value, low, high = (table[name + suffix] for suffix in ("", "_low", "_high"))
        numbers = value.abs() < math.inf
        bounds = (low.abs() < math.inf) & (high.abs() < math.inf)
        bounds |= low.isna() & high.isna() & (kind != "estimated")
        if not ((kind == "absent") | (numbers & bounds)).all():
            yield f"{name} is no number where it says that it is one"


SHOWN = 40
