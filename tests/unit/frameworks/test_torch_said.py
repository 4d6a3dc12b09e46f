"""What is said where PyTorch sees no GPU or has no shared memory, by a library in its place."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import pytest

from dlbench.core.errors import HostOutOfMemoryError, UnsupportedError
from dlbench.frameworks import pytorch

TOO_OLD = (
    "CUDA initialization: The NVIDIA driver on your system is too old (found version 11040). Please "
    "update your GPU driver (Triggered internally at CUDAFunctions.cpp:109.)"
)


def _torch(*, available: bool, warning: str = "") -> SimpleNamespace:
    def is_available() -> bool:
        if warning:
            warnings.warn(warning, UserWarning, stacklevel=1)
        return available

    return SimpleNamespace(__version__="2.8.0", cuda=SimpleNamespace(is_available=is_available))


def test_a_gpu_that_is_seen_is_enough() -> None:
    """Whatever it warns of."""
    pytorch.require_cuda(_torch(available=True, warning="CUDA: something"))


@pytest.mark.parametrize(
    ("warning", "reason", "advice"),
    [
        (TOO_OLD, "is too old (found version 11040)", "Update the NVIDIA driver"),
        ("", "though the driver does", "pip install"),
        ("of something else", "though the driver does", "pip install"),
    ],
)
def test_a_driver_that_is_too_old_is_told(warning: str, reason: str, advice: str) -> None:
    """To install the same build again would not help; what PyTorch warned of is in the outcome."""
    with pytest.raises(UnsupportedError) as caught:
        pytorch.require_cuda(_torch(available=False, warning=warning))
    assert reason in caught.value.message
    assert "something else" not in caught.value.message
    assert advice in caught.value.advice


def test_shared_memory_that_a_loader_lacks_is_told_with_its_remedy() -> None:
    """Docker gives 64 MB; PyTorch says in the cause alone why its process is gone."""
    cause = RuntimeError(
        "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's "
        "workers are out of shared memory. Please try to raise your shared memory limit."
    )
    torch = SimpleNamespace(cuda=SimpleNamespace(OutOfMemoryError=MemoryError))
    with pytest.raises(HostOutOfMemoryError) as caught, pytorch.translated(torch):
        raise RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly") from cause
    assert "out of shared memory" in caught.value.message
    assert "--shm-size" in caught.value.advice
    with pytest.raises(RuntimeError, match="exited unexpectedly"), pytorch.translated(torch):
        raise RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly")
