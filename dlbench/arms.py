"""The two sides of ``dlbench ab``: from ``framework=pytorch,policy=tuned`` to a plan of pairs.

A side is a short list of ``name=value``; everything else of the request is common to both. Each case
of A is paired with the one case of B that differs in what the sides say, and in nothing else.
"""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from dlbench import own_models, paired
from dlbench import plan as planning
from dlbench.core import registry
from dlbench.core.errors import MissingError, NothingToRunError, UsageError
from dlbench.core.stats import EQUIVALENCE_ZONE
from dlbench.core.types import (
    Absent,
    Case,
    DataMode,
    OwnModel,
    Pairing,
    Plan,
    Policy,
    Precision,
    Selection,
)
from dlbench.plan import Machine

FIELDS: dict[str, tuple[str, str, type]] = {
    "framework": ("framework", "frameworks", str),
    "device": ("device", "devices", str),
    "precision": ("precision", "precisions", Precision),
    "policy": ("policy", "policies", Policy),
    "data": ("data_mode", "data_modes", DataMode),
    "batch": ("batch_size", "batch_sizes", int),
}
"""What a side may set: the field of a case that it decides, that of a selection, and its type."""

OPTION = "option."
ARM = "arm"
"""Adapter option that tells B from A where nothing else does; adapters ignore it."""

EXAMPLE = "dlbench ab framework=pytorch framework=tensorflow -w resnet50 --mode inference"

PROBE_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One side: what it sets, what it is called, and the Python that runs it if not this one.

    ``model`` is a model of the user's own as it was written, ``own`` the same once it was read.
    """

    settings: tuple[tuple[str, str], ...]
    options: tuple[tuple[str, str], ...] = ()
    name: str = ""
    python: str | None = None
    model: str | None = None
    own: OwnModel | None = None

    def set(self) -> set[str]:
        """Names of what it sets."""
        return {name for name, _ in self.settings}


def parse(text: str) -> Arm:
    """A side as it was written.

    Raises:
        UsageError: it is not a list of ``name=value``, or a name is unknown.
    """
    settings, options, name, python, model = [], [], "", None, None
    for part in filter(None, (p.strip() for p in text.split(","))):
        key, sign, value = (x.strip() for x in part.partition("="))
        if not sign or not value:
            raise UsageError(f"{part!r} is not name=value", EXAMPLE)
        if key == "name":
            name = value
        elif key == "python":
            python = value
        elif key == "model":
            model = value
        elif key.startswith(OPTION):
            options.append((key.removeprefix(OPTION), value))
        elif key in FIELDS:
            settings.append((key, value))
        else:
            known = ", ".join([*FIELDS, "python", "model", "option.NAME", "name"])
            raise UsageError(f"a side of a comparison has no {key!r}", f"Known: {known}.")
    if not (settings or options or python or name or model):
        raise UsageError("a side of the comparison is empty", EXAMPLE)
    return Arm(
        settings=tuple(settings), options=tuple(options), name=name, python=python, model=model
    )


def selected(arm: Arm, common: Selection) -> Selection:
    """The whole request of one side.

    Raises:
        UsageError: a value is not known, or the common part sets it too.
    """
    given = dict(arm.settings)
    wanted: dict[str, Any] = {"options": (*common.options, *arm.options)}
    if arm.own is not None:
        wanted |= {"model": arm.own, "workloads": ()}
    for key, (_, field, kind) in FIELDS.items():
        if key not in given:
            continue
        if getattr(common, field):
            raise UsageError(f"{key} is set for both sides and for one", "Set it once.")
        try:
            wanted[field] = (kind(given[key]),)
        except ValueError:
            raise UsageError(f"{key}={given[key]} is not known", _known(kind)) from None
    return replace(common, **wanted)


def _known(kind: type) -> str:
    if issubclass(kind, StrEnum):
        return f"Known: {', '.join(kind)}."
    return "Give a whole number."


def with_models(
    a: Arm, b: Arm, inputs: Sequence[str], loss: str, *, frameworks_given: bool
) -> tuple[Arm, Arm]:
    """Both sides with their models of the user's own read, under names that differ.

    Raises:
        UsageError: only one side has a model, or one cannot be read.
    """
    if a.model is None and b.model is None:
        return a, b
    if a.model is None or b.model is None:
        raise UsageError(
            "one side has a model of its own and the other has none",
            "Give model=FILE.py:FUNCTION to both, or --model for both.",
        )
    found = []
    for arm, text, end in ((a, a.model, "A"), (b, b.model, "B")):
        given = frameworks_given or "framework" in arm.set()
        plain = own_models.parse(text, inputs, None, loss, frameworks_given=given)
        found.append(replace(arm, own=replace(plain, name=f"{plain.name}.{end}")))
    return found[0], found[1]


def make_pairs(
    a: Arm,
    b: Arm,
    common: Selection,
    machine: Machine,
    *,
    zone: float = EQUIVALENCE_ZONE,
    most_pairs: int = paired.LOOKS[-1],
) -> Plan:
    """The plan of all pairs.

    Raises:
        UsageError: cases of A and B cannot be paired, or the request makes no sense.
        NothingToRunError: a side has nothing that can run.
        MissingError: a framework or device is not here.
    """
    looks = paired.looks_until(most_pairs)
    if not looks:
        raise UsageError(
            f"{most_pairs} pairs cannot show a difference",
            f"Give --pairs {paired.LOOKS[0]} or more: no exact test can with fewer.",
        )
    plans = [planning.make_plan(selected(arm, common), machine) for arm in (a, b)]
    models = {"model"} if a.own or b.own else set()
    matched = list(_matched(plans[0], plans[1], a.set() | b.set() | models))
    if not matched:
        raise NothingToRunError("A and B share no case that can run", "dlbench list")
    pairs = [(left, _told_apart(left, right)) for left, right in matched]
    other = a.python is not None or b.python is not None
    versions = [_versions(arm.python or sys.executable) if other else {} for arm in (a, b)]
    names = _names(a, b)
    # Energy is measured in windows of its own, which would only make each pair longer.
    profile = replace(plans[0].profile, energy_windows=0)
    return replace(
        plans[0],
        cases=tuple(itertools.chain.from_iterable(pairs)),
        workloads=tuple(dict.fromkeys((*plans[0].workloads, *plans[1].workloads))),
        skips=tuple(dict.fromkeys((*plans[0].skips, *plans[1].skips))),
        profile=replace(profile, name=f"ab {profile.name}", looks=looks, time_budget_s=None),
        time_budget_s=common.time_budget_s,
        least_rounds=0,  # a pair is paid for by the rule of pairs alone
        sentinel=None,
        pairings=tuple(
            Pairing(
                a=left.case_id,
                b=right.case_id,
                a_name=names[0],
                b_name=names[1],
                zone=zone,
                a_versions=versions[0],
                b_versions=versions[1],
            )
            for left, right in pairs
        ),
    )


def pythons(plan: Plan, a: Arm, b: Arm) -> dict[str, str]:
    """The Python of each case that does not run in this one, by case_id."""
    found = {}
    for pairing in plan.pairings:
        for case_id, arm in ((pairing.a, a), (pairing.b, b)):
            if arm.python is not None:
                found[case_id] = arm.python
    return found


def _matched(a: Plan, b: Plan, varied: set[str]) -> Iterator[tuple[Case, Case]]:
    """Each case of A with the case of B that is the same but for what the sides say."""
    free = {FIELDS[name][0] for name in varied if name in FIELDS} | {"options"}
    free |= {"batch_size"} if "device" in varied else set()
    free |= {"workload"} if "model" in varied else set()
    for left in sorted(a.cases, key=lambda c: c.label):
        like = [
            right
            for right in b.cases
            if replace(left, **{name: getattr(right, name) for name in free}) == right
        ]
        if len(like) > 1:
            raise UsageError(
                f"{left.label} has {len(like)} counterparts in B",
                "Say more of what is common: -w, --mode, -f, -d, --precision or -b.",
            )
        if like:
            if left.batch_size != like[0].batch_size and "batch" not in varied:
                raise UsageError(
                    f"{left.label} would be compared with batch {like[0].batch_size}",
                    "Give one -b for both.",
                )
            yield left, like[0]


def _told_apart(left: Case, right: Case) -> Case:
    """B's case, marked where it would be A's own: identical things may be compared too."""
    return replace(right, options=(*right.options, (ARM, "B"))) if left == right else right


def _names(a: Arm, b: Arm) -> tuple[str, str]:
    """What the sides are called: by what they differ in, else A and B."""
    left, right = (dict((*arm.settings, *arm.options)) for arm in (a, b))
    differing = [key for key in {**left, **right} if left.get(key) != right.get(key)]
    words = [" ".join(_word(key, side.get(key)) for key in differing) for side in (left, right)]
    if a.own and b.own and not differing:
        words = [_of_model(a.own), _of_model(b.own)]
        words = words if words[0] != words[1] else [a.own.name, b.own.name]
    elif (a.python or b.python) and not differing:
        words = ["environment A", "environment B"]
    if not any(words):
        words = ["A", "B"]
    return a.name or words[0], b.name or words[1]


def _of_model(own: OwnModel) -> str:
    """A model by its function, or by its file where that is all."""
    return own.function or Path(own.path).name


def _word(key: str, value: str | None) -> str:
    if value is None:
        return f"default {key}"
    return f"batch {value}" if key == "batch" else value if key in FIELDS else f"{key}={value}"


# --- other Pythons --------------------------------------------------------------------------

PROBE = """
import importlib.metadata, json, platform
found = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
import dlbench.worker
print(json.dumps({"python": platform.python_version(), **found}))
"""
"""Runs in the other Python: what is installed there, and that dlbench's worker can be started."""


def _versions(python: str) -> dict[str, str | Absent]:
    """What a Python has installed of all that decides what a framework does.

    Raises:
        MissingError: it is not there, or cannot run dlbench's worker.
    """
    found = shutil.which(python)
    if found is None:
        raise MissingError(
            f"there is no Python at {python}", "Give the path of a virtual environment's python."
        )
    try:
        ended = subprocess.run(
            [found, "-P", "-c", PROBE],
            capture_output=True,
            text=True,
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise MissingError(f"{python} did not answer within a minute", "Try it by hand.") from None
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["no message"])[-1]
        raise MissingError(
            f"{python} cannot run dlbench's worker: {last[:200]}",
            f"{python} -m pip install dlbench",
        )
    there = json.loads(ended.stdout.splitlines()[-1])
    absent = Absent(reason="not installed there")
    decisive = itertools.chain.from_iterable(
        registry.distributions(name) for name in registry.names("frameworks")
    )
    names = dict.fromkeys(("python", "dlbench", "numpy", *decisive))
    return {name: str(there[name]) if name in there else absent for name in names}
