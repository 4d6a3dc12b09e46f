"""dlbench's models against public implementations of the same ones, interleaved in one process.

    pip install 'transformers<5' optimum-benchmark
    python benchmarks/public_implementations.py [--only pytorch,resnet50] [--processes 4]

| framework | model | name | the public side |
| --- | --- | --- | --- |
| pytorch | resnet50 | transformers | ResNetForImageClassification (v1.5, as ours) |
| pytorch | resnet50 | optimum_benchmark | the same, as optimum-benchmark loads, calls and times it |
| pytorch | lstm_lm | example | nn.Embedding, nn.LSTM, nn.Linear, as in PyTorch's word language model |
| tensorflow | resnet50 | applications | keras.applications.ResNet50 (v1: 7.7 GFLOP for our 8.2) |
| tensorflow | resnet50 | applications_v1_5 | the same layers with v1.5's strides, as ours |
| tensorflow | lstm_lm | sequential | keras.Sequential of Embedding, LSTM, LSTM, Dense |

optimum-benchmark is compared in inference: it trains by transformers' Trainer, which has no SGD with
momentum, so that both sides could not do the same work.

Each side is stepped as its documentation does: eager; ``tf.function`` around the model and
``train_on_batch``. In ``tuned`` the public side is compiled too (``torch.compile``, ``jit_compile``)
and stands as whichever is faster here. Same batch, precision, threads and settings of SGD. Within a
process values of both are taken in turn, in seeded random order; which one is built first alternates.
One ratio a process, throughput of dlbench over the public side's; the interval is over processes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from dlbench import environment, workloads
from dlbench.core import registry, stats
from dlbench.core.protocols import SubjectRequest
from dlbench.core.types import Case, Mode, Policy, Precision, Scenario
from dlbench.measure import sampler
from dlbench.plan import PROFILES

Step = Callable[[], object]
Build = Callable[[Case, int], Step]
"""Makes one side of a case, for so many threads."""

BATCHES = {Mode.TRAINING: 4, Mode.INFERENCE: 8}
VALUES = 10
WARM_UP_STEPS = 3

FLOPS_RATIO = {"applications": 8.18 / 7.72}
"""Ours over the public model's where it is another, by PyTorch's counter on both networks."""


def main() -> None:
    """Run the processes of each pair and print its ratio."""
    options = _options()
    if options.child is not None:
        framework, workload, side, mode, policy = options.only
        case = _case(framework, workload, Mode(mode), Policy(policy))
        print(json.dumps(_one_process(case, PUBLIC[framework, workload, side], options.child)))
        return
    for names in ((*key, mode, policy) for key in PUBLIC for mode in Mode for policy in Policy):
        if set(options.only) <= set(names) and (names[2], names[3]) not in LEFT_OUT:
            _compare(names, options.processes)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", type=lambda text: text.split(","), default=[])
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def _case(framework: str, workload: str, mode: Mode, policy: Policy) -> Case:
    return Case(
        workload=workload,
        framework=framework,
        device="cpu",
        precision=Precision.FP32,
        mode=mode,
        scenario=Scenario.OFFLINE if mode == Mode.INFERENCE else None,
        policy=policy,
        batch_size=BATCHES[mode],
    )


def _compare(names: tuple[str, ...], processes: int) -> None:
    ours_s, public_s = [], []
    for seed in range(processes):
        command = [sys.executable, "-W", "ignore", __file__]
        command += ["--only", ",".join(names), "--child", str(seed)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            print(f"{' '.join(names)}: failed: {done.stderr.strip().splitlines()[-1]}", flush=True)
            return
        pair = json.loads(done.stdout.splitlines()[-1])
        ours_s.append(pair["ours"])
        public_s.append(pair["public"])
    found = stats.paired_ratio(public_s, ours_s)
    interval = f" [{found.interval.low:.3f}, {found.interval.high:.3f}]" if found.interval else ""
    line = f"{' '.join(names)}: {found.ratio:.3f}{interval}, {found.n} processes"
    per_flop = FLOPS_RATIO.get(names[2])
    if per_flop is not None:
        line += f"; for the same operations {found.ratio * per_flop:.3f}"
    medians = (statistics.median(x) * 1e3 for x in (ours_s, public_s))
    print(line + "; ms a step {:.1f}, public {:.1f}".format(*medians), flush=True)


def _one_process(case: Case, build: Build, seed: int) -> dict[str, float]:
    """Median seconds a step of both sides."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["USE_TF"] = "0"  # or transformers looks for the Keras of before
    threads = environment.usable_threads(None)
    sides: dict[str, Callable[[], Step]] = {
        "ours": lambda: _ours(case, threads),
        "public": lambda: _public(case, build, threads),
    }
    # The framework is set up by dlbench's adapter; it stands first, and is then built anew.
    sides["ours"]()
    steps = {name: sides[name]() for name in sorted(sides, reverse=bool(seed % 2))}
    for step in steps.values():
        for _ in range(WARM_UP_STEPS):
            step()
    order = random.Random(seed)
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(VALUES):
        for name in order.sample(sorted(steps), k=len(steps)):
            start_s = time.monotonic()
            steps[name]()
            taken[name].append(time.monotonic() - start_s)
    return {name: statistics.median(found) for name, found in taken.items()}


def _public(case: Case, build: Build, threads: int) -> Step:
    """The public side; in ``tuned`` compiled or not, whichever is faster: XLA slows some down."""
    policies = tuple(Policy) if case.policy is Policy.TUNED else (case.policy,)
    return min((build(replace(case, policy=p), threads) for p in policies), key=_fastest_s)


def _fastest_s(step: Step) -> float:
    """Seconds of the fastest of a few steps, once it is compiled."""
    spans_s = []
    for _ in range(2 * WARM_UP_STEPS):
        start_s = time.monotonic()
        step()
        spans_s.append(time.monotonic() - start_s)
    return min(spans_s[WARM_UP_STEPS:])


def _workload(case: Case) -> workloads.Workload:
    return workloads.read(workloads.folders()[case.workload])


def _optimizer(case: Case) -> dict[str, Any]:
    """What both sides train with: SGD with this momentum, and this clipping or none."""
    settings: dict[str, Any] = _workload(case).table["optimizer"]
    return settings


def _ours(case: Case, threads: int) -> Step:
    workload = _workload(case)
    adapter = registry.framework(case.framework)
    (device,), _ = environment.find_devices()
    subject = adapter.open_subject(
        SubjectRequest(
            case=case,
            device=device,
            spec=workload.spec(case.variant),
            load_model=lambda: workloads.load_model(workload.folder, adapter.MODEL_FILES[-1]),
            threads=threads,
            seed=0,
            scratch=Path(tempfile.gettempdir()),
        )
    )
    return sampler.Stepper(subject=subject, case=case, profile=PROFILES["quick"]).value


# --- PyTorch --------------------------------------------------------------------------------


def _transformers_resnet(case: Case, threads: int) -> Step:
    import torch
    import transformers

    config = transformers.ResNetConfig(num_labels=1000)
    model = transformers.ResNetForImageClassification(config)
    inputs = [torch.randn(case.batch_size, 3, 224, 224) for _ in range(4)]
    targets = [torch.randint(1000, (case.batch_size,)) for _ in range(4)]
    return _torch_steps(case, threads, model, lambda y: y.logits, inputs, targets)


def _optimum_benchmark_resnet(case: Case, threads: int) -> Step:
    import torch
    import transformers
    from optimum_benchmark.backends.pytorch.backend import PyTorchBackend
    from optimum_benchmark.backends.pytorch.config import PyTorchConfig
    from optimum_benchmark.trackers.latency import LatencySessionTracker

    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        config = transformers.ResNetConfig(num_labels=1000)
        transformers.ResNetForImageClassification(config).save_pretrained(folder)
        backend = PyTorchBackend(
            PyTorchConfig(
                model=folder,
                library="transformers",
                task="image-classification",
                model_type="resnet",
                device="cpu",
                torch_compile=case.policy is Policy.TUNED,
            )
        )
        backend.load()
    inputs = backend.prepare_inputs({"pixel_values": torch.randn(case.batch_size, 3, 224, 224)})
    tracker = LatencySessionTracker(device="cpu", backend="pytorch")

    def infer() -> object:
        with tracker.track():
            return backend.forward(inputs, {})

    return infer


def _torch_lstm(case: Case, threads: int) -> Step:
    import torch
    from torch import nn

    class WordModel(nn.Module):  # type: ignore[misc]
        """Embedding, LSTM, linear: the structure of the word language model example."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Embedding(10_000, 1500)
            self.rnn = nn.LSTM(1500, 1500, 2, batch_first=True)
            self.decoder = nn.Linear(1500, 10_000)

        def forward(self, tokens: Any) -> Any:
            """(N, T) tokens to (N, T, vocabulary) logits."""
            return self.decoder(self.rnn(self.encoder(tokens))[0])

    inputs = [torch.randint(10_000, (case.batch_size, 35)) for _ in range(4)]
    targets = [torch.randint(10_000, (case.batch_size * 35,)) for _ in range(4)]
    return _torch_steps(case, threads, WordModel(), lambda y: y.flatten(0, 1), inputs, targets)


def _torch_steps(
    case: Case, threads: int, model: Any, logits: Callable[[Any], Any], inputs: Any, targets: Any
) -> Step:
    import torch

    torch.set_num_threads(threads)
    training = case.mode is Mode.TRAINING
    model.train(training)
    forward = torch.compile(model) if case.policy is Policy.TUNED else model
    counter = itertools.count()
    if not training:

        def infer() -> object:
            with torch.inference_mode():
                return logits(forward(inputs[next(counter) % 4]))

        return infer
    settings = _optimizer(case)
    clip_norm = settings.get("clip_norm")
    optimizer = torch.optim.SGD(
        model.parameters(), lr=settings["learning_rate"], momentum=settings["momentum"]
    )

    def train() -> object:
        i = next(counter) % 4
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(logits(forward(inputs[i])), targets[i])
        loss.backward()
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        return optimizer.step()

    return train


# --- TensorFlow -----------------------------------------------------------------------------


def _keras_resnet(case: Case, _: int) -> Step:
    import keras

    model = keras.applications.ResNet50(weights=None, classifier_activation=None)
    return _keras_resnet_steps(case, model)


def _keras_resnet_v1_5(case: Case, _: int) -> Step:
    """ResNet50 of keras.applications with the strides of v1.5 in its own configuration.

    A stage's first block halves the picture in its 3x3 convolution, not in the 1x1 before it.
    """
    import keras

    public = keras.applications.ResNet50(weights=None, classifier_activation=None)
    configuration = public.get_config()
    layers = {layer["config"]["name"]: layer["config"] for layer in configuration["layers"]}
    for stage in (3, 4, 5):
        layers[f"conv{stage}_block1_1_conv"]["strides"] = [1, 1]
        layers[f"conv{stage}_block1_2_conv"]["strides"] = [2, 2]
    return _keras_resnet_steps(case, keras.Model.from_config(configuration))


def _keras_resnet_steps(case: Case, model: Any) -> Step:
    import numpy as np

    inputs = [np.random.randn(case.batch_size, 224, 224, 3).astype("float32") for _ in range(4)]  # noqa: NPY002
    targets = [np.random.randint(1000, size=case.batch_size) for _ in range(4)]  # noqa: NPY002
    return _keras_steps(case, model, inputs, targets)


def _keras_lstm(case: Case, _: int) -> Step:
    import keras
    import numpy as np
    from keras import layers

    recurrent = [layers.LSTM(1500, return_sequences=True) for _ in range(2)]
    model = keras.Sequential(
        [layers.Embedding(10_000, 1500), *recurrent, layers.Dense(10_000)],
    )
    model.build((None, 35))
    inputs = [np.random.randint(10_000, size=(case.batch_size, 35)) for _ in range(4)]  # noqa: NPY002
    targets = [np.random.randint(10_000, size=(case.batch_size, 35)) for _ in range(4)]  # noqa: NPY002
    return _keras_steps(case, model, inputs, targets)


def _keras_steps(case: Case, model: Any, inputs: Any, targets: Any) -> Step:
    import keras
    import tensorflow as tf

    tuned = case.policy is Policy.TUNED
    inputs = [tf.constant(x) for x in inputs]
    targets = [tf.constant(y) for y in targets]
    counter = itertools.count()
    if case.mode is Mode.INFERENCE:
        forward = tf.function(lambda x: model(x, training=False), jit_compile=tuned)
        return lambda: forward(inputs[next(counter) % 4])
    settings = _optimizer(case)
    model.compile(
        optimizer=keras.optimizers.SGD(
            settings["learning_rate"],
            momentum=settings["momentum"],
            global_clipnorm=settings.get("clip_norm"),
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=tuned,
    )

    def train() -> object:
        i = next(counter) % 4
        return model.train_on_batch(inputs[i], targets[i])

    return train


PUBLIC: dict[tuple[str, str, str], Build] = {
    ("pytorch", "resnet50", "transformers"): _transformers_resnet,
    ("pytorch", "resnet50", "optimum_benchmark"): _optimum_benchmark_resnet,
    ("pytorch", "lstm_lm", "example"): _torch_lstm,
    ("tensorflow", "resnet50", "applications"): _keras_resnet,
    ("tensorflow", "resnet50", "applications_v1_5"): _keras_resnet_v1_5,
    ("tensorflow", "lstm_lm", "sequential"): _keras_lstm,
}

LEFT_OUT = {("optimum_benchmark", Mode.TRAINING)}


if __name__ == "__main__":
    main()
