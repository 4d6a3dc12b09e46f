"""Random runs survive; random damage is refused or harmless, and never a crash."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from dlbench.core.errors import DocumentError
from dlbench.core.types import Run, Value
from dlbench.store import codec
from tests import builders

BASE = builders.sealed_run()
DATA = codec.encode_run(BASE)
OLD = re.sub(
    rb',\s*"(?:monitored|tracks|energy|scenario|data_mode)": (?:\[\]|null|"synthetic")', b"", DATA
)
"""As written before some keys with defaults were there."""

finite = st.floats(allow_nan=False, allow_infinity=False)
text = st.text(st.characters(exclude_categories=["Cs"]))


@given(
    durations_s=st.lists(finite, max_size=20),
    words=st.lists(text, max_size=5),
    notes=st.dictionaries(text, st.one_of(st.booleans(), finite, text)),
)
def test_any_run_survives(
    durations_s: list[float], words: list[str], notes: dict[str, bool | float | str]
) -> None:
    """Any numbers, any script, emoji and control characters."""
    trial = replace(
        BASE.results[0].trials[0],
        values=tuple(Value(start_s=0.0, duration_s=d, n_samples=1) for d in durations_s),
        log="".join(words),
        flags=tuple(words),
    )
    result = replace(BASE.results[0], trials=(trial,))
    run = replace(BASE, results=(result,), notes=dict(notes))
    back = codec.decode_run(codec.encode_run(run))
    assert isinstance(back, Run)
    assert codec.encode_run(back) == codec.encode_run(run)


@settings(max_examples=300)
@given(
    position=st.integers(0, len(DATA) - 1),
    replacement=st.binary(max_size=8),
    length=st.integers(0, 40),
)
def test_damage_is_refused_or_changes_nothing_but_values(
    position: int, replacement: bytes, length: int
) -> None:
    """Whatever bytes are put anywhere, the answer is a run or a DocumentError."""
    damaged = DATA[:position] + replacement + DATA[position + length :]
    try:
        run = codec.decode_run(damaged)
    except DocumentError as error:
        assert error.message
    else:
        assert isinstance(run, Run)


@settings(max_examples=300)
@given(
    position=st.integers(0, len(DATA) - 1),
    replacement=st.sampled_from(
        [b"", b"0", b"9", b"-", b".", b"e9", b",", b'"', b"null", b"[", b"}", b"\\", b" ", b"\xc3"]
    ),
    length=st.integers(0, 3),
    whole=st.sampled_from([DATA, OLD]),
)
def test_the_quick_way_takes_nothing_that_the_walk_refuses(
    position: int, replacement: bytes, length: int, whole: bytes
) -> None:
    """Whatever is taken for as written is the same run when each of its values is looked at."""
    damaged = whole[:position] + replacement + whole[position + length :]
    run = codec._as_written(damaged)
    if run is not None:
        assert codec._walked(damaged, "x") == run
