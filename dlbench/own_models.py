"""Models of the user's own, named on the command line: ``net.py:build`` or ``model.onnx``.

Each becomes an ordinary workload, made from options instead of a workload.toml. Its file is the
user's own code; all the same nothing of it runs before the worker: here its Python is at most parsed
for the names that it imports, and of ONNX is read which files beside it hold weights.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import math
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from dlbench import workloads
from dlbench.core import onnx_weights
from dlbench.core.errors import ModelError, UsageError
from dlbench.core.types import Mode, OwnInput, OwnModel, Scenario

LOSSES = ("auto", "cross_entropy", "mse")
"""``auto``: cross entropy for outputs of (batch, classes), else the mean squared error."""

DTYPES = ("float32", "float16", "int64", "int32", "bool")

STEMS_BY_IMPORT = {
    "torch": "model_pytorch",
    "keras": "model_keras",
    "tensorflow": "model_keras",
}

ONNX_STEM = "model_onnx"

OPTIMIZER = {
    "name": "adam",
    "learning_rate": 1e-4,
    "beta_1": 0.9,
    "beta_2": 0.999,
    "epsilon": 1e-8,
}
"""Small steps of Adam lower the loss of nearly any model; what they cost does not depend on them."""

BATCH = {"cpu": 8, "nvidia": 32}
"""Unless --batch-size says otherwise; also of a need that gives a model by its size alone."""

ONNX_BATCH = {"cpu": 1}
"""A batch of one fits every ONNX file: the parent does not read whether its batch is fixed."""

HOW = "--model net.py:build --input 3x224x224, or --model model.onnx"
INPUT_HOW = "--input 3x224x224, or --input 128:int64:30522 for whole numbers from 0 to 30521"


# --- from the command line ------------------------------------------------------------------


def parse(
    model: str,
    inputs: Sequence[str],
    name: str | None,
    loss: str,
    *,
    frameworks_given: bool,
) -> OwnModel:
    """The model that options name.

    Args:
        model: ``FILE.py:FUNCTION`` or ``FILE.onnx``.
        inputs: ``SHAPE[:DTYPE[:BELOW]]`` for each input, in the order of the model's arguments.
        name: what the workload is called; derived from file and function if None.
        loss: one of ``LOSSES``.
        frameworks_given: the user says which frameworks run it; else its imports must.

    Raises:
        UsageError: there is no such file, or something is missing or malformed.
    """
    path, function = _split(model)
    if loss not in LOSSES:
        raise UsageError(f"--loss {loss!r} is not known", f"Known: {', '.join(LOSSES)}.")
    if function and not inputs:
        raise UsageError(f"--model {model} needs the shape of its input", INPUT_HOW)
    derived = f"{path.stem}.{function}" if function else path.name
    return OwnModel(
        name=_name(name or re.sub(r"[^\w.-]", "_", derived)),
        path=str(_followed(path)),
        function=function,
        inputs=tuple(_input(text) for text in inputs),
        loss=loss,
        stems=(ONNX_STEM,) if not function else _stems(path, given=frameworks_given),
    )


def _followed(path: Path) -> Path:
    """The file itself, links followed; the link where only that says what kind of file it is.

    Hugging Face's cache keeps files under their hashes, and links to them under their names.
    """
    file = path.resolve()
    return file if file.suffix == path.suffix else path.parent.resolve() / path.name


def _split(model: str) -> tuple[Path, str]:
    """The file, and the function in it; an ONNX file has none."""
    file, colon, function = model.rpartition(":") if ".py:" in model else (model, "", "")
    path = Path(file)
    if path.suffix not in {".py", ".onnx"}:
        raise UsageError(f"--model {model} is neither Python nor ONNX", HOW)
    if not path.is_file():
        raise UsageError(f"there is no file {path}", HOW)
    if path.suffix == ".py" and not function.isidentifier():
        what = f"{function!r} is no name of a function" if colon else "names no function"
        raise UsageError(f"--model {model} {what}", f"--model {file}:build")
    if path.suffix == ".py" and path.stat().st_size > workloads.MAX_MODEL_BYTES:
        raise UsageError(f"{path} is larger than {workloads.MAX_MODEL_BYTES:,} bytes")
    return path, function


def _name(name: str) -> str:
    if not re.fullmatch(r"[\w][\w.-]{0,63}", name):
        raise UsageError(
            f"--name {name!r} is not a name", "Up to 64 letters, digits, dots, - and _."
        )
    if name in workloads.folders() or name in workloads.suites():
        raise UsageError(
            f"{name} is one of dlbench's own workloads or suites", "Give --name another one."
        )
    return name


def _input(text: str) -> OwnInput:
    size, _, rest = text.partition(":")
    dtype, _, below = rest.partition(":")
    dtype = dtype or "float32"
    if not re.fullmatch(r"\d{1,9}(x\d{1,9})*|scalar", size):
        raise UsageError(f"--input {text!r} has no shape", INPUT_HOW)
    if dtype not in DTYPES:
        raise UsageError(f"--input {text!r} has no known dtype", f"Known: {', '.join(DTYPES)}.")
    shape = () if size == "scalar" else tuple(int(n) for n in size.split("x"))
    if not all(shape) or math.prod(shape) > workloads.MAX_ELEMENTS:
        raise UsageError(
            f"--input {text!r} must have 1 to {workloads.MAX_ELEMENTS:,} elements", INPUT_HOW
        )
    return OwnInput(shape=shape, dtype=dtype, below=_below(text, dtype, below))


def _below(text: str, dtype: str, below: str) -> int | None:
    if not dtype.startswith("int"):
        if below:
            raise UsageError(f"--input {text!r}: only whole numbers have a range", INPUT_HOW)
        return 2 if dtype == "bool" else None
    if not below.isdecimal() or not 1 <= int(below) <= MAX_BELOW:
        raise UsageError(f"--input {text!r} must say below what its numbers are", INPUT_HOW)
    return int(below)


MAX_BELOW = 2**31 - 1
"""Keras's whole numbers are of 32 bits."""


def _stems(path: Path, *, given: bool) -> tuple[str, ...]:
    """The kinds of model that the file may make: every kind where the user chose the frameworks."""
    if given:
        return (*dict.fromkeys(STEMS_BY_IMPORT.values()), "model_fake")
    stems = {STEMS_BY_IMPORT[name] for name in _imports(path) if name in STEMS_BY_IMPORT}
    if len(stems) != 1:
        found = "several frameworks" if stems else "neither torch nor keras"
        raise UsageError(
            f"{path} imports {found}: whose model it makes cannot be told",
            "--framework pytorch, for example",
        )
    return tuple(stems)


def _imports(path: Path) -> set[str]:
    """Top-level names of the packages that a file imports, without running it."""
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", HOW) from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"{path} is not Python: {error}", HOW) from None
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


# --- as a workload --------------------------------------------------------------------------


def find(
    name: str, extra: Path | None = None, model: OwnModel | None = None
) -> workloads.Workload | None:
    """The workload of that name: the user's own model, or a folder; None if there is none.

    Raises:
        UsageError: it is there and cannot be read.
    """
    if model is not None and model.name == name:
        return read(model)
    folder = workloads.folders(extra).get(name)
    return None if folder is None else workloads.read(folder)


def read(model: OwnModel) -> workloads.Workload:
    """The workload that a model of the user's own is; nothing of it is run.

    Raises:
        UsageError: its file cannot be read.
    """
    trained = bool(model.function)
    modes = (Mode.TRAINING, Mode.INFERENCE) if trained else (Mode.INFERENCE,)
    path = Path(model.path)
    return workloads.Workload(
        folder=path.parent,
        name=model.name,
        version=1,
        task="the user's own",
        sample=" ".join(map(str, model.inputs)) or f"an input of {path.name}",
        modes=modes,
        scenarios=(Scenario.OFFLINE, Scenario.SINGLE_STREAM),
        variants=("full",),
        model_files=frozenset(model.stems),
        content_hash=_content_hash(model),
        table={
            "name": model.name,
            "seed": 0,
            "weights": None,
            # Whole numbers may be rows of a table, and repeated ones would lie in a cache.
            "distinct_samples": workloads.MAX_BATCH
            if any(given.dtype.startswith("int") for given in model.inputs)
            else None,
            "optimizer": OPTIMIZER,
            "tolerance": {},
            "own": {"label": _label(model), "loss": model.loss, "options": options(model)},
            "variants": {
                "full": {
                    "parameters": workloads.UNCOUNTED,
                    "flops": workloads.UNCOUNTED,
                    "model": {},
                    "inputs": {f"input{i}": _table(x) for i, x in enumerate(model.inputs)},
                    "batch": dict.fromkeys(modes, BATCH if trained else ONNX_BATCH),
                }
            },
        },
    )


def options(model: OwnModel) -> str:
    """The options that name the model, for whoever wants to run it again; without its folder."""
    words = ["--model", _label(model)]
    for given in model.inputs:
        words += ["--input", str(given)]
    words += ["--name", model.name]
    words += ["--loss", model.loss] if model.loss != LOSSES[0] else []
    return shlex.join(words)


def _label(model: OwnModel) -> str:
    name = Path(model.path).name
    return f"{name}:{model.function}" if model.function else name


def _table(given: OwnInput) -> dict[str, Any]:
    bound = {"std": 1.0} if given.below is None else {"below": given.below}
    return {"shape": list(given.shape), "dtype": given.dtype, **bound}


def _content_hash(model: OwnModel) -> str:
    """Of the file's bytes, of weights beside it, and of every option that alters a result.

    What a Python file imports is not in it.
    """
    path = Path(model.path)
    stated = "\0".join((model.function, *map(str, model.inputs), model.loss, ""))
    digest = hashlib.sha256(stated.encode())
    try:
        digest.update(_file_hash(path))
        for part in () if model.function else _weights(path):
            digest.update(f"{part.relative_to(path.parent.resolve())}\0".encode())
            digest.update(_file_hash(part))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", HOW) from error
    return digest.hexdigest()


def _file_hash(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _weights(path: Path) -> list[Path]:
    """The files that hold an ONNX file's weights; what is missing or wrong the worker will tell.

    Raises:
        UsageError: one lies outside the file's folder.
    """
    try:
        return [found for found in onnx_weights.beside(path) if found.exists()]
    except ModelError as error:
        raise UsageError(error.message, error.advice) from None
    except ValueError:
        return []


# --- in the worker --------------------------------------------------------------------------


def load(model: OwnModel) -> Any:  # noqa: ANN401 - what stands for a model file's module
    """Run the user's file and wrap its function as a model file's ``build``: in the worker only.

    Raises:
        ModelError: the file does not import, or has no such function.
    """
    path = Path(model.path)
    # After everything else: the user's neighbours must not stand in for the library's modules.
    sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(f"dlbench_own_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ModelError(f"{path.name} cannot be loaded as Python", HOW)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except MemoryError:
        raise
    except (Exception, SystemExit) as error:
        raise ModelError(
            f"{path.name} raised {type(error).__name__} when it was imported: {error}",
            "The traceback is in the trial's log.",
        ) from error
    return SimpleNamespace(build=_maker(module, model))


def _maker(module: Any, model: OwnModel) -> Any:  # noqa: ANN401
    made = getattr(module, model.function, None)
    file = Path(model.path).name
    if made is None:
        known = [n for n, x in vars(module).items() if callable(x) and n[0] != "_"]
        own = [n for n in known if getattr(getattr(module, n), "__module__", "") == module.__name__]
        raise ModelError(
            f"{file} has no {model.function}", f"It has {', '.join(own) or 'no function at all'}."
        )
    is_model = hasattr(made, "forward") or hasattr(made, "call")
    if not callable(made) or (is_model and not isinstance(made, type)):
        raise ModelError(
            f"{model.function} of {file} is a {type(made).__name__}",
            "Name a function or class that makes the model when it is called without arguments.",
        )

    def build(_: Mapping[str, Any]) -> Any:  # noqa: ANN401
        return made()

    return build
