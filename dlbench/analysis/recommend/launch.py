"""How to run it on the pick: a SkyPilot task, and the same as plain shell steps."""

from __future__ import annotations

import json
import re
import shlex

from dlbench import workloads
from dlbench.analysis.recommend import words
from dlbench.analysis.recommend.needs import EXTRAS
from dlbench.core.catalog import SKYPILOT_RUNPOD, Offer
from dlbench.core.recommendation import Candidate, Launch, Need
from dlbench.core.types import Absent, Mode, Policy

SKYPILOT_CLOUDS = frozenset(
    {"aws", "azure", "gcp", "lambda", "oci", "paperspace", "runpod", "vast"}
)
"""Sellers that SkyPilot starts machines at, under these names."""

SKYPILOT_TYPES = {"runpod": re.compile(r"\d+x_"), "vast": re.compile(r"\d+x-")}
"""How its types begin, where other tables have names of their own: a card's, or an offer's number."""

ON_CUDA = {"tensorflow": "tensorflow-cuda", "jax": "jax-cuda", "onnxruntime": "onnx-cuda"}
"""Instead, where an accelerator was picked: PyTorch's wheel alone brings CUDA itself."""

VAGUE_REGIONS = frozenset({"any", "eu", "us"})


def launch(candidate: Candidate, need: Need) -> Launch:
    """Launch lines of a candidate."""
    return Launch(skypilot_yaml=_skypilot(candidate, need), shell=_shell(candidate, need))


def _measure(candidate: Candidate, need: Need) -> str:
    """The command that measures on that machine what was estimated here."""
    parts = ["dlbench", "run", *_model(need), "--framework", need.framework]
    parts += ["--precision", str(need.precision), "--mode", str(need.mode)]
    parts += ["--device", _device(candidate), "--batch-size", str(candidate.batch_size)]
    if candidate.policy is not Policy.BASE:
        parts += ["--policy", str(candidate.policy)]
    if need.serving and need.p99_ms is not None:
        parts += ["--scenario", "server", "--latency-limit", f"{need.p99_ms:g}ms"]
    return shlex.join(parts)


def _device(candidate: Candidate) -> str:
    """What is measured: one device. Left open, ``dlbench run`` takes the host and each in turn."""
    return "nvidia:0" if candidate.offer.accelerator else "cpu"


def _alone(candidate: Candidate) -> list[str]:
    """Of several devices: that one is measured, and what the others add is not."""
    step = words.scaling(candidate)
    if step is None:
        return []
    count = candidate.offer.accelerator_count
    told = [
        f"this measures {_device(candidate)} alone",
        f"all {count:g} are taken as {step.value} ({step.formula})",
        *([words.check_scaling(candidate)] if words.is_assumed(step) else []),
    ]
    return [f"# {line}" for line in told]


def _model(need: Need) -> list[str]:
    """A workload by its name; one's own model by what ``dlbench run --model`` needs to be told."""
    if need.workload in workloads.folders():
        return [need.workload, *(["--variant", need.variant] if need.variant != "full" else [])]
    name = ["--name", need.workload] if need.workload else []
    return ["--model", "FILE.py:FUNCTION", "--input", "SHAPE", *name]


NO_INDEX = "dlbench is on no package index yet: name your clone of it"
"""By its name alone pip finds nothing, or what a stranger put there under that name."""

CLONE = "../dlbench"


def _install(candidate: Candidate, need: Need, where: str) -> str:
    extras = EXTRAS[need.framework]
    if candidate.offer.accelerator:
        extras = ON_CUDA.get(need.framework, extras)
    if need.serving:
        extras += ",loadgen"
    return f'python3 -m pip install "{where}[{extras}]"'


def _there(command: str) -> str:
    return f'ssh "$HOST" {shlex.quote(command)}'


def _work(need: Need) -> str:
    """A stand-in for the user's own program."""
    if need.serving:
        return "./serve.sh"
    return "./infer.sh" if need.mode is Mode.INFERENCE else "./train.sh"


def _skypilot(candidate: Candidate, need: Need) -> str | Absent:
    offer = candidate.offer
    if candidate.owned:
        return Absent(reason="the machine is your own")
    if offer.provider not in SKYPILOT_CLOUDS:
        return Absent(reason=f"SkyPilot is not known to start machines at {offer.provider}")
    machine = _machine(offer)
    if isinstance(machine, Absent):
        return machine
    # Of a marketplace the region must be said too: it is what keeps data where they may be.
    region = "" if offer.region in VAGUE_REGIONS else f"/{offer.region}"
    # JSON strings are YAML strings, with every odd character escaped.
    lines = [
        *_life(candidate, _task_name(need)),
        f"name: {json.dumps(_task_name(need))}",
        "resources:",
        f"  infra: {json.dumps(offer.provider + region)}",
        *(f"  {key}: {json.dumps(word)}" for key, word in machine.items()),
        f"  use_spot: {'true' if candidate.spot else 'false'}",
        *([f"num_nodes: {candidate.n_instances}"] if candidate.n_instances > 1 else []),
        "workdir: .",
        "file_mounts:",
        f"  ~/dlbench: {CLONE}    # {NO_INDEX}",
        "setup: |",
        f"  {_install(candidate, need, '$HOME/dlbench')}",
        "run: |",
        *(f"  {line}" for line in _alone(candidate)),
        f"  {_measure(candidate, need)}",
        f"  {_work(need)}",
    ]
    return "\n".join(lines) + "\n"


def _machine(offer: Offer) -> dict[str, str] | Absent:
    """The machine in SkyPilot's words, or why it has none for it."""
    unknown = Absent(
        reason=f"SkyPilot's name of {offer.provider} {offer.instance_type} is not known"
    )
    named = SKYPILOT_TYPES.get(offer.provider)
    if offer.region == "unknown" or (named and not named.match(offer.instance_type)):
        return unknown
    if offer.provider == "gcp" and "+" in offer.instance_type:
        # The catalog sums a host and the accelerators that are attached to it: n1-standard-4+t4x1.
        host, _, attached = offer.instance_type.partition("+")
        name, _, count = attached.upper().rpartition("X")
        return {"instance_type": host, "accelerators": f"{name}:{count}"}
    if offer.provider == "runpod" and offer.accelerator in SKYPILOT_RUNPOD:
        if offer.instance_type.endswith("_COMMUNITY"):
            return Absent(reason="SkyPilot's table of RunPod has no community hosts")
        known = SKYPILOT_RUNPOD[offer.accelerator]
        return {
            "instance_type": offer.instance_type.replace(f"_{offer.accelerator}_", f"_{known}_")
        }
    return {"instance_type": offer.instance_type}


def _life(candidate: Candidate, name: str) -> tuple[str, ...]:
    """How it is started, and how the rent ends: a machine that nobody stops is paid for."""
    if candidate.spot:
        return (
            f"# start     sky jobs launch -n {name} task.yaml",
            "#           it goes on elsewhere after an interruption: save checkpoints to a bucket",
            f"# give up   sky jobs cancel -n {name}",
        )
    return (
        f"# start     sky launch -c {name} task.yaml",
        f"# fetch     rsync -az {name}:sky_workdir/ ./fetched/",
        f"# end       sky down {name}    (it is paid for until then)",
    )


def _task_name(need: Need) -> str:
    """A name that SkyPilot takes: it starts with a letter."""
    name = "".join(c if c.isalnum() and c.isascii() else " " for c in need.name.lower())
    name = "-".join(name.split())
    return name if name[:1].isalpha() else f"dlbench-{name}".strip("-")


def _shell(candidate: Candidate, need: Need) -> str:
    offer = candidate.offer
    where = f"{offer.instance_type} in {offer.region} at {offer.provider}"
    how = " as a spot instance" if candidate.spot else ""
    many = f"{candidate.n_instances} of " if candidate.n_instances > 1 else ""
    check = "nvidia-smi" if offer.accelerator else "lscpu"
    select = (
        f"# 1 select    {many}your own machine{'s' * bool(many)} {offer.instance_type}"
        if candidate.owned
        else f"# 1 select    start {many}{where}{how}; note its address"
    )
    lines = [
        select,
        "HOST=user@address",
        f"# 2 set up    the machine must show its hardware: {candidate.hardware}",
        f'ssh "$HOST" {check}',
        "# 3 upload    your program and its data",
        # Over the one of another machine, whose python is elsewhere, none can be made there.
        'rsync -az --partial --exclude .venv ./ "$HOST":job/',
        f"# 4 install     {NO_INDEX}",
        f"DLBENCH={CLONE}",
        'rsync -az --exclude .git --exclude .venv "$DLBENCH"/ "$HOST":dlbench/',
        _there(
            "python3 -m venv job/.venv && . job/.venv/bin/activate && "
            + _install(candidate, need, "./dlbench")
        ),
        "# 5 configure and measure, before "
        + ("it works for long" if candidate.owned else "you pay for more than an hour"),
        *_alone(candidate),
        _there("cd job && . .venv/bin/activate && " + _measure(candidate, need)),
        "# 6 run       your own program",
        _there("cd job && . .venv/bin/activate && " + _work(need)),
        f"# 7 fetch     what was measured and made; the next answer rests on it: {_results(candidate)}",
        'rsync -az --exclude .venv "$HOST":job/ ./fetched/',
    ]
    if not candidate.owned:
        lines.append(
            f"# 8 end       delete the machine at {offer.provider}: it is paid for until then"
        )
    return "\n".join(_single_line(line) for line in lines) + "\n"


def _results(candidate: Candidate) -> str:
    """What makes a document count: of one's own processors the need must say that they are those."""
    named = candidate.offer.accelerator is None and candidate.owned
    told = ", with cpu_model (dlbench devices names it) and vcpus in the need" if named else ""
    return f"--results{told}"


def _single_line(line: str) -> str:
    """Names from price files must not start a line of their own."""
    return "".join(c if c.isprintable() else " " for c in line)
