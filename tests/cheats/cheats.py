"""Thirteen ways to be fast without being so; each right in all but one thing.

A class is a framework adapter's subject. It knows the rules and evades all but its own, so that no
other rule catches it by accident. What works on the harness (warm-up, best of N, clock) does what an
adapter can do there: it lives in the same process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from dlbench.core.protocols import SubjectRequest
from dlbench.core.types import Mode, Precision, Value
from dlbench.measure import sampler
from dlbench.measure.sampler import Stepper
from tests.cheats.honest import Array, Subject

Patch = Callable[[object, str, Any], None]
"""``setattr`` that the test undoes."""

CHEATS: dict[str, type[Cheat]] = {}
"""By the rule that refuses each."""


class Cheat(Subject):
    """Honest until a subclass is not. ``reach`` is how it gets at its own process."""

    mode = Mode.INFERENCE
    precision = Precision.FP32

    def __init__(self, request: SubjectRequest, reach: Patch) -> None:
        super().__init__(request)
        self.corrupt(reach)

    def corrupt(self, reach: Patch) -> None:
        """Prepare the cheat."""


def refused_by(rule: str) -> Callable[[type[Cheat]], type[Cheat]]:
    """Say which rule sees it."""

    def register(cheat: type[Cheat]) -> type[Cheat]:
        CHEATS[rule] = cheat
        return cheat

    return register


@refused_by("synchronises")
class NoSynchronisation(Cheat):
    """Times how fast work is started."""

    def synchronize(self) -> None:
        """Do not wait."""


@refused_by("outputs_follow_inputs")
class CachedOutputs(Cheat):
    """Computes each buffer's outputs once: they are right, differ, and cost nothing."""

    def corrupt(self, reach: Patch) -> None:
        """Compute them while the model is loaded."""
        self.cache = [super(CachedOutputs, self).query(i) for i in range(self.n_buffers)]

    def query(self, buffer: int) -> object:
        """Look them up."""
        return self.cache[buffer]


class _Asked:
    """Inputs whose true outputs are computed when somebody looks at them."""

    def __init__(self, done: object, inputs: Array) -> None:
        self.done, self.inputs = done, inputs


@refused_by("inputs_as_seeded")
class ZeroInputs(Cheat):
    """Times zeros, which skip work, and computes true outputs when they are fetched, untimed."""

    def corrupt(self, reach: Patch) -> None:
        """Keep the true inputs elsewhere."""
        self.true_inputs = [x.copy() for x in self.inputs]
        for x in self.inputs:
            x[:] = 0

    def query(self, buffer: int) -> object:
        """Time zeros."""
        return _Asked(super().query(buffer), self.true_inputs[buffer].copy())

    def fetch(self, handle: object) -> Array:
        """Show numbers."""
        assert isinstance(handle, _Asked)
        super().fetch(handle.done)
        return self.infer(handle.inputs)

    def copy_inputs(self, source: int, target: int) -> None:
        """Both kinds."""
        super().copy_inputs(source, target)
        self.true_inputs[target][:] = self.true_inputs[source]


@refused_by("precision_as_asked")
class WrongPrecision(Cheat):
    """Says float32, multiplies in 16 bits, and stays within the tolerance."""

    def infer(self, inputs: Array) -> Array:
        """Round what goes into every product, as tensor cores do."""
        x = inputs
        for i, weight in enumerate(self.weights):
            x = _narrow(x) @ _narrow(weight).T
            x = np.maximum(x, 0) if i + 1 < len(self.weights) else x
        return x


def _narrow(array: Array) -> Array:
    return array.astype(np.float16).astype(np.float32)


@refused_by("outputs_match_reference")
class FewerLayers(Cheat):
    """Has all parameters, and leaves out the layer in the middle."""

    def infer(self, inputs: Array) -> Array:
        """First and last."""
        first, _, last = self.weights
        return np.asarray(np.maximum(inputs @ first.T, 0) @ last.T)


@refused_by("first_loss_matches_reference")
class SkippedLayers(Cheat):
    """Trains the first and the last layer alone, and keeps all parameters: the loss falls all the same.

    In 16 bits, where outputs may deviate by more than this moves the first loss.
    """

    mode = Mode.TRAINING
    precision = Precision.BF16

    def train(self, inputs: Array, targets: Array) -> Array:
        """As if the layer in the middle were not there."""
        first, skipped, last = self.weights
        self.weights = [first, last]
        loss = super().train(inputs, targets)
        self.weights.insert(1, skipped)
        return loss


@refused_by("device_as_asked")
class AnotherDevice(Cheat):
    """Works on a faster device than the one it is asked for."""

    @property
    def place(self) -> str:
        """Not what was asked."""
        return "cpu"


@refused_by("batch_as_stated")
class SmallerBatch(Cheat):
    """Computes half of the batch and is paid for all of it."""

    def infer(self, inputs: Array) -> Array:
        """The first half."""
        return super().infer(inputs[: len(inputs) // 2])


@refused_by("warm_up_by_rule")
class UnequalWarmUp(Cheat):
    """Warms up for longer than others may, so that its clocks and caches are better off."""

    def corrupt(self, reach: Patch) -> None:
        """Go on when the rule has ended it."""
        fair = Stepper.warm_up

        def longer(stepper: Stepper) -> tuple[list[Value], bool]:
            values, steady = fair(stepper)
            return [*values, *(stepper.value() for _ in range(30))], steady

        reach(Stepper, "warm_up", longer)


@refused_by("loss_falls")
class ConstantLoss(Cheat):
    """Computes loss and gradients, and does not learn from them."""

    mode = Mode.TRAINING

    def update(self, gradients: list[Array]) -> None:
        """Leave the weights as they are."""


@refused_by("nothing_left_out")
class BestOfN(Cheat):
    """Takes three times as many values and shows the fastest third."""

    def corrupt(self, reach: Patch) -> None:
        """Choose."""
        fair = Stepper.steady_values

        def best(stepper: Stepper) -> list[Value]:
            values = [value for _ in range(3) for value in fair(stepper)]
            fastest = sorted(values, key=lambda v: v.duration_s)[: len(values) // 3]
            return sorted(fastest, key=lambda v: v.start_s)

        reach(Stepper, "steady_values", best)


@refused_by("clock_true")
class SlowClock(Cheat):
    """Has the harness read a clock that runs at a quarter of the true speed."""

    def corrupt(self, reach: Patch) -> None:
        """Put it in the true one's place."""
        reach(sampler, "time", _QuarterTime)


class _QuarterTime:
    """Stands in for the module ``time``."""

    began_s = time.monotonic()

    @classmethod
    def monotonic(cls) -> float:
        """A quarter of what has passed."""
        return cls.began_s + (time.monotonic() - cls.began_s) / 4


@refused_by("outputs_complete")
class TruncatedOutput(Cheat):
    """Computes the first eight of 32 outputs."""

    def infer(self, inputs: Array) -> Array:
        """A quarter of the last layer."""
        *first, last = self.weights
        return self.model.forward([*first, last[:8]], inputs)[-1]  # type: ignore[no-any-return]
