"""Every installed framework's subject, asked as the gate asks it and in every precision of this CPU."""

from __future__ import annotations

import weakref
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from dlbench.core import registry
from dlbench.core.errors import UnsupportedError
from dlbench.core.types import Absent, Mode, Policy, Precision
from dlbench.frameworks import _seeded
from dlbench.measure.gate import DTYPES
from tests import subjects
from tests.subjects import request_for

pytestmark = pytest.mark.frameworks

INSTALLED = subjects.installed()


def exchanged(framework: str, workload: str) -> dict[str, bool]:
    """What the gate looks at: inputs read back, the place of the outputs, inputs copied over others."""
    request = request_for(framework, workload)
    subject = registry.framework(framework).open_subject(request)
    seeded = [_seeded.batch(request.spec, "inputs", i, 4) for i in range(4)]

    def holds(buffer: int, wanted: Any) -> bool:
        pairs = zip(subject.read_inputs(buffer), wanted, strict=True)
        return all(x.shape == y.shape and np.allclose(x, y) for x, y in pairs)

    def same(buffer: int, wanted: Any) -> bool:
        return np.allclose(subject.fetch(subject.query(buffer)), wanted, atol=1e-6)

    found = {f"buffer {i} holds its seed's": holds(i, seeded[i]) for i in range(4)}
    own = [subject.fetch(subject.query(i)).copy() for i in range(4)]
    found["outputs are on the CPU"] = subject.places(subject.query(0)) == {"cpu"}
    subject.copy_inputs(2, 1)
    found["buffer 1 holds buffer 2's"] = holds(1, seeded[2])
    found["buffer 2 holds its own still"] = holds(2, seeded[2])
    found["buffer 1 gives buffer 2's outputs"] = same(1, own[2])
    found["buffer 1 gives no more its own"] = not same(1, own[1])
    found["buffer 2 gives its own"] = same(2, own[2])
    return found


@pytest.mark.parametrize("workload", ["unet", "ncf", "gpt2_decode"])
@pytest.mark.parametrize("framework", INSTALLED)
def test_it_answers_what_the_gate_asks(framework: str, workload: str) -> None:
    """Inputs read back are the seed's, of images and tokens too; exchanged, others come out."""
    found = subjects.ask(framework, exchanged, workload)
    assert found == dict.fromkeys(found, True)


def in_precisions(framework: str, precisions: list[str]) -> dict[str, Any]:
    """Of one model: what the subject says that it computes in, and what comes out."""
    found = {}
    for precision in precisions:
        request = request_for(framework, "resnet50", precision=Precision(precision))
        subject = registry.framework(framework).open_subject(request)
        outputs = subject.fetch(subject.query(0)).ravel().tolist()
        found[precision] = [subject.info["compute_dtype"], subject.info.get("tf32", False), outputs]
    return found


@pytest.mark.parametrize("framework", INSTALLED)
def test_each_precision_is_set_and_shows_in_the_outputs(framework: str) -> None:
    """On this CPU, of the same weights: what the subject says, and numbers that are not fp32's."""
    cpu = registry.device_kind("cpu").find()
    assert not isinstance(cpu, Absent)
    # bf16 is emulated where the processor lacks it: slow, and the same numbers.
    here = {*cpu[0].precisions, Precision.BF16}
    wanted = [p for p in INSTALLED[framework].precisions["cpu"] if p in here]
    found = subjects.ask(framework, in_precisions, wanted)
    exact = found["fp32"][2]
    scale = max(abs(x) for x in exact)
    for precision, (said, tf32, outputs) in found.items():
        assert said == DTYPES[Precision(precision)]
        assert tf32 is False
        apart = max(abs(x - y) for x, y in zip(outputs, exact, strict=True)) / scale
        assert (apart > 1e-5) is (precision != "fp32"), precision
        assert apart < 0.5


def turned_on(framework: str) -> list[Any]:
    """What a subject of fp32 says of TF32, before and after somebody turns it on."""
    subject = registry.framework(framework).open_subject(request_for(framework, "ncf"))
    before = subject.info["tf32"]
    if framework == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(True)
    elif framework == "jax":
        import jax

        jax.config.update("jax_default_matmul_precision", "tensorfloat32")
    else:
        import torch

        from dlbench.frameworks import pytorch

        case = request_for(framework, "ncf", precision=Precision.TF32).case
        pytorch.set_numerics(torch, case, 1)
    return [before, subject.info["tf32"]]


@pytest.mark.parametrize(
    "framework", sorted(INSTALLED.keys() & {"pytorch", "keras", "tensorflow", "jax"})
)
def test_tf32_is_what_the_framework_says_and_not_what_was_asked_for(framework: str) -> None:
    """A setting that the measured code changed is told, and the gate refuses it."""
    assert subjects.ask(framework, turned_on) == [False, True]


def compilations(framework: str) -> int:
    """How often three training steps compiled."""
    request = request_for(framework, "ncf", mode=Mode.TRAINING, scenario=None)
    subject: Any = registry.framework(framework).open_subject(request)
    for i in range(3):
        subject.step(i)
    subject.synchronize()
    return int(subject._run_step._cache_size())


def test_jax_compiles_a_training_step_once() -> None:
    """What the step returns goes into the next one as what it was given first."""
    pytest.importorskip("jax")
    assert subjects.ask("jax", compilations) == 1


def given_away(framework: str) -> dict[str, int]:
    """How many of the arrays that a training step replaces are left once it has run."""
    request = request_for(framework, "resnet50", mode=Mode.TRAINING, scenario=None)
    subject: Any = registry.framework(framework).open_subject(request)
    before = {
        "weights": subject._trained,
        "statistics": subject._untrained,
        "optimiser": subject._optimizer_state,
    }
    subject.step(0)
    subject.synchronize()
    assert all(before.values())
    return {name: sum(not x.is_deleted() for x in arrays) for name, arrays in before.items()}


def test_jax_donates_what_a_step_replaces() -> None:
    """Weights, statistics and the optimiser's state are written in place: no model lies there twice."""
    pytest.importorskip("jax")
    found = subjects.ask("jax", given_away)
    assert found == {"weights": 0, "statistics": 0, "optimiser": 0}


def exported(framework: str, scratch: str, precision: str) -> list[Any]:
    """Where a model comes from, and what its export left in the folder that it was made in."""
    request = request_for(framework, "resnet50", precision=Precision(precision))
    subject = registry.framework(framework).open_subject(replace(request, scratch=Path(scratch)))
    subject.fetch(subject.query(0))
    return [subject.info["derived_from"], [str(p) for p in Path(scratch).rglob("*")]]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("framework", sorted(INSTALLED.keys() & {"onnxruntime", "openvino"}))
def test_what_is_derived_says_so_and_leaves_no_file(
    framework: str, precision: str, tmp_path: Path
) -> None:
    """A document tells from which PyTorch the model was exported; its file was a private one."""
    if precision not in INSTALLED[framework].precisions["cpu"]:
        pytest.skip(f"the {framework} adapter does not run {precision} here")
    told, left = subjects.ask(framework, exported, str(tmp_path), precision)
    assert told.startswith("model_pytorch, PyTorch ")
    assert left == []


def said_of_memory(framework: str, told: str) -> str:
    """The kind of error that a library's own becomes on a GPU."""
    adapter: Any = registry.framework(framework)
    if framework == "tensorflow":
        import tensorflow as tf

        error, border = tf.errors.InternalError(None, None, told), adapter.translated(tf, cuda=True)
    elif framework == "jax":
        import jax

        error, border = jax.errors.JaxRuntimeError(told), adapter.translated(jax, cuda=True)
    elif framework == "onnxruntime":
        error, border = RuntimeError(told), adapter.translated(cuda=True)
    else:
        import torch

        error, border = RuntimeError(told), adapter.translated(torch)
    with pytest.raises(Exception) as found, border:  # noqa: PT011 - whatever it becomes
        raise error
    return found.typename


OUT_OF_ROOM = (
    (
        "tensorflow",
        "Failed copying input tensor from CPU:0 to GPU:0: Dst tensor is not initialized.",
    ),
    ("tensorflow", "Failed to load in-memory CUBIN: CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
    ("jax", "INTERNAL: Failed to load in-memory CUBIN: CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
    ("onnxruntime", "[ONNXRuntimeError] : 1 : FAIL : CUDA failure 2: out of memory ; GPU=0"),
    ("pytorch", "CUDA error: out of memory"),
    ("pytorch", "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    ("pytorch", "Triton Error [CUDA]: out of memory"),
)


@pytest.mark.parametrize(("framework", "told"), [x for x in OUT_OF_ROOM if x[0] in INSTALLED])
def test_a_full_gpu_is_out_of_memory_in_every_librarys_words(framework: str, told: str) -> None:
    """A search for the largest batch ends at any other failure; an internal error stays one."""
    assert subjects.ask(framework, said_of_memory, told) == "DeviceOutOfMemoryError"
    other = subjects.ask(framework, said_of_memory, "cuBLAS did something else")
    assert other != "DeviceOutOfMemoryError"


def said_of_the_device(framework: str) -> list[str]:
    """The kinds of error that a kernel's own faults become, and that of a card that is gone."""
    told = (
        "CUDA error: device-side assert triggered",
        "CUDA error: unspecified launch failure",
        "CUDA error: GPU is lost",
    )
    return [said_of_memory(framework, words) for words in told]


def test_a_fault_in_a_kernel_loses_no_device() -> None:
    """It ends its process; with a lost device all further cases of the session would be skipped."""
    if "pytorch" not in INSTALLED:
        pytest.skip("pytorch is not installed")
    found = subjects.ask("pytorch", said_of_the_device)
    assert found == ["RuntimeError", "RuntimeError", "DeviceLostError"]


def named_by_cuda(framework: str) -> list[str]:
    """What becomes of a device that CUDA calls by another name: a board, and a slice."""
    import torch

    from dlbench.frameworks import pytorch

    request = request_for(framework, "null")
    found = []
    for uuid in ("GPU-aaaa", "GPU-bbbb", "MIG-bbbb"):
        asked = replace(request, device=replace(request.device, kind="nvidia", uuid=uuid))
        subject: Any = SimpleNamespace(_torch=torch, _cuda=True)
        with (
            patch.object(torch.cuda, "is_available", lambda: True),
            patch.object(torch.cuda, "set_device"),
            patch.object(
                torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="aaaa")
            ),
        ):
            try:
                found.append(str(pytorch.TorchSubject._open_device(subject, asked)))
            except UnsupportedError as error:
                found.append(error.message)
    return found


def test_a_slice_may_have_its_boards_name() -> None:
    """Another board is refused; of a slice CUDA may say the board's UUID."""
    if "pytorch" not in INSTALLED:
        pytest.skip("pytorch is not installed")
    same, other, part = subjects.ask("pytorch", named_by_cuda)
    assert same == part == "cuda:0"
    assert "not the one that was asked for" in other


class OnAFullCard:
    """A tensor in 16 bits on a device that has no room for another: it can be copied off as it is."""

    def __init__(self, there: Any) -> None:
        self._there = there

    def detach(self) -> OnAFullCard:
        return self

    def is_floating_point(self) -> bool:
        return True

    def cpu(self) -> Any:
        return self._there.clone()

    def to(self, place: str, dtype: Any, **_: Any) -> Any:
        assert place == "cpu"
        # Copies between devices are converted on the host.
        return self.cpu().to(dtype)

    def contiguous(self) -> Any:
        raise RuntimeError("CUDA out of memory")

    float = contiguous


def read_off_a_full_card(framework: str) -> list[list[float]]:
    """An output and an input of a subject whose device is full."""
    held: Any
    if framework == "tensorflow":
        import tensorflow as tf

        from dlbench.frameworks import tensorflow

        kind: Any = tensorflow.TensorFlowSubject
        there = tf.constant([[1.5, -2.0]], tf.bfloat16)
        held = SimpleNamespace(numpy=there.numpy, dtype=there.dtype)
        subject: Any = SimpleNamespace(_tf=tf, _cuda=True, _spec={}, inputs=[[held]])
    else:
        import torch

        from dlbench.frameworks import keras, pytorch

        kind = {"pytorch": pytorch.TorchSubject, "keras": keras.KerasSubject}[framework]
        held = OnAFullCard(torch.tensor([[1.5, -2.0]], dtype=torch.bfloat16))
        subject = SimpleNamespace(_torch=torch, _spec={}, inputs=[[held]])
    found = [kind.fetch(subject, held), *kind.read_inputs(subject, 0)]
    return [x.ravel().tolist() for x in found if x.dtype == np.float32]


@pytest.mark.parametrize("framework", sorted(INSTALLED.keys() & {"pytorch", "keras", "tensorflow"}))
def test_what_fits_the_card_can_be_read_off_it(framework: str) -> None:
    """The gate made float32 of inputs on the device: the largest batch that ran ended in an error."""
    assert subjects.ask(framework, read_off_a_full_card) == [[1.5, -2.0], [1.5, -2.0]]


def on_a_pretended_card(framework: str) -> list[int]:
    """How many of the tensors first made are there when a torch subject's peaks are forgotten.

    And how many of four buffers, as each is replaced.
    """
    import torch

    from dlbench.frameworks import pytorch

    kind = pytorch.TorchSubject
    first: list[Any] = []
    left: list[int] = []

    def resident(*arguments: Any) -> Any:
        made = real(*arguments)
        first.extend(map(weakref.ref, made))
        return made

    def count() -> None:
        left.append(sum(x() is not None for x in first))

    changes: dict[str, Any] = {"policy": Policy.TUNED, "precision": Precision.BF16}
    request = request_for(framework, "resnet50", **changes)
    request = replace(request, device=replace(request.device, kind="nvidia"))
    real = kind._resident
    with (
        patch.object(kind, "_open_device", lambda *_: torch.device("cpu")),
        patch.object(kind, "_resident", resident),
        patch.object(torch.cuda, "get_device_name", lambda _: "pretended"),
        patch.object(torch.cuda, "empty_cache"),
        patch.object(torch.cuda, "reset_peak_memory_stats", count),
    ):
        registry.framework(framework).open_subject(request)
    buffers: Any = SimpleNamespace(inputs=[(torch.ones(1),) for _ in range(4)])
    first[:] = [weakref.ref(x) for (x,) in buffers.inputs]

    def change(tensor: Any) -> Any:
        count()
        return tensor.clone()

    kind._replace_inputs(buffers, change)
    return left


def test_peaks_of_memory_are_of_the_running_model_and_not_of_its_building() -> None:
    """Inputs in fp32 are gone by then, targets are not; and no two buffers lie there twice."""
    if "pytorch" not in INSTALLED:
        pytest.skip("pytorch is not installed")
    assert subjects.ask("pytorch", on_a_pretended_card) == [4, 4, 3, 2, 1]


def tensorflow_on_a_pretended_card(framework: str) -> list[str]:
    """Whose peaks are forgotten when a subject is built, and how many inputs lie on the host."""
    import tensorflow as tf

    from dlbench.frameworks import tensorflow

    told: list[str] = []
    request = request_for(framework, "null")
    request = replace(request, device=replace(request.device, kind="nvidia"))
    with (
        patch.object(tensorflow.TensorFlowSubject, "_open_device", lambda _: "/CPU:0"),
        patch.object(tf.config.experimental, "reset_memory_stats", told.append),
    ):
        subject = registry.framework(framework).open_subject(request)
    return [*told, str(subject.info["inputs_on_host"])]


def test_tensorflows_peak_is_of_the_running_model_too() -> None:
    """Once, when all is built; and it says which inputs lie in host memory, as all of these do."""
    if "tensorflow" not in INSTALLED:
        pytest.skip("tensorflow is not installed")
    assert subjects.ask("tensorflow", tensorflow_on_a_pretended_card) == ["GPU:0", "1"]


KERAS = ("tensorflow", "jax", "keras")


def left_in_half(framework: str) -> str:
    """Runs beside: the policy that is left, as a test that failed midway may leave it."""
    import keras

    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    return policy_found(framework)


def policy_found(framework: str) -> str:
    """Runs beside: the policy that a question finds."""
    import keras

    return str(keras.mixed_precision.dtype_policy().name)


def test_a_question_finds_no_other_ones_precision() -> None:
    """What one left behind is gone."""
    here = [name for name in KERAS if name in INSTALLED]
    if not here:
        pytest.skip("no framework that Keras runs on is installed")
    assert subjects.ask(here[0], left_in_half) == "mixed_bfloat16"
    assert subjects.ask(here[0], policy_found) == "float32"
