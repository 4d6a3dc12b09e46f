"""How the CUDA provider of ONNX Runtime is opened, by a library that stands in its place."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dlbench.core.errors import DeviceOutOfMemoryError, UnsupportedError
from dlbench.core.types import Absent, Precision
from dlbench.frameworks import onnxruntime as adapter
from tests import builders
from tests.subjects import request_for

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class Pretended:
    """ONNX Runtime on a card that is full, or whose provider does not load, or that is well."""

    __version__ = "1.32.0"

    def __init__(self, *, full: bool = False, built: bool = True, loads: bool = True) -> None:
        self.full, self.built, self.loads = full, built, loads
        self.preloaded = 0
        self.entries: dict[str, str] = {}

    def SessionOptions(self) -> SimpleNamespace:  # noqa: N802 - as below
        return SimpleNamespace(add_session_config_entry=self.entries.__setitem__)

    def preload_dlls(self) -> None:
        self.preloaded += 1

    def get_available_providers(self) -> list[str]:
        return [CUDA, CPU] if self.built else [CPU]

    def InferenceSession(  # noqa: N802 - the library's name
        self, path: str, options: object, *, providers: list[Any], enable_fallback: int = 1
    ) -> SimpleNamespace:
        """As in 1.32: an error of a provider is answered by the CPU's, unless that is switched off."""
        del path, options
        ((name, _),) = providers
        if self.full and not enable_fallback:
            raise RuntimeError("CUDA failure 2: out of memory ; GPU=0")
        on_card = self.loads and self.built and not self.full
        return SimpleNamespace(get_providers=lambda: [name, CPU] if on_card else [CPU])


def _opened(library: Pretended) -> Any:
    request = request_for("onnxruntime", "null", precision=Precision.FP32)
    request = replace(request, device=replace(builders.CPU, kind="nvidia"))
    subject: Any = SimpleNamespace(_cuda=True)
    with adapter.translated(cuda=True):
        return adapter.OnnxSubject._open(subject, library, request, Path("model.onnx"))


def test_a_session_on_the_card_is_one() -> None:
    """The provider asked for is the first."""
    assert _opened(Pretended()).get_providers() == [CUDA, CPU]


def test_a_full_card_is_out_of_memory_and_no_broken_provider() -> None:
    """The library would have gone on, on the CPU: a search for the largest batch ended there."""
    with pytest.raises(DeviceOutOfMemoryError):
        _opened(Pretended(full=True))


@pytest.mark.parametrize("name", ["Fail", "RuntimeException", "EPFail"])
def test_the_librarys_own_errors_are_read(name: str) -> None:
    """They share no parent below Exception; one that tells of no memory stays what it is."""
    from onnxruntime.capi import onnxruntime_pybind11_state as native

    raised: type[Exception] = getattr(native, name)
    with pytest.raises(DeviceOutOfMemoryError), adapter.translated(cuda=True):
        raise raised("BFCArena: Failed to allocate memory for requested buffer of size 1024")
    with pytest.raises(raised), adapter.translated(cuda=True):
        raise raised("Invalid rank for input")


@pytest.mark.parametrize(
    ("built", "advice"),
    [(True, "onnxruntime-gpu[cuda,cudnn]"), (False, "pip uninstall onnxruntime")],
)
def test_a_provider_that_does_not_load_says_what_would_help(built: bool, advice: str) -> None:
    """The GPU's package that lacks a library of CUDA's is not the CPU's package."""
    with pytest.raises(UnsupportedError) as caught:
        _opened(Pretended(built=built, loads=False))
    assert "could not open its CUDA provider" in caught.value.message
    assert advice in caught.value.advice


def _part(provider: str, n_nodes: int) -> SimpleNamespace:
    return SimpleNamespace(ep_name=provider, get_nodes=lambda: [object()] * n_nodes)


def test_nodes_that_are_left_to_the_cpu_are_counted() -> None:
    """A graph may be computed on two devices; the library is asked to remember where."""
    library = Pretended()
    _opened(library)
    assert library.entries == {"session.record_ep_graph_assignment_info": "1"}
    parts = [_part(CUDA, 40), _part(CPU, 2), _part(CPU, 1)]
    told = SimpleNamespace(get_provider_graph_assignment_info=lambda: parts)
    subject: Any = SimpleNamespace(_cuda=True, _session=told)
    assert adapter.OnnxSubject._nodes_on_cpu(subject) == 3
    subject._session = SimpleNamespace()
    assert isinstance(adapter.OnnxSubject._nodes_on_cpu(subject), Absent)
    subject._cuda = False
    assert isinstance(adapter.OnnxSubject._nodes_on_cpu(subject), Absent)


@pytest.mark.parametrize(("kind", "n_times"), [("nvidia", 1), ("cpu", 0)])
def test_cudas_libraries_are_loaded_before_the_provider_looks_for_them(
    kind: str, n_times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that pip brought lie where the loader does not look."""
    library = Pretended()
    monkeypatch.setitem(sys.modules, "onnxruntime", library)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace())
    monkeypatch.setattr(adapter, "OnnxSubject", lambda *_: library.preloaded)
    request = request_for("onnxruntime", "null")
    request = replace(request, device=replace(request.device, kind=kind))
    opened: Any = adapter.open_subject(request)
    assert opened == n_times
