"""Strict decoding: what is right survives unchanged, everything else is refused in a sentence."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dlbench.core.errors import DocumentError, StoreError
from dlbench.core.types import Trial, Value
from dlbench.store import codec
from tests import builders

ROOT = Path(__file__).parents[3]
DOCUMENTS = sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("tests/golden/documents/*.json"))


def _plain() -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(codec.encode_run(builders.sealed_run()))
    return plain


def _refusal(document: bytes | dict[str, Any]) -> str:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(DocumentError) as caught:
        codec.decode_run(data, "x.json")
    message = caught.value.message
    assert "\n" not in message
    assert "x.json" in message
    return message


def test_a_run_survives_the_way_there_and_back() -> None:
    """Every field, nested tuples, enums and absences included."""
    run = builders.sealed_run()
    assert codec.decode_run(codec.encode_run(run)) == run


def test_encoding_is_stable() -> None:
    """The same run gives the same bytes, and so does a decoded one."""
    data = codec.encode_run(builders.sealed_run())
    assert codec.encode_run(codec.decode_run(data)) == data


def test_a_document_as_it_is_written_is_not_walked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """That its bytes come back says all that a walk over each value would, ten times as fast."""
    run = builders.sealed_run()
    data = codec.encode_run(run)
    with monkeypatch.context() as patched:
        patched.delattr(codec, "parse")
        assert codec.decode_run(data) == run
        assert codec.decode_run(data.replace(b"\n", b"").replace(b"  ", b"")) == run
    monkeypatch.setattr(codec, "_as_written", lambda _: None)
    assert codec.decode_run(data) == run


def test_a_document_that_an_older_dlbench_wrote_is_not_walked_through_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It lacks keys that have a default; one that has its keys in another order is walked through."""
    run = builders.sealed_run()
    data = codec.encode_run(run)
    older = re.sub(rb',\s*"(?:monitored|tracks)": \[\]', b"", data)
    assert b"monitored" in data
    assert b"monitored" not in older
    with monkeypatch.context() as patched:
        patched.delattr(codec, "parse")
        assert codec.decode_run(older) == run
    assert codec.decode_run(json.dumps(json.loads(older), sort_keys=True).encode()) == run


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_of_every_version_is_read_by_its_keys(name: str) -> None:
    """As each of its values is when they are looked at one by one."""
    data = (ROOT / name).read_bytes()
    assert codec._as_written(data) == codec._walked(data, name)


def test_an_integer_of_any_field_has_30_digits_at_most() -> None:
    """Also where the document is as one would be written, and where a float may stand."""
    for number, refused in (("9" * 30, False), ("9" * 31, True)):
        text = codec.encode_run(builders.sealed_run()).replace(
            b'"seed": 0', b'"seed": ' + number.encode(), 1
        )
        if refused:
            assert "integer of 31 digits" in _refusal(text)
        else:
            assert codec.decode_run(text).plan.seed == int(number)


def test_an_unknown_key_is_refused_with_its_path() -> None:
    """At any depth."""
    document = _plain()
    document["run"]["results"][0]["trials"][0]["values"][0]["surprise"] = 1
    assert "results[0].trials[0].values[0].surprise" in _refusal(document)
    document = _plain()
    document["surprise"] = 1
    assert "unknown key 'surprise'" in _refusal(document)


def test_a_missing_key_is_refused_with_its_path() -> None:
    """And what is missing is named."""
    document = _plain()
    del document["run"]["plan"]["seed"]
    message = _refusal(document)
    assert "seed" in message
    assert "$.plan" in message


@pytest.mark.parametrize("wrong", ["12", 1.5, None, [], {}])
def test_a_wrong_type_is_refused(wrong: object) -> None:
    """No number is read out of a string."""
    document = _plain()
    document["run"]["plan"]["seed"] = wrong
    assert "$.plan.seed" in _refusal(document)


def test_an_unknown_word_of_a_closed_set_is_refused() -> None:
    """Outcomes are a closed list."""
    document = _plain()
    document["run"]["results"][0]["trials"][0]["outcome"]["kind"] = "fine"
    assert "fine" in _refusal(document)


def test_duplicate_keys_are_refused() -> None:
    """JSON parsers disagree on which one counts."""
    text = json.dumps(_plain()).replace('"seed": 0', '"seed": 0, "seed": 1')
    assert "'seed' twice" in _refusal(text.encode())


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(number: str) -> None:
    """Python's own parser takes all of these."""
    text = json.dumps(_plain()).replace('"seed": 0', f'"seed": {number}')
    assert number in _refusal(text.encode())


def test_bytes_that_are_no_utf8_are_written_as_python_writes_them() -> None:
    """Of a file's name or a variable, in a log or a message: they ended a session by a traceback."""
    name = b"caf\xe9".decode("utf-8", errors="surrogateescape")
    run = replace(builders.sealed_run(), notes={name: f"{name} was not found"})
    back = codec.decode_run(codec.encode_run(run))
    assert back.notes == {"caf\\udce9": "caf\\udce9 was not found"}
    assert codec.encode_line({"words": [name]}) == rb'{"words":["caf\\udce9"]}'


def test_a_newer_schema_is_refused_with_the_upgrade() -> None:
    """Before anything in it is interpreted."""
    document = _plain() | {"schema_version": 2, "news": True}
    with pytest.raises(DocumentError, match="schema version 2") as caught:
        codec.decode_run(json.dumps(document).encode())
    assert "git pull" in caught.value.advice  # it is on no index


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "not a dlbench result document"),
        (b"null", "not a dlbench result document"),
        (b'{"schema": "other"}', "not a dlbench result document"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "nested deeper than 32"),
        (b'{"a": ' + b"9" * 5000 + b"}", "integer of 5,000 digits"),
        (rb'{"a": "\ud800"}', "lone surrogate"),
        (rb'{"\ud800": 1}', "lone surrogate"),
    ],
)
def test_hostile_bytes_are_refused(data: bytes, word: str) -> None:
    """Each in its own words, and none by a crash."""
    assert word in _refusal(data)


def test_size_is_checked_before_reading(tmp_path: Path) -> None:
    """A sparse file of 10 GB is refused without a byte of it being read."""
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(10 * 1024**3)
    with pytest.raises(DocumentError, match="10,737,418,240 bytes"):
        codec.read_bytes(path)


def test_a_missing_file_is_a_store_error(tmp_path: Path) -> None:
    """With its path."""
    with pytest.raises(StoreError, match=r"nothing\.json cannot be read: No such file"):
        codec.read_bytes(tmp_path / "nothing.json")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nothing_that_is_no_number_is_written(bad: float) -> None:
    """A NaN that reached the document would be a bug; it is refused with its path."""
    run = builders.sealed_run()
    trial = run.results[0].trials[0]
    spoiled = replace(trial, values=(Value(start_s=0.0, duration_s=bad, n_samples=1),))
    with pytest.raises(DocumentError, match=r"values\[0\]\.duration_s"):
        codec.to_plain(spoiled)


def test_a_workers_trial_is_read_as_strictly() -> None:
    """What the session gets over the pipe goes through the same door."""
    trial = builders.sealed_run().results[0].trials[0]
    plain = json.loads(codec.encode_line(trial))
    assert codec.convert(Trial, plain) == trial
    with pytest.raises(DocumentError, match="unknown key at ours"):
        codec.convert(Trial, plain | {"ours": False})
    with pytest.raises(DocumentError, match="missing required field"):
        codec.convert(Trial, {"not": "ours"})


def test_an_edit_shows_in_the_content_hash() -> None:
    """One digit changed by hand."""
    data = codec.encode_run(builders.sealed_run())
    stated, actual = codec.stated_and_actual_sha256(data)
    assert stated == actual
    edited = data.replace(b'"duration_s": 0.02,', b'"duration_s": 0.01,', 1)
    assert edited != data
    stated, actual = codec.stated_and_actual_sha256(edited)
    assert stated != actual
