"""Weights and inputs that are the same in every framework: a function of seed and name alone.

Each parameter has a canonical name and layout, PyTorch's (``layer1.0.conv1.weight``, OIHW), and each
sample its buffer and position, so neither the order of building nor the batch size matters.
"""

from __future__ import annotations

import fnmatch
import hashlib
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from dlbench.core.errors import UnsupportedError

Array = np.ndarray[Any, Any]

N_BUFFERS = 4
"""Batches in rotation: one alone would measure the cache."""

SAMPLES_BEFORE_REPEAT = 64
"""Distinct samples of a buffer, unless the workload says how many (``distinct_samples``).

A larger batch repeats them, which only a cache of looked-up rows can exploit: workloads that look up
rows say as many as their largest batch has."""

WORTH_THREADS = 1_000_000
"""Numbers of a batch from which they are drawn side by side: a rented card waits for them."""


def weight(spec: Mapping[str, Any], name: str, shape: Sequence[int]) -> Array:
    """One parameter or buffer, float32, in canonical layout, by the workload's rules.

    Raises:
        UnsupportedError: no rule of workload.toml matches the name.
    """
    for rule in spec["weights"]:
        if fnmatch.fnmatchcase(name, rule["match"]):
            return _filled(rule, spec["seed"], name, tuple(shape))
    raise UnsupportedError(f"{spec['name']} has no weight rule for {name}", "Add one to its TOML.")


def _filled(rule: Mapping[str, Any], seed: int, name: str, shape: tuple[int, ...]) -> Array:
    if rule["kind"] == "constant":
        return np.full(shape, rule["value"], dtype=np.float32)
    limit = rule["limit"] if rule["kind"] == "uniform" else _fan_in_limit(rule["gain"], shape)
    unit = _generator(seed, f"weight:{name}").random(shape, dtype=np.float32)
    return (unit * np.float32(2 * limit) - np.float32(limit)).astype(np.float32)


def _fan_in_limit(gain: float, shape: tuple[int, ...]) -> float:
    """Half-width of a uniform distribution whose variance is gain^2 / fan_in (He et al. 2015)."""
    return float(gain) * math.sqrt(3 / math.prod(shape[1:]))


def batch(spec: Mapping[str, Any], side: str, buffer: int, batch_size: int) -> tuple[Array, ...]:
    """A batch of ``inputs`` or ``targets`` (``side``): its tensors in the order of workload.toml.

    Each is float32 or int64, batch first, in canonical layout. Sample j of a buffer is the same
    whatever the batch size.
    """
    return tuple(
        _tensor(table, spec["seed"], f"{name}:{buffer}", batch_size, distinct_samples(spec))
        for name, table in spec[side].items()
    )


def distinct_samples(spec: Mapping[str, Any]) -> int:
    """How many samples of a buffer differ before they repeat."""
    return spec.get("distinct_samples") or SAMPLES_BEFORE_REPEAT


def _tensor(
    table: Mapping[str, Any], seed: int, name: str, batch_size: int, distinct: int
) -> Array:
    n_distinct = min(batch_size, distinct)
    if distinct > SAMPLES_BEFORE_REPEAT and len(table["shape"]) <= 1:
        # Tens of thousands of a few numbers each: a generator for each would take seconds. One
        # generator's numbers come in order, so that here too sample j depends on no batch size.
        drawn = _numbers(table, _generator(seed, name), (n_distinct, *table["shape"]))
        samples = _scaled(table, drawn)
    else:
        samples = _one_by_one(table, seed, [f"{name}:{j}" for j in range(n_distinct)])
    repeats = -(-batch_size // n_distinct)
    return np.concatenate([samples] * repeats)[:batch_size]


def _one_by_one(table: Mapping[str, Any], seed: int, names: Sequence[str]) -> Array:
    if len(names) * math.prod(table["shape"]) < WORTH_THREADS:
        return np.stack([_sample(table, seed, name) for name in names])
    # numpy's generators let go of the interpreter's lock, and no sample depends on another.
    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(lambda name: _sample(table, seed, name), names)))


def _sample(table: Mapping[str, Any], seed: int, name: str) -> Array:
    generator = _generator(seed, name)
    drawn = _numbers(table, generator, table["shape"])
    if "std" in table and drawn.ndim > 1:
        # Pure noise looks the same to a network that ends in a mean; a level of each channel's own
        # makes samples as different as pictures are.
        levels = generator.standard_normal(drawn.shape[0], dtype=np.float32)
        drawn += levels.reshape(-1, *(1,) * (drawn.ndim - 1))
    return _scaled(table, drawn)


def _numbers(table: Mapping[str, Any], generator: np.random.Generator, shape: Any) -> Array:  # noqa: ANN401
    if "below" in table:
        return np.asarray(generator.integers(0, table["below"], size=shape, dtype=np.int64))
    return np.asarray(generator.standard_normal(shape, dtype=np.float32))


def _scaled(table: Mapping[str, Any], drawn: Array) -> Array:
    wide = drawn * np.float32(table["std"]) if "std" in table else drawn
    return np.asarray(wide, dtype=table["dtype"])


def _generator(seed: int, name: str) -> np.random.Generator:
    """A counter-based generator keyed by seed and name: no state, no order."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
