"""Find, read and validate workloads; load their model files (in the worker only).

A workload is a folder: ``workload.toml`` holds everything that decides comparability, one
``model_<framework>.py`` a framework builds it, ``reference.json`` holds what it must compute. Folders
may come from strangers: the TOML is plain data, checked field by field; nothing outside the folder is
read, links are refused, and only the worker imports a model file.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import math
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from dlbench.core.errors import UsageError
from dlbench.core.metrics import LATENCY_NAMES
from dlbench.core.types import (
    Absent,
    Case,
    DataMode,
    Mode,
    Precision,
    Scenario,
    WorkloadInfo,
)

MAX_TOML_BYTES = 64 * 1024
MAX_REFERENCE_BYTES = 1024 * 1024
MAX_MODEL_BYTES = 256 * 1024

_PACKAGE_FOLDER = Path(__file__).parent

TOP_KEYS = {
    "name": str,
    "version": int,
    "task": str,
    "sample": str,
    "reference": str,
    "licence": str,
    "modes": list,
    "scenarios": list,
    "seed": int,
    "tokens_per_sample": int,
    "bytes_per_sample": int,
    "distinct_samples": int,
    "latency_is": str,
    "files": str,
    "data_modes": list,
    "in_place": bool,
    "optimizer": dict,
    "tolerance": dict,
    "loss_tolerance": dict,
    "dataset": dict,
    "weights": list,
    "variants": dict,
}
OPTIONAL_KEYS = {
    "tokens_per_sample",
    "bytes_per_sample",
    "distinct_samples",
    "latency_is",
    "files",
    "data_modes",
    "in_place",
    "optimizer",
    "loss_tolerance",
}

LOSS_TOLERANCE = {
    Precision.FP32: 1e-4,
    Precision.TF32: 2e-3,
    Precision.BF16: 5e-3,
    Precision.FP16: 2e-3,
}
"""Largest deviation of the first training loss, over the loss, unless a workload states its own.

Much less than an output's: a loss is a mean of many, and before training it lies near the
logarithm of the number of classes, which a model that does nothing has too (decision 70)."""

AVERAGED = 16
"""Targets of a batch from which on a loss is a mean of many: rounding averages out less over fewer."""

FILES = ("jpeg", "wav")
"""What the pipeline data mode decodes: pictures, or sound into spectrograms."""

VARIANT_KEYS = {
    "parameters": int,
    "flops": (int, float),
    "model": dict,
    "inputs": dict,
    "targets": dict,
    "batch": dict,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What the fp32 reference computed for a case, and how far the case's precision may be from it.

    ``values`` has one row a buffer (inference: sample 0's outputs at flat ``positions``) or one row of
    one loss (training); ``spread``, the reference's own scale, is what ``tolerance`` is relative to.
    """

    values: tuple[tuple[float, ...], ...]
    positions: tuple[int, ...]
    tolerance: float
    spread: float


UNCOUNTED = Absent(reason="a model of the user's own is counted when it is built, in the worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One workload as its folder describes it; ``table`` is the validated TOML."""

    folder: Path
    name: str
    version: int
    task: str
    sample: str
    modes: tuple[Mode, ...]
    scenarios: tuple[Scenario, ...]
    variants: tuple[str, ...]
    model_files: frozenset[str]
    content_hash: str
    table: Mapping[str, Any]

    @property
    def files(self) -> str | None:
        """The kind of files that its inputs are decoded from, one of ``FILES``, if there is any."""
        kind: str | None = self.table.get("files")
        return kind

    @property
    def data_modes(self) -> tuple[DataMode, ...]:
        """Where its inputs may come from; the first is the default."""
        if "data_modes" in self.table:
            return tuple(DataMode(mode) for mode in self.table["data_modes"])
        files = (DataMode.PIPELINE,) if self.files else ()
        return (DataMode.SYNTHETIC, DataMode.HOST, *files)

    def info(self, variant: str) -> WorkloadInfo:
        """The facts that a document copies."""
        chosen = self.table["variants"][variant]
        flops = chosen["flops"]
        in_training = chosen.get("training_flops")
        return WorkloadInfo(
            name=self.name,
            variant=variant,
            version=self.version,
            task=self.task,
            sample=self.sample,
            parameters=chosen["parameters"],
            flops=flops if isinstance(flops, Absent) else float(flops),
            training_flops=None if in_training is None else float(in_training),
            tokens_per_sample=chosen.get("tokens_per_sample", self.table.get("tokens_per_sample")),
            bytes_per_sample=chosen.get("bytes_per_sample", self.table.get("bytes_per_sample")),
            content_hash=self.content_hash,
            latency_is=self.table.get("latency_is"),
            own=self.table["own"]["options"] if "own" in self.table else None,
            in_place=self.table.get("in_place", False),
        )

    def spec(self, variant: str) -> dict[str, Any]:
        """What an adapter builds from: model settings, inputs, targets, weights, optimizer, seed."""
        chosen = self.table["variants"][variant]
        keys = (
            "name",
            "seed",
            "weights",
            "optimizer",
            "distinct_samples",
            "files",
            "in_place",
            "own",
        )
        shared = {key: self.table.get(key) for key in keys}
        return {
            **shared,
            "variant": variant,
            "model": chosen["model"],
            "inputs": chosen["inputs"],
            "targets": chosen.get("targets", {}),
        }

    def default_batch(self, variant: str, mode: Mode, device_kind: str) -> int:
        """The batch size of a mode on a kind of device; the CPU's where a kind has none."""
        sizes: dict[str, int] = self.table["variants"][variant]["batch"][mode]
        return sizes.get(device_kind, sizes["cpu"])

    def reference(self, case: Case) -> Reference | Absent:
        """What ``case`` must compute, or why nobody knows."""
        if "own" in self.table:
            return Absent(reason="nobody else has computed what a model of the user's own answers")
        tolerance = self.table["tolerance"].get(case.precision)
        if tolerance is None:
            return Absent(reason=f"{self.name} states no tolerance for {case.precision}")
        stored = _references(self.folder).get(case.variant)
        if stored is None:
            return Absent(reason=f"{self.name} has no reference for its variant {case.variant}")
        if case.mode is Mode.TRAINING:
            loss = stored["training"]["first_loss"].get(str(case.batch_size))
            if loss is None:
                return Absent(reason=f"no reference loss for batches of {case.batch_size}")
            return Reference(
                values=((loss,),),
                positions=(),
                tolerance=self._loss_tolerance(case),
                spread=abs(loss),
            )
        outputs = stored["inference"]
        return Reference(
            values=tuple(tuple(row) for row in outputs["values"]),
            positions=tuple(outputs["positions"]),
            tolerance=tolerance,
            spread=outputs["spread"],
        )

    def _loss_tolerance(self, case: Case) -> float:
        limits = {**LOSS_TOLERANCE, **self.table.get("loss_tolerance", {})}
        targets = self.table["variants"][case.variant]["targets"].values()
        n_targets = case.batch_size * max(math.prod(t["shape"]) for t in targets)
        return float(limits[case.precision]) * math.sqrt(max(1, AVERAGED / n_targets))


# --- finding --------------------------------------------------------------------------------


def folders(extra: Path | None = None) -> dict[str, Path]:
    """Every workload's folder by name: the user's own first, then entry points, then ours."""
    found: dict[str, Path] = {}
    for root in _roots(extra):
        for toml in sorted(root.glob("*/workload.toml")):
            found.setdefault(toml.parent.name, toml.parent)
    return dict(sorted(found.items()))


def suites(extra: Path | None = None) -> dict[str, tuple[str, ...]]:
    """Named lists of workloads, from suites.toml; the user's own win."""
    found: dict[str, tuple[str, ...]] = {}
    for root in reversed(_roots(extra)):
        path = root / "suites.toml"
        if path.is_file():
            for name, members in _toml(path).items():
                if not isinstance(members, list) or not all(isinstance(m, str) for m in members):
                    raise UsageError(f"{path}: suite {name} is not a list of workloads")
                found[name] = tuple(members)
    return found


def _roots(extra: Path | None) -> list[Path]:
    if extra is not None and not extra.is_dir():
        raise UsageError(f"there is no folder {extra}", "--workloads wants a folder of workloads.")
    if extra is not None and not any([*extra.glob("*/workload.toml"), *extra.glob("suites.toml")]):
        itself = (extra / "workload.toml").is_file()
        raise UsageError(
            f"{extra} {'is a workload itself' if itself else 'holds no workload'}",
            f"dlbench run {extra.resolve()}" if itself else "See docs/extend/add-a-workload.md.",
        )
    return [*([extra] if extra else []), *_outside_roots(), own_root()]


@cache
def _outside_roots() -> tuple[Path, ...]:
    """Folders that other packages offer: the entry point names a package that holds workloads."""
    found = []
    for entry in importlib.metadata.entry_points(group="dlbench.workloads"):
        spec = importlib.util.find_spec(entry.value)
        if spec is not None and spec.origin is not None:
            found.append(Path(spec.origin).parent)
    return tuple(found)


def own_root() -> Path:
    """Where dlbench's own workloads lie: in the installed package, or else in the checkout."""
    packaged = _PACKAGE_FOLDER / "_workloads"
    return packaged if packaged.is_dir() else _PACKAGE_FOLDER.parent / "workloads"


# --- reading --------------------------------------------------------------------------------


def read(folder: Path) -> Workload:
    """Read and validate one workload; nothing of it is imported.

    Raises:
        UsageError: a file is missing, too large, a link, or a field is wrong; it is named.
    """
    table = _toml(_inside(folder, "workload.toml", MAX_TOML_BYTES))
    _validate(table, folder)
    models = sorted(folder.glob("model_*.py"))
    for model in models:
        _inside(folder, model.name, MAX_MODEL_BYTES)
    return Workload(
        folder=folder,
        name=table["name"],
        version=table["version"],
        task=table["task"],
        sample=table["sample"],
        modes=tuple(Mode(m) for m in table["modes"]),
        scenarios=tuple(Scenario(s) for s in table["scenarios"]),
        variants=tuple(table["variants"]),
        model_files=frozenset(m.stem for m in models),
        content_hash=_content_hash(folder, models),
        table=table,
    )


def load_model(folder: Path, stem: str) -> ModuleType:
    """Import a workload's model file by path. This runs its code: in the worker only."""
    path = _inside(folder, f"{stem}.py", MAX_MODEL_BYTES)
    spec = importlib.util.spec_from_file_location(f"dlbench_workload_{folder.name}_{stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look up their module by its name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _inside(folder: Path, name: str, max_bytes: int) -> Path:
    """A plain file of the folder itself, of a reasonable size."""
    path = folder / name
    if Path(name).name != name or path.is_symlink() or not path.is_file():
        raise UsageError(f"{path} is not a plain file", "A workload's files lie in its own folder.")
    if path.stat().st_size > max_bytes:
        raise UsageError(f"{path} is larger than {max_bytes:,} bytes")
    return path


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        # TOML's and Unicode's errors are ValueErrors, as is that of a number of thousands of digits.
        raise UsageError(f"{path} is not valid TOML: {error}") from None


@cache
def _references(folder: Path) -> dict[str, Any]:
    if not (folder / "reference.json").exists():
        return {}
    path = _inside(folder, "reference.json", MAX_REFERENCE_BYTES)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _content_hash(folder: Path, models: list[Path]) -> str:
    """The hash of every file that can alter a result: names and bytes, in order of names."""
    digest = hashlib.sha256()
    names = ["workload.toml", *(m.name for m in models)]
    names += ["reference.json"] if (folder / "reference.json").exists() else []
    for name in sorted(names):
        data = (folder / name).read_bytes()
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()


# --- validating -----------------------------------------------------------------------------


def _validate(table: dict[str, Any], folder: Path) -> None:
    path = folder / "workload.toml"
    _keys(path, "", table, TOP_KEYS, OPTIONAL_KEYS)
    _require(path, "name", table["name"] == folder.name, f"must be the folder's, {folder.name}")
    _require(path, "version", table["version"] >= 1, "must be 1 or more")
    _members(path, "modes", table["modes"], [m.value for m in Mode])
    _members(path, "scenarios", table["scenarios"], [s.value for s in Scenario])
    _numbers(path, "tolerance", table["tolerance"], [p.value for p in Precision])
    trainable = [p.value for p in LOSS_TOLERANCE]
    _numbers(path, "loss_tolerance", table.get("loss_tolerance", {}), trainable)
    _positive(path, "", table)
    if "data_modes" in table:
        _members(path, "data_modes", table["data_modes"], [m.value for m in DataMode])
        decoded = DataMode.PIPELINE not in table["data_modes"] or "files" in table
        _require(path, "data_modes", decoded, "has pipeline, and there are no files to decode")
    if "latency_is" in table:
        _members(path, "latency_is", [table["latency_is"]], list(LATENCY_NAMES))
    if "files" in table:
        _members(path, "files", [table["files"]], list(FILES))
    trained = Mode.TRAINING in table["modes"]
    _require(path, "optimizer", ("optimizer" in table) == trained, "goes with training")
    _require(path, "loss_tolerance", trained or "loss_tolerance" not in table, "goes with training")
    if trained:
        _optimizer(path, table["optimizer"])
    _dataset(path, table["dataset"])
    for i, rule in enumerate(table["weights"]):
        _weights(path, f"weights[{i}]", rule)
    if table.get("in_place"):
        resident = table.get("data_modes") == [DataMode.SYNTHETIC]
        _require(path, "in_place", resident and not trained, "is for inference on synthetic data")
    _require(path, "variants", "full" in table["variants"], "must have a variant full")
    for name, variant in table["variants"].items():
        _variant(path, f"variants.{name}", variant, table["modes"])
        if "files" in table:
            _decoded(path, f"variants.{name}.inputs", table["files"], variant["inputs"])


def _variant(path: Path, where: str, variant: Any, modes: list[str]) -> None:  # noqa: ANN401
    trained = Mode.TRAINING in modes
    _require(path, where, isinstance(variant, dict), "must be a table")
    sizes = dict.fromkeys(("tokens_per_sample", "bytes_per_sample", "training_flops"), int)
    _keys(path, where, variant, {**VARIANT_KEYS, **sizes}, {*sizes, "targets"})
    _require(path, f"{where}.targets", ("targets" in variant) == trained, "go with training")
    _require(path, f"{where}.batch", set(variant["batch"]) == set(modes), "is of its modes")
    _positive(path, where, variant)
    _require(path, f"{where}.parameters", variant["parameters"] > 0, "must be positive")
    _require(path, f"{where}.flops", variant["flops"] >= 0, "must not be negative")
    if "training_flops" in variant:
        more = trained and variant["training_flops"] > variant["flops"]
        _require(path, f"{where}.training_flops", more, "is of a model that does more in training")
    for side in ("inputs", "targets") if trained else ("inputs",):
        _require(path, f"{where}.{side}", bool(variant[side]), "must name at least one tensor")
        for name, tensor in variant[side].items():
            _tensor(path, f"{where}.{side}.{name}", tensor)
    for mode, by_kind in variant["batch"].items():
        named = isinstance(by_kind, dict) and "cpu" in by_kind
        _require(path, f"{where}.batch.{mode}", named, "must have a size for cpu")
        for kind, size in by_kind.items():
            good = _is_whole(size) and 1 <= size <= MAX_BATCH
            _require(path, f"{where}.batch.{mode}.{kind}", good, f"must be 1 to {MAX_BATCH}")


def _positive(path: Path, where: str, table: Mapping[str, Any]) -> None:
    for key in ("tokens_per_sample", "bytes_per_sample", "distinct_samples"):
        _require(path, f"{where}.{key}".lstrip("."), table.get(key, 1) >= 1, "must be 1 or more")


def _decoded(path: Path, where: str, kind: str, inputs: Mapping[str, Any]) -> None:
    """The one input that files of a kind are decoded into."""
    from dlbench.frameworks import _files

    only = len(inputs) == 1
    _require(path, where, only, f"must be one tensor, which {kind} files are decoded into")
    (tensor,) = inputs.values()
    fits = tensor["dtype"] == "float32" and _files.makes(kind, tensor["shape"])
    _require(path, where, fits, f"must be float32 of a shape that {kind} files have")


MAX_WHOLE = 2**63 - 1
"""Of TOML's whole numbers."""


def _is_whole(number: Any) -> bool:  # noqa: ANN401
    return isinstance(number, int) and not isinstance(number, bool)


MAX_BATCH = 65536
MAX_ELEMENTS = 2**28


def _tensor(path: Path, where: str, table: Any) -> None:  # noqa: ANN401
    """``shape`` of one sample, and random ``float32`` of a given spread or ``int64`` below a bound."""
    _require(path, where, isinstance(table, dict), "must be a table")
    _keys(
        path,
        where,
        table,
        {"shape": list, "dtype": str, "std": (int, float), "below": int},
        {"std", "below"},
    )
    shape = table["shape"]
    whole = all(_is_whole(n) and n > 0 for n in shape)
    _require(path, f"{where}.shape", whole, "must be positive whole numbers")
    small = math.prod(shape) <= MAX_ELEMENTS
    _require(path, f"{where}.shape", small, f"must have at most {MAX_ELEMENTS:,} elements")
    bound = {"float32": "std", "int64": "below"}.get(table["dtype"])
    _require(path, f"{where}.dtype", bound is not None, "must be float32 or int64")
    _require(path, where, bound in table, f"of {table['dtype']} needs {bound}")
    _require(path, f"{where}.{bound}", table[bound] > 0, "must be positive")


WEIGHT_KINDS = {"constant": "value", "uniform": "limit", "fan_in_uniform": "gain"}


def _weights(path: Path, where: str, rule: Any) -> None:  # noqa: ANN401
    """Which parameters (``match``), and how they are filled; ``frozen`` ones are not trained."""
    _require(path, where, isinstance(rule, dict), "must be a table")
    kind = str(rule.get("kind"))
    _require(path, f"{where}.kind", kind in WEIGHT_KINDS, f"must be one of {list(WEIGHT_KINDS)}")
    number = WEIGHT_KINDS[kind]
    _keys(path, where, rule, {"match": str, "kind": str, number: (int, float)}, set())


MAX_SAMPLES = 10**15
MAX_EPOCHS = 10**6


def _dataset(path: Path, table: dict[str, Any]) -> None:
    """Its name, and how much work training on it is: both numbers, or neither."""
    kinds = {"name": str, "samples": int, "epochs": (int, float), "source": str}
    _keys(path, "dataset", table, kinds, {"samples", "epochs", "source"})
    _require(path, "dataset.name", bool(table["name"].strip()), "must not be empty")
    both = ("samples" in table) == ("epochs" in table)
    _require(path, "dataset", both, "needs samples and epochs, or neither")
    few = 1 <= table.get("samples", 1) <= MAX_SAMPLES
    _require(path, "dataset.samples", few, f"must be 1 to {MAX_SAMPLES:,}")
    short = 0 < table.get("epochs", 1) <= MAX_EPOCHS
    _require(path, "dataset.epochs", short, f"must be above 0 and at most {MAX_EPOCHS:,}")


OPTIMIZERS = {"sgd": ("momentum",), "adam": ("beta_1", "beta_2", "epsilon")}
"""The numbers that each wants beside its learning rate."""


def _optimizer(path: Path, table: dict[str, Any]) -> None:
    name = str(table.get("name"))
    _require(path, "optimizer.name", name in OPTIMIZERS, f"must be one of {list(OPTIMIZERS)}")
    numbers = dict.fromkeys(("learning_rate", *OPTIMIZERS[name], "clip_norm"), (int, float))
    _keys(path, "optimizer", table, {"name": str, **numbers}, {"clip_norm"})
    for key in ("learning_rate", "clip_norm"):
        _require(path, f"optimizer.{key}", table.get(key, 1) > 0, "must be positive")
    for key in OPTIMIZERS[name]:
        _require(path, f"optimizer.{key}", 0 <= table[key] < 1, "must be from 0 to below 1")


def _keys(
    path: Path,
    where: str,
    table: dict[str, Any],
    kinds: Mapping[str, Any],
    optional: set[str],
) -> None:
    prefix = f"{where}." if where else ""
    for key in table:
        _require(path, prefix + key, key in kinds, "is not a known field")
    for key, kind in kinds.items():
        if key not in table:
            _require(path, prefix + key, key in optional, "is missing")
            continue
        good = isinstance(table[key], kind) and isinstance(table[key], bool) == (kind is bool)
        finite = not isinstance(table[key], float) or math.isfinite(table[key])
        _require(path, prefix + key, good and finite, "has the wrong type")
        # Larger ones no framework takes, and no float holds some.
        small = not _is_whole(table[key]) or abs(table[key]) <= MAX_WHOLE
        _require(path, prefix + key, small, f"must be at most {MAX_WHOLE:,}")


def _members(path: Path, where: str, given: list[Any], known: list[str]) -> None:
    for item in given:
        _require(path, where, item in known, f"has {item!r}, known are {', '.join(known)}")
    _require(path, where, bool(given), "must not be empty")


def _numbers(path: Path, where: str, table: dict[str, Any], known: list[str]) -> None:
    for key, value in table.items():
        _require(path, f"{where}.{key}", key in known, f"known are {', '.join(known)}")
        good = isinstance(value, float) and 0 < value < 1
        _require(path, f"{where}.{key}", good, "must be a number between 0 and 1")


def _require(path: Path, where: str, holds: bool, problem: str) -> None:
    if not holds:
        raise UsageError(f"{path}: {where} {problem}", "See docs/extend/add-a-workload.md.")
