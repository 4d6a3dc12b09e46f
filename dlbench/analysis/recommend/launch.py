"""How to run it on the pick: a SkyPilot task, and the same as plain shell steps."""

from __future__ import annotations

import json
import shlex

from dlbench.core.recommendation import Candidate, Launch, Need
from dlbench.core.types import Absent, Mode, Policy

SKYPILOT_CLOUDS = frozenset(
    {"aws", "azure", "gcp", "lambda", "oci", "paperspace", "runpod", "vast"}
)
"""Sellers that SkyPilot starts machines at, under these names."""

EXTRAS = {
    "pytorch": "torch",
    "tensorflow": "tensorflow",
    "jax": "jax",
    "keras": "keras",
    "onnxruntime": "onnx",
    "openvino": "openvino",
    "fake": "all",
}

VAGUE_REGIONS = frozenset({"any", "unknown", "eu", "us"})


def launch(candidate: Candidate, need: Need) -> Launch:
    """Launch lines of a candidate."""
    return Launch(skypilot_yaml=_skypilot(candidate, need), shell=_shell(candidate, need))


def _measure(candidate: Candidate, need: Need) -> str:
    """The command that measures on that machine what was estimated here."""
    parts = ["dlbench", "run", need.workload or "MY_WORKLOAD", "--framework", need.framework]
    parts += ["--precision", str(need.precision), "--mode", str(need.mode)]
    parts += ["--batch-size", str(candidate.batch_size)]
    if candidate.policy is not Policy.BASE:
        parts += ["--policy", str(candidate.policy)]
    if need.serving and need.p99_ms is not None:
        parts += ["--scenario", "server", "--latency-limit", f"{need.p99_ms:g}ms"]
    return shlex.join(parts)


def _install(need: Need) -> str:
    extras = EXTRAS.get(need.framework, "torch")
    if need.serving:
        extras += ",loadgen"
    return f"python3 -m pip install 'dlbench[{extras}]'"


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
    region = "" if offer.region in VAGUE_REGIONS or "," in offer.region else f"/{offer.region}"
    # JSON strings are YAML strings, with every odd character escaped.
    lines = [
        f"name: {json.dumps(_task_name(need))}",
        "resources:",
        f"  infra: {json.dumps(offer.provider + region)}",
        f"  instance_type: {json.dumps(offer.instance_type)}",
        f"  use_spot: {'true' if candidate.spot else 'false'}",
        *([f"num_nodes: {candidate.n_instances}"] if candidate.n_instances > 1 else []),
        "workdir: .",
        "setup: |",
        f"  {_install(need)}",
        "run: |",
        f"  {_measure(candidate, need)}",
        f"  {_work(need)}",
    ]
    return "\n".join(lines) + "\n"


def _task_name(need: Need) -> str:
    name = "".join(c if c.isalnum() and c.isascii() else "-" for c in need.name.lower()).strip("-")
    return name or "dlbench"


def _shell(candidate: Candidate, need: Need) -> str:
    offer = candidate.offer
    where = f"{offer.instance_type} in {offer.region} at {offer.provider}"
    how = " as a spot instance" if candidate.spot else ""
    many = f"{candidate.n_instances} of " if candidate.n_instances > 1 else ""
    check = "nvidia-smi" if offer.accelerator else "lscpu"
    select = (
        f"# 1 select    your own machine {offer.instance_type}"
        if candidate.owned
        else f"# 1 select    start {many}{where}{how}; note its address"
    )
    lines = [
        select,
        "HOST=user@address",
        f"# 2 set up    the machine must show its hardware: {candidate.hardware}",
        f'ssh "$HOST" {check}',
        "# 3 upload    your program and its data",
        'rsync -az --partial ./ "$HOST":job/',
        "# 4 install",
        _there("python3 -m venv job/.venv && . job/.venv/bin/activate && " + _install(need)),
        "# 5 configure and measure, before you pay for more than an hour",
        _there(". job/.venv/bin/activate && " + _measure(candidate, need)),
        "# 6 run       your own program",
        _there("cd job && . .venv/bin/activate && " + _work(need)),
    ]
    return "\n".join(_single_line(line) for line in lines) + "\n"


def _single_line(line: str) -> str:
    """Names from price files must not start a line of their own."""
    return "".join(c if c.isprintable() else " " for c in line)
