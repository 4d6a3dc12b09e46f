"""PyTorch, on the CPU and on NVIDIA GPUs.

``base``: eager, contiguous tensors, TF32 explicitly on or off, no compiler, no autotuning.
``tuned``: torch.compile, channels-last memory for images, the fused optimiser, weights held in 16 bits
where inference computes so, frozen ones and fp32 products by oneDNN on a CPU, cuDNN's search on CUDA.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dlbench.core import pip
from dlbench.core.errors import (
    DeviceLostError,
    HostOutOfMemoryError,
    MissingDependencyError,
    UnsupportedError,
)
from dlbench.core.protocols import Capability, SubjectRequest
from dlbench.core.types import Absent, Case, DataMode, Fact, Mode, PeakMemory, Policy, Precision
from dlbench.core.units import MIB
from dlbench.frameworks import _subject

if TYPE_CHECKING:
    import numpy as np
    import torch

    from dlbench.frameworks._own import Prepared

MODEL_FILES = ("model_pytorch",)
DISTRIBUTIONS = ("torch",)

INSTALL = "pip install 'dlbench[torch]'"
OLD_DRIVER = "Update the NVIDIA driver, or install a PyTorch that was built for an older CUDA."
INSTALL_CUDA = "install PyTorch's CUDA build: pip install --force-reinstall torch"

CPU_PRECISIONS = (Precision.FP32, Precision.BF16)
CUDA_PRECISIONS = (Precision.FP32, Precision.TF32, Precision.BF16, Precision.FP16)

FULL_WORDS = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUDA driver error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "DEVICE_ALLOCATION_FAILED",
    "Triton Error [CUDA]: out of memory",
)
"""Of a full device: PyTorch's allocator, the driver, cuBLAS, cuDNN and Triton ask for memory apart."""

LOST_WORDS = ("device lost", "is lost")
"""An assertion or a fault in a kernel is none of them: it ends the process that CUDA runs in, and the
next one computes on the same device (cudaErrorAssert, cudaErrorLaunchFailure)."""

NO_COMPILER_WORDS = ("No working C++ compiler", "Failed to find C compiler")
"""TorchInductor's on a CPU, Triton's on a GPU."""

OPTIONS = ("compile_mode", "pinned")
"""Names that ``-o NAME=VALUE`` may give."""

TUNED_OPTIONS = ("compile_mode",)
"""Those of them that say how to compile, which ``base`` does not do."""

POLICIES = {
    Policy.BASE: "eager, contiguous tensors; bf16 and fp16 by autocast, fp16 with loss scaling",
    Policy.TUNED: "`torch.compile` (default mode; on a CPU `max-autotune-no-cudagraphs` for small "
    "batches that were measured to gain by it; another by `-o compile_mode=...`), channels-last "
    "images; the fused optimiser; on a CPU fp32 products by oneDNN where that is measured to be "
    "faster, and in inference frozen weights, those of a single LSTM laid out once; in inference in "
    "16 bits weights and inputs that are held so; on CUDA cuDNN's search for the fastest algorithm; "
    "CUDA graphs in inference if asked for (`reduce-overhead`, `max-autotune`)",
}
"""What each policy turns on, for `dlbench list` and the docs."""


def probe() -> Capability | Absent:
    """Version and devices of the installed build, without importing it."""
    if importlib.util.find_spec("torch") is None:
        return Absent(reason="PyTorch is not installed", remedy=INSTALL)
    version = pip.version("torch")
    if version is None:
        return Absent(reason="a torch without its metadata is on the path", remedy=INSTALL)
    precisions = {"cpu": CPU_PRECISIONS, "nvidia": CUDA_PRECISIONS}
    reasons = {}
    if version.endswith("+cpu"):
        del precisions["nvidia"]
        reasons["nvidia"] = f"the installed PyTorch {version} is a CPU build ({INSTALL_CUDA})"
    return Capability(
        version=version,
        precisions=precisions,
        policies=POLICIES,
        reasons=reasons,
        options=OPTIONS,
        tuned_options=TUNED_OPTIONS,
    )


def open_subject(request: SubjectRequest) -> TorchSubject:
    """Import PyTorch and build the subject.

    Raises:
        SubjectError: of the kind that says what failed.
    """
    with pip.importing("PyTorch is installed but", INSTALL, DISTRIBUTIONS):
        import torch
    with translated(torch):
        return TorchSubject(torch, request)


@contextlib.contextmanager
def translated(torch: Any) -> Iterator[None]:  # noqa: ANN401 - the module
    """PyTorch's ways of saying that memory is gone, as ours."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise _subject.out_of_memory(_first_line(error), cuda=True) from error
    except RuntimeError as error:
        text = str(error)
        if "can't allocate memory" in text or "not enough memory" in text:
            raise _subject.out_of_memory(_first_line(error), cuda=False) from error
        # Of a loader's process that was ended, the error says that it is gone, and its cause why.
        if "out of shared memory" in f"{text} {error.__cause__}":
            raise HostOutOfMemoryError(
                f"a loader's process is out of shared memory: {_first_line(error)}",
                "In a container, give it more: --shm-size=8g; or use a smaller --batch-size.",
            ) from error
        if any(word in text for word in FULL_WORDS):
            raise _subject.out_of_memory(_first_line(error), cuda=True) from error
        if any(word in text for word in NO_COMPILER_WORDS):
            raise MissingDependencyError(
                "torch.compile needs a C++ compiler, and found none",
                "apt install g++, or --policy base",
            ) from error
        if any(word in text for word in LOST_WORDS):
            raise DeviceLostError(_first_line(error), "See dmesg; reset or reboot.") from error
        raise


def require_cuda(torch: Any) -> None:  # noqa: ANN401 - the module
    """Return where PyTorch can use a GPU.

    Raises:
        UnsupportedError: it cannot, in the words of its own warning if it has any: of a driver that is
            too old for the build it says so there, and nowhere else.
    """
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = torch.cuda.is_available()
    if found:
        return
    words = [str(warning.message) for warning in told if "CUDA" in str(warning.message)]
    why = f": {_subject.first_line(words[0])}" if words else ""
    raise UnsupportedError(
        f"PyTorch {torch.__version__} sees no CUDA device, though the driver does{why}",
        OLD_DRIVER if "too old" in why else INSTALL_CUDA,
    )


def _first_line(error: Exception) -> str:
    """Without the place in C++ before it, and what a converter says before that."""
    return _subject.first_line(re.sub(r"(?s)^.*\[enforce fail at [^\]]*\]\s*", "", str(error)))


# --- shared with the adapters that build on PyTorch -----------------------------------------


def seeded_model(torch: Any, model_file: Any, spec: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """The workload's model on the CPU, with its seeded weights."""
    from dlbench.frameworks import _seeded

    model = model_file.build(spec)
    with torch.no_grad():
        for name, tensor in model.state_dict(keep_vars=True).items():
            tensor.copy_(torch.from_numpy(_seeded.weight(spec, name, tuple(tensor.shape))))
    return model


def prepare(torch: Any, request: SubjectRequest, device: Any = None) -> Prepared:  # noqa: ANN401
    """The workload's model on the CPU and what trains it; a model of the user's own is its own."""
    from dlbench.frameworks import _own, _own_torch

    if request.spec.get("own"):
        with translated(torch):
            prepared = _own_torch.prepare(torch, request, device)
        # The user's file may have set its own; what is measured is what was asked for.
        set_numerics(torch, request.case, request.threads)
        return prepared
    model_file = request.load_model()
    model = seeded_model(torch, model_file, request.spec)
    return _own.Prepared(model=model, loss=getattr(model_file, "loss", None), spec=request.spec)


COMPILE_MODES = ("default", "max-autotune-no-cudagraphs")
"""Those of ``torch.compile`` whose outputs have memory of their own."""

GRAPH_MODES = ("reduce-overhead", "max-autotune")
"""Those that replay CUDA graphs: the next call overwrites their outputs. Queries are fetched before the
next; a first loss is kept until the end, so that training has none of them."""


def compile_modes(case: Case) -> tuple[str, ...]:
    """The modes of ``torch.compile`` that a case may have; the first is the default."""
    graphs = case.mode is Mode.INFERENCE and case.device.partition(":")[0] == "nvidia"
    return (*COMPILE_MODES, *(GRAPH_MODES if graphs else ()))


FASTER_AUTOTUNED = {"gpt2_decode": 2, "mobilenet_v3_large": 1, "dlrm_small": 4, "ncf": 16}
"""Up to which batch a workload's inference in fp32 on a CPU was measured to gain a tenth or more by
``max-autotune-no-cudagraphs``: of all others, and in training, the default is as fast (decision 79)."""


def compile_mode(case: Case) -> str:
    """The mode of ``torch.compile``: the option ``compile_mode``, or the fastest as measured.

    Raises:
        UnsupportedError: there is no such mode, or not for this case.
    """
    mode = dict(case.options).get("compile_mode", _fastest_mode(case))
    able = compile_modes(case)
    advice = f"-o compile_mode={' or '.join(able)}"
    if mode in able:
        return mode
    if mode in GRAPH_MODES:
        raise UnsupportedError(
            f"compile_mode {mode} replays CUDA graphs, which is for inference on a GPU", advice
        )
    raise UnsupportedError(f"there is no compile_mode {mode!r}", advice)


def _fastest_mode(case: Case) -> str:
    measured = (case.mode, case.device, case.precision, case.variant)
    of_few = measured == (Mode.INFERENCE, "cpu", Precision.FP32, "full")
    default, autotuned = COMPILE_MODES
    most = FASTER_AUTOTUNED.get(case.workload, 0) if of_few else 0
    return autotuned if case.batch_size <= most else default


OF_THE_COMPILER = {"frozen_weights", "products_by_onednn", "lstm_compiled"}
"""Facts that hold only of a graph that it made."""


def pins(case: Case) -> bool:
    """Whether batches in host memory are pinned: on a GPU, unless the option ``pinned`` says no.

    Raises:
        UnsupportedError: it says neither.
    """
    given = dict(case.options).get("pinned", "true")
    if given not in {"true", "false"}:
        raise UnsupportedError(f"pinned is true or false, and not {given!r}", "-o pinned=false")
    return given == "true" and case.device.partition(":")[0] == "nvidia"


def _n_graphs(torch: Any) -> int:  # noqa: ANN401 - the module
    """Graphs that TorchDynamo has handed to its compiler in this process."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])  # noqa: SLF001 - nothing public counts


def _compiled_before(torch: Any) -> bool:  # noqa: ANN401 - the module
    """Whether all programs of this process were found on disk, where an earlier one had left them."""
    counters = torch._dynamo.utils.counters  # noqa: SLF001 - as above
    fx = counters["inductor"]
    found = fx["fxgraph_cache_hit"] + counters["aot_autograd"]["autograd_cache_hit"]
    return bool(found and not fx["fxgraph_cache_miss"] and not fx["fxgraph_cache_bypass"])


def n_parameters(model: Any, request: SubjectRequest) -> int:  # noqa: ANN401
    """Trainable parameters; of a model of the user's own frozen ones too, which take their room.

    A workload freezes the bias that PyTorch's LSTM has beyond that of others, and states none of it.
    """
    own = bool(request.spec.get("own"))
    return sum(p.numel() for p in model.parameters() if p.requires_grad or own)


def set_numerics(torch: Any, case: Case, threads: int) -> None:  # noqa: ANN401
    """Threads, float32 products in TF32 or not at all, cudnn's search: whatever was set before."""
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = case.policy is Policy.TUNED
    torch.backends.cudnn.deterministic = False
    wanted = case.precision is Precision.TF32
    # The older switches first: what they set, the newer ones set too, and PyTorch wants both to agree.
    torch.set_float32_matmul_precision("high" if wanted else "highest")
    torch.backends.cuda.matmul.allow_tf32 = wanted
    torch.backends.cudnn.allow_tf32 = wanted
    for switch in _float32_switches(torch):
        switch.fp32_precision = "tf32" if wanted else "ieee"
    # Sums of fp16 products in fp16, twice as fast on some cards: PyTorch has it off, since 2.7.
    if hasattr(torch.backends.cuda.matmul, "allow_fp16_accumulation"):
        torch.backends.cuda.matmul.allow_fp16_accumulation = False


def _float32_switches(torch: Any) -> list[Any]:  # noqa: ANN401
    """What holds an ``fp32_precision``; PyTorch has them since 2.9.

    Those of single operations: one for all of a library's is asked where these say nothing.
    """
    backends = torch.backends
    libraries = (backends.cudnn, backends.mkldnn)
    operations = [getattr(x, n, None) for x in libraries for n in ("matmul", "conv", "rnn")]
    switches = [backends, backends.cuda.matmul, backends.cudnn, *operations]
    return [switch for switch in switches if hasattr(switch, "fp32_precision")]


def tf32(torch: Any) -> bool | str:  # noqa: ANN401
    """Whether PyTorch is set to compute float32 in TF32, as it tells; in words where it is neither."""
    found = {str(switch.fp32_precision) for switch in _float32_switches(torch)}
    if not found:
        older = (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
        found = {"tf32" if allowed else "ieee" for allowed in older}
    if len(found) == 1:
        return found == {"tf32"}
    return " and ".join(sorted(found))


def narrow(torch: Any, model: Any, dtype: torch.dtype) -> None:  # noqa: ANN401
    """Hold the weights of products in 16 bits, and the tables whose rows go into them (decision 64).

    What else has parameters keeps them in float32: norms, which autocast computes so, and recurrent
    layers, whose parameters must lie in one piece.
    """
    products = (torch.nn.Linear, torch.nn.modules.conv._ConvNd, torch.nn.Embedding)  # noqa: SLF001 - of all convolutions
    for module in model.modules():
        if isinstance(module, products):
            module.weight.data = module.weight.data.to(dtype)


def allocator_peaks(torch: Any, *, cuda: bool) -> PeakMemory:  # noqa: ANN401
    """The CUDA allocator's peaks; on the CPU PyTorch keeps no count (and would answer 0)."""
    if not cuda:
        uncounted = Absent(reason="PyTorch does not count memory on the CPU")
        return _subject.counted(uncounted, uncounted)
    peaks = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    return _subject.counted(*(peak / MIB for peak in peaks))


def forget_peaks(torch: Any) -> None:  # noqa: ANN401
    """Peaks are the running model's: what building it took, and freed, does not count as used."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()


def places(*tensors: Any) -> frozenset[str]:  # noqa: ANN401
    """Kinds of device on which PyTorch's tensors lie."""
    return frozenset({"cuda": "nvidia"}.get(x.device.type, x.device.type) for x in tensors)


def _is_image(tensor: torch.Tensor) -> bool:
    return bool(tensor.ndim == 4)  # noqa: PLR2004 - N, C, H, W


class OnTorch:
    """What subjects share whose tensors are PyTorch's."""

    _torch: Any
    _cuda: bool
    inputs: list[Sequence[Any]]

    def copy_inputs(self, source: int, target: int) -> None:
        """Into the same memory, so that nothing that remembers a tensor is fooled."""
        for given, place in zip(self.inputs[source], self.inputs[target], strict=True):
            place.copy_(given)

    def synchronize(self) -> None:
        """On the CPU every operation has finished when it returns."""
        if self._cuda:
            with translated(self._torch):
                self._torch.cuda.synchronize()

    def mark(self) -> object | None:
        """A CUDA event in the current stream."""
        if not self._cuda:
            return None
        event = self._torch.cuda.Event(enable_timing=True)
        event.record()
        return event  # type: ignore[no-any-return]

    def elapsed_s(self, start: object, end: object) -> float:
        """Seconds between two CUDA events."""
        first: Any = start
        return first.elapsed_time(end) / 1e3  # type: ignore[no-any-return]

    def peak_memory(self) -> PeakMemory:
        """The CUDA allocator's peaks."""
        return allocator_peaks(self._torch, cuda=self._cuda)


class TorchSubject(OnTorch):
    """A model on one device, with its inputs resident there."""

    def __init__(self, torch: Any, request: SubjectRequest) -> None:  # noqa: ANN401
        from dlbench.frameworks import _seeded

        case = request.case
        self._torch = torch
        self._cuda = request.device.kind == "nvidia"
        self._tuned = case.policy is Policy.TUNED
        self.n_buffers = _seeded.N_BUFFERS
        self._device = self._open_device(request)
        set_numerics(torch, case, request.threads)
        narrow = {Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}.get(case.precision)
        in_place = bool(request.spec.get("in_place"))
        self._autocast_dtype = None if in_place else narrow
        # Built on the CPU and then moved: a batch that fits the model must not fail for its builder.
        prepared = prepare(torch, request, self._device)
        request = replace(request, spec=prepared.spec)
        self.model = prepared.model
        self.model.to(self._device)
        self._loss: Any = prepared.loss
        self.inputs = [self._resident(request, "inputs", i, _seeded) for i in range(self.n_buffers)]
        self.targets = [
            self._resident(request, "targets", i, _seeded) for i in range(self.n_buffers)
        ]
        if in_place:
            self._to_place(narrow)
        own = bool(request.spec.get("own"))
        self._layout = torch.contiguous_format
        if self._tuned:
            self._lay_out(torch.channels_last)
            if own and not self._takes_layout():
                self._lay_out(torch.contiguous_format)
            if not own:
                self._to_narrow(case)
        self._loading: dict[str, int] = {}
        self._prepare_refills(request)
        self._forward = self.model
        if case.mode is Mode.TRAINING:
            self.model.train()
            self._prepare_training(request.spec["optimizer"], case.precision)
        else:
            self.model.eval()
        compiler = self._compile(case, own=own) if self._tuned else {}
        self._told = {**self._facts(request), **self._loading, **compiler, **prepared.facts}
        self._graphs_before = _n_graphs(torch) if self._tuned else 0
        if self._cuda:
            forget_peaks(torch)

    @property
    def info(self) -> dict[str, Fact]:
        """Facts; which graphs the compiler made, or found, is known once the first call is over.

        It passes over a model that is one recurrent layer after another, without a word.
        """
        told = {**self._told, "tf32": tf32(self._torch)}
        if not self._tuned:
            return told
        n_graphs = _n_graphs(self._torch) - self._graphs_before
        if not n_graphs:
            told |= dict.fromkeys(told.keys() & OF_THE_COMPILER, False)
        return {
            **told,
            "compiled": n_graphs > 0,
            "compiled_graphs": n_graphs,
            "compiled_from_cache": _compiled_before(self._torch),
        }

    # --- building ---------------------------------------------------------------------------

    def _compile(self, case: Case, *, own: bool) -> dict[str, Fact]:
        """What the first call compiles, and what was measured to decide how.

        As an option of one compilation freezing does nothing: both settings are the process's.
        """
        torch = self._torch
        config = torch._inductor.config  # noqa: SLF001 - where it is documented
        mode = compile_mode(case)
        facts: dict[str, Fact] = {}
        how: dict[str, Any] = {"mode": mode}
        config.freezing = self._freezes(case)
        # Programs have their number of threads written in. Before PyTorch 2.13 those on disk were found
        # by this setting alone, whatever the number was: of another run with fewer (pytorch#167463).
        config.cpp.threads = torch.get_num_threads()
        config.post_grad_custom_post_pass = None
        dynamo = torch._dynamo.config  # noqa: SLF001 - where it is documented
        shows_lstm = hasattr(dynamo, "allow_rnn") and self._shows_lstm(case, own=own)
        if hasattr(dynamo, "allow_rnn"):  # not every release of the last year need have it
            dynamo.allow_rnn = shows_lstm
        facts["lstm_compiled"] = shows_lstm
        if not self._cuda and case.precision is Precision.FP32:
            from dlbench.frameworks import _torch_cpu

            gain = _torch_cpu.gain()
            gains = not isinstance(gain, Absent) and gain >= _torch_cpu.LEAST_GAIN
            packs = gains and config.freezing and _torch_cpu.can_pack()
            passes = gains and not config.freezing
            if packs:
                how = {"backend": _torch_cpu.packing(mode)}
            if passes:
                config.post_grad_custom_post_pass = _torch_cpu.Products()
            facts |= {
                "onednn_gain": gain if isinstance(gain, Absent) else round(gain, 2),
                "products_by_onednn": packs or passes,
            }
        torch.compiler.set_stance("default")
        self._forward = torch.compile(self.model, **how)
        return facts

    def _freezes(self, case: Case) -> bool:
        """Whether weights are constants to the compiler: in inference on a CPU (decision 58).

        oneDNN then lays them out once for all calls, and normalisations are folded into convolutions.
        """
        return self._tuned and case.mode is Mode.INFERENCE and not self._cuda

    def _shows_lstm(self, case: Case, *, own: bool) -> bool:
        """Whether the compiler is to see the LSTM, whose weights it then lays out once for all calls.

        To PyTorch that is an experiment, and with several LSTMs it made wrong programs: only a single
        one in one direction is given to it, and none of the user's own, which no reference checks.
        """
        nn = self._torch.nn
        found = [m for m in self.model.modules() if isinstance(m, nn.RNNBase)]
        plain = len(found) == 1 and type(found[0]) is nn.LSTM and not found[0].bidirectional
        return self._freezes(case) and case.precision is Precision.FP32 and plain and not own

    def _open_device(self, request: SubjectRequest) -> torch.device:
        torch = self._torch
        if not self._cuda:
            return torch.device("cpu")
        require_cuda(torch)
        seen = str(getattr(torch.cuda.get_device_properties(0), "uuid", ""))
        asked = request.device.uuid
        # CUDA may name a MIG slice by its board's; it shows a process one slice and no other.
        whole = isinstance(asked, str) and not asked.startswith("MIG-")
        if seen and whole and seen not in str(asked):
            raise UnsupportedError(
                f"PyTorch's first device is {seen}, not the one that was asked for",
                "Unset CUDA_VISIBLE_DEVICES and try again.",
            )
        torch.cuda.set_device(0)
        return torch.device("cuda", 0)

    def _resident(
        self,
        request: SubjectRequest,
        side: str,
        buffer: int,
        seeded: Any,  # noqa: ANN401
    ) -> tuple[torch.Tensor, ...]:
        arrays = seeded.batch(request.spec, side, buffer, request.case.batch_size)
        return tuple(self._torch.from_numpy(a).to(self._device) for a in arrays)

    def _prepare_refills(self, request: SubjectRequest) -> None:
        """Batches in host memory, pinned where a copy to a GPU is faster from there."""
        from dlbench.frameworks import _files

        torch, case = self._torch, request.case
        # Channels last on the device is made there: hosts hold what loaders give.
        self._layouts = [
            self._layout if _is_image(x) else torch.contiguous_format for x in self.inputs[0]
        ]
        pin = pins(case)
        if case.data_mode is DataMode.HOST:
            self._host = [
                tuple(x.cpu().contiguous().pin_memory() if pin else x.cpu().contiguous() for x in b)
                for b in self.inputs
            ]
        elif case.data_mode is DataMode.PIPELINE:
            files = _files.files_of(
                request.spec, training=case.mode is Mode.TRAINING, seed=request.seed
            )
            self._loader = _files.torch_loader(
                torch, files, case.batch_size, request.threads, pin=pin
            )
            self._loading = _files.loader_facts(request.threads)
            self.inputs.append(self.inputs[0])
            self.targets.append(self.targets[0])

    def refill(self, buffer: int) -> None:
        """Start the copy of a batch to the device; on the CPU it is there already."""
        with translated(self._torch):
            pipeline = buffer == self.n_buffers
            given = (next(self._loader),) if pipeline else self._host[buffer]
            self.inputs[buffer] = tuple(
                x.to(self._device, non_blocking=True).contiguous(memory_format=layout)
                for x, layout in zip(given, self._layouts, strict=True)
            )

    def _has_images(self) -> bool:
        return any(_is_image(x) for x in self.inputs[0])

    def _lay_out(self, layout: torch.memory_format) -> None:
        """Images only: convolutions of every library are fastest with channels innermost."""
        self._layout = layout
        if self._has_images():
            self.model.to(memory_format=layout)
            self._replace_inputs(
                lambda x: x.contiguous(memory_format=layout) if _is_image(x) else x
            )

    def _takes_layout(self) -> bool:
        """Whether the model runs with channels innermost: ``view`` flattens no image that lies so.

        Not in inference mode: nothing that the model keeps from this call could be trained on.
        """
        if not self._has_images():
            return True
        try:
            with self._torch.no_grad(), self._autocast():
                self.model(*self.inputs[0])
        except RuntimeError as error:
            return "view" not in str(error)
        return True

    def _to_place(self, dtype: torch.dtype | None) -> None:
        """Everything as a query computes with it, and memory for what it writes (decision 66)."""
        if dtype is not None:
            self.model.to(dtype)
            self._narrow_inputs(dtype)
        reserve = getattr(self.model, "reserve", None)
        if reserve is not None:
            reserve(*self.inputs[0])

    def _narrow_inputs(self, dtype: torch.dtype) -> None:
        self._replace_inputs(lambda x: x.to(dtype) if x.is_floating_point() else x)

    def _replace_inputs(self, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """One buffer after the other, so that no more than one lies there twice."""
        for i, buffer in enumerate(self.inputs):
            self.inputs[i] = tuple(change(x) for x in buffer)

    def _to_narrow(self, case: Case) -> None:
        """In inference in 16 bits: weights that autocast would round in every query, rounded once.

        Inputs lie on the device as the first product takes them, unless they come anew from the host.
        """
        dtype = self._autocast_dtype
        if dtype is None or case.mode is Mode.TRAINING:
            return
        narrow(self._torch, self.model, dtype)
        if case.data_mode is DataMode.SYNTHETIC:
            self._narrow_inputs(dtype)

    def _prepare_training(self, settings: Any, precision: Precision) -> None:  # noqa: ANN401
        torch = self._torch
        self._trained = [p for p in self.model.parameters() if p.requires_grad]
        # The fused kernels refuse the sparse gradients of large tables.
        sparse = any(getattr(module, "sparse", False) for module in self.model.modules())
        fused = True if self._tuned and not sparse else None
        if settings["name"] == "adam":
            self._optimizer: Any = torch.optim.Adam(
                self._trained,
                lr=settings["learning_rate"],
                betas=(settings["beta_1"], settings["beta_2"]),
                eps=settings["epsilon"],
                fused=fused,
            )
        else:
            self._optimizer = torch.optim.SGD(
                self._trained,
                lr=settings["learning_rate"],
                momentum=settings["momentum"],
                fused=fused,
            )
        self._clip_norm: float | None = settings.get("clip_norm")
        # fp16 gradients underflow without it; for all else it is a no-op that is left out.
        scaled = precision is Precision.FP16
        self._scaler = torch.amp.GradScaler(self._device.type) if scaled else None

    def _facts(self, request: SubjectRequest) -> dict[str, Fact]:
        torch = self._torch
        parameters = list(self.model.parameters())
        held = max(parameters, key=lambda p: p.numel()).dtype if parameters else torch.float32
        return {
            "parameters": n_parameters(self.model, request),
            "threads": torch.get_num_threads(),
            "framework_version": torch.__version__,
            "parameter_dtype": str(held).removeprefix("torch."),
            "compute_dtype": str(self._product_dtype(held)).removeprefix("torch."),
            "compiled": False,
            "frozen_weights": self._freezes(request.case),
            "channels_last": self._layout is torch.channels_last and self._has_images(),
            "compile_mode": compile_mode(request.case)
            if self._tuned
            else Absent(reason="nothing is compiled in base"),
            "input_shape": _subject.shapes(self.inputs[0]),
            "device": torch.cuda.get_device_name(0) if self._cuda else "cpu",
        }

    def _product_dtype(self, held: torch.dtype) -> torch.dtype:
        """The number format of a product, as a step would make it, of what the model holds."""
        torch = self._torch
        if held not in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
            return self._autocast_dtype or held
        one = torch.ones(1, 1, dtype=held, device=self._device)
        with self._autocast():
            return (one @ one).dtype

    # --- running ----------------------------------------------------------------------------

    def step(self, buffer: int) -> object:
        """One training step; the loss before its update, still on the device."""
        with translated(self._torch):
            self._optimizer.zero_grad(set_to_none=True)
            with self._autocast():
                outputs = self._forward(*self.inputs[buffer])
                loss = self._loss(outputs, *self.targets[buffer])
            if self._scaler is None:
                loss.backward()
                self._clip()
                self._optimizer.step()
            else:
                self._scaler.scale(loss).backward()
                if self._clip_norm is not None:
                    # Without a norm to measure, the optimiser divides by the scale itself.
                    self._scaler.unscale_(self._optimizer)
                    self._clip()
                self._scaler.step(self._optimizer)
                self._scaler.update()
            return loss.detach()

    def _clip(self) -> None:
        if self._clip_norm is not None:
            self._torch.nn.utils.clip_grad_norm_(self._trained, self._clip_norm)

    def query(self, buffer: int) -> object:
        """One inference; its outputs, still on the device."""
        with translated(self._torch), self._torch.inference_mode(), self._autocast():
            return _subject.first(self._forward(*self.inputs[buffer]))

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self._autocast_dtype is None:
            return contextlib.nullcontext()
        return self._torch.autocast(self._device.type, dtype=self._autocast_dtype)  # type: ignore[no-any-return]

    def loss(self, buffer: int) -> float:
        """The loss of a buffer in training mode, without a step: for references."""
        with self._torch.no_grad(), self._autocast():
            outputs = self.model(*self.inputs[buffer])
            return float(self._loss(outputs, *self.targets[buffer]))

    def fetch(self, handle: object) -> np.ndarray[Any, Any]:
        """Outputs (batch first) or a loss, on the host as float32.

        It is a copy, since the next query may write where this one did.
        """
        with translated(self._torch):
            tensor: Any = handle
            copied = tensor.detach().to("cpu", self._torch.float32, copy=True)
            return copied.numpy()  # type: ignore[no-any-return]

    def read_inputs(self, buffer: int) -> tuple[np.ndarray[Any, Any], ...]:
        """A buffer's inputs as they lie on the device, which may have no room for another copy."""
        with translated(self._torch):
            copied = [x.cpu() for x in self.inputs[buffer]]
        found = (x.float() if x.is_floating_point() else x for x in copied)
        return tuple(x.contiguous().numpy() for x in found)

    def places(self, handle: object) -> frozenset[str]:
        """Of parameters, statistics, inputs and the result."""
        kept = [*self.model.parameters(), *self.model.buffers()]
        return places(*kept, *(x for buffer in self.inputs for x in buffer), handle)

    def close(self) -> None:
        """The process ends next; freeing first lets a profiler see it."""
        self.inputs, self.targets = [], []
        if self._cuda:
            self._torch.cuda.empty_cache()
