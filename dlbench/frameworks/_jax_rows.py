"""Embedding tables trained row by row: what an expert writes in JAX where the optimiser is plain SGD.

The gradient of a table is a table, of which a step looks up a few rows. PyTorch and TensorFlow have
sparse gradients; JAX has none. Here the rows that were looked up are differentiated instead of the
table, and the update is a scatter into the table that was donated (docs/decisions/0065).
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
from jax import numpy as jnp

Tensor = Any
"""A JAX array or what stands for one while a function is traced."""


@dataclass(slots=True)
class Lookups:
    """The lookups of one forward pass, in their order; ``slopes`` are zeros to differentiate by."""

    slopes: Sequence[Tensor] = ()
    positions: list[int] = field(default_factory=list)
    indices: list[Tensor] = field(default_factory=list)
    rows: list[Tensor] = field(default_factory=list)


class Tables:
    """The embeddings of a Keras model, by their positions among its trainable variables."""

    def __init__(self, keras: Any, model: Any) -> None:  # noqa: ANN401 - the module, a keras.Model
        """Give its embeddings a lookup that can be watched; their weights stay where they are."""
        self._watching: Lookups | None = None
        places = {id(v): i for i, v in enumerate(model.trainable_variables)}
        self.positions: list[int] = []
        for layer in model._flatten_layers():  # noqa: SLF001 - Keras has no public way to all of them
            if type(layer) is keras.layers.Embedding and not layer.lora_enabled:
                position = places[id(layer.embeddings)]
                self.positions.append(position)
                layer.call = functools.partial(self._look_up, keras, layer, position)

    def _look_up(self, keras: Any, layer: Any, position: int, inputs: Tensor) -> Tensor:  # noqa: ANN401
        indices = keras.ops.cast(inputs, "int32")
        rows = jnp.take(keras.ops.convert_to_tensor(layer.embeddings), indices, axis=0, mode="clip")
        watching = self._watching
        if watching is not None:
            if watching.slopes:
                rows = rows + watching.slopes[len(watching.positions)]
            watching.positions.append(position)
            watching.indices.append(indices)
            watching.rows.append(rows)
        return keras.ops.cast(rows, layer.compute_dtype)

    @contextlib.contextmanager
    def _watched(self, slopes: Sequence[Tensor] = ()) -> Iterator[Lookups]:
        self._watching = Lookups(slopes=slopes)
        try:
            yield self._watching
        finally:
            self._watching = None

    def value_and_gradients(
        self, loss_of: Callable[[list[Tensor]], tuple[Tensor, Any]], trained: Sequence[Tensor]
    ) -> tuple[Any, list[Tensor], Mapping[int, list[tuple[Tensor, Tensor]]]]:
        """What ``jax.value_and_grad`` with ``has_aux`` tells, with rows in the place of tables.

        Args:
            loss_of: of all trainable variables, to the loss and whatever else.
            trained: their values.

        Returns:
            The loss and what else; gradients of all variables but the tables, in their order; and of
            each table, by its position, pairs of indices (...) and of the gradients of their rows
            (..., width).
        """

        def shapes(values: list[Tensor]) -> list[Tensor]:
            with self._watched() as seen:
                loss_of(values)
            return seen.rows

        zeros = [jnp.zeros(x.shape, x.dtype) for x in jax.eval_shape(shapes, list(trained))]
        positions: list[int] = []

        def watched_loss(dense: list[Tensor], slopes: list[Tensor]) -> tuple[Tensor, Any]:
            with self._watched(slopes) as seen:
                loss, other = loss_of(self.merged(dense, trained))
            positions[:] = seen.positions
            return loss, (other, seen.indices)

        differentiated = jax.value_and_grad(watched_loss, argnums=(0, 1), has_aux=True)
        (loss, (other, indices)), (of_dense, of_rows) = differentiated(self.dense(trained), zeros)
        by_table: dict[int, list[tuple[Tensor, Tensor]]] = {}
        for position, index, slope in zip(positions, indices, of_rows, strict=True):
            by_table.setdefault(position, []).append((index, slope))
        return (loss, other), of_dense, by_table

    def dense(self, trained: Sequence[Tensor]) -> list[Tensor]:
        """Everything but the tables."""
        return [x for i, x in enumerate(trained) if i not in self.positions]

    def merged(self, dense: Sequence[Tensor], trained: Sequence[Tensor]) -> list[Tensor]:
        """Everything, with the tables of ``trained``."""
        rest = iter(dense)
        return [x if i in self.positions else next(rest) for i, x in enumerate(trained)]


def descended(
    table: Tensor, steps: Sequence[tuple[Tensor, Tensor]], learning_rate: float
) -> Tensor:
    """A table after plain SGD: rows that were looked up more than once move by the sum."""
    for indices, slopes in steps:
        table = table.at[indices].add(-learning_rate * slopes.astype(table.dtype), mode="drop")
    return table
