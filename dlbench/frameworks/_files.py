"""Real files for the pipeline data mode: made once from a seed, decoded and augmented sample by sample.

Pictures are JPEGs of 500 x 375 pixels, as large in bytes as ImageNet's; sounds are WAVs of 10 s,
16 kHz, mono. There are few of them, so that the page cache holds them: what is measured is decoding and
augmenting, not a disk.
"""

from __future__ import annotations

import os
import tempfile
import wave
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlbench.core import pip
from dlbench.core.errors import UnsupportedError
from dlbench.core.protocols import SubjectRequest
from dlbench.core.types import DataMode, Mode

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

INSTALL = "pip install 'dlbench[data]'"

VERSION = 1
"""Part of the folder's name; raised when the files change."""

SEED = 20_26
N_FILES = {"jpeg": 128, "wav": 32}

WIDTH, HEIGHT, QUALITY = 500, 375, 90
"""ImageNet's median picture, and a quality that gives its 110 kB."""

RATE_HZ, SECONDS = 16_000, 10.1

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's colours: what every example of training on it normalises by."""

CROP_AREA, CROP_RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
"""Inception's random crop (Szegedy et al. 2014), as in He et al. and after."""

CENTRE = 0.875
"""Share of a side that inference looks at."""

BATCHES_AHEAD = 2
"""Decoded while one is computed."""


def paths(kind: str) -> list[Path]:
    """The files of a kind, made if they are not there."""
    folder = _cache() / f"{kind}-{VERSION}"
    if not folder.is_dir():
        # Made beside and renamed: another process may be making them too.
        made = _room_beside(folder, kind)
        for i in range(N_FILES[kind]):
            _make(kind, made / f"{i:04}.{kind}", i)
        try:
            made.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    return sorted(folder.glob(f"*.{kind}"))


def _cache() -> Path:
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:
        raise UnsupportedError("there is no home folder to keep files in", CACHE_HOME) from error
    return Path(base) / "dlbench"


def _room_beside(folder: Path, kind: str) -> Path:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=folder.parent))
    except OSError as error:
        reason = f"{folder.parent} cannot be written: {error.strerror}"
        raise UnsupportedError(reason, CACHE_HOME) from error


CACHE_HOME = "Set XDG_CACHE_HOME to a folder that can be written."


def _make(kind: str, path: Path, i: int) -> None:
    import numpy as np

    generator = np.random.default_rng([SEED, i])
    if kind == "wav":
        _make_sound(path, generator)
    else:
        _make_picture(path, generator)


def _make_picture(path: Path, generator: Any) -> None:  # noqa: ANN401
    """Blurred colours at three scales, and a little grain: as hard to code as a photograph."""
    import numpy as np

    image = _pillow()
    total = np.zeros((HEIGHT, WIDTH, 3), dtype=np.float32)
    for width, height, weight in ((8, 6, 0.5), (40, 30, 0.3), (160, 120, 0.2)):
        small = generator.integers(0, 256, size=(height, width, 3), dtype=np.uint8)
        large = image.fromarray(small).resize((WIDTH, HEIGHT), image.Resampling.BICUBIC)
        total += weight * np.asarray(large, dtype=np.float32)
    total += generator.normal(0, GRAIN, size=total.shape)
    image.fromarray(total.clip(0, 255).astype(np.uint8)).save(path, "JPEG", quality=QUALITY)


GRAIN = 20.0
"""Standard deviation of the noise, of 256 levels; it decides the size of the file."""


def _make_sound(path: Path, generator: Any) -> None:  # noqa: ANN401
    """Five gliding tones in noise."""
    import numpy as np

    t_s = np.arange(int(RATE_HZ * SECONDS)) / RATE_HZ
    total = generator.normal(0, 0.05, size=t_s.size)
    for _ in range(5):
        from_hz, slope = generator.uniform(100, 3000), generator.uniform(-100, 100)
        total += 0.1 * np.sin(2 * np.pi * (from_hz * t_s + slope * t_s**2 / 2))
    samples = (total.clip(-1, 1) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples.tobytes())


def _pillow() -> Any:  # noqa: ANN401 - the module
    with pip.importing("Pillow", INSTALL):
        from PIL import Image
    return Image


# --- decoding -------------------------------------------------------------------------------


class Files:
    """A data set of as many samples as anybody asks for: sample i is of file i modulo their number.

    ``shape`` is a sample's, in canonical layout, which is that of samples unless ``channels_last``. It
    can be sent to another process.
    """

    def __init__(
        self,
        kind: str,
        shape: Sequence[int],
        *,
        training: bool,
        seed: int,
        channels_last: bool = False,
    ) -> None:
        self.kind, self.shape = kind, tuple(shape)
        self.training, self.seed, self.channels_last = training, seed, channels_last
        self.paths = [str(path) for path in paths(kind)]

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, i: int) -> Array:
        """Sample i, float32: decoders put channels last, canonical layout puts them first."""
        import numpy as np

        path = self.paths[i % len(self.paths)]
        if self.kind == "wav":
            decoded = spectrogram(path, self.shape)
        else:
            generator = np.random.default_rng([self.seed, i])
            decoded = picture(path, self.shape, generator, self.training)
        return np.ascontiguousarray(decoded if self.channels_last else decoded.transpose(2, 0, 1))


def picture(path: str, shape: Sequence[int], generator: Any, training: bool) -> Array:  # noqa: ANN401
    """A picture as (H, W, 3): a random crop and flip in training, else the centre; normalised."""
    import numpy as np

    image = _pillow()
    _, height, width = shape
    with image.open(path) as opened:
        whole = opened.convert("RGB")
    box = random_box(whole.size, generator) if training else centre_box(whole.size)
    resized = whole.resize((width, height), image.Resampling.BILINEAR, box=box)
    pixels = np.asarray(resized, dtype=np.float32)
    if training and generator.random() < 0.5:  # noqa: PLR2004 - a coin
        pixels = pixels[:, ::-1]
    mean, deviation = (np.array(x, dtype=np.float32) for x in (MEAN, DEVIATION))
    return (pixels / 255 - mean) / deviation


def random_box(size: tuple[int, int], generator: Any) -> tuple[float, float, float, float]:  # noqa: ANN401
    """Left, top, right, bottom of a crop of random area and ratio."""
    import math

    width, height = size
    area = width * height * generator.uniform(*CROP_AREA)
    ratio = math.exp(generator.uniform(*map(math.log, CROP_RATIO)))
    w, h = min(width, math.sqrt(area * ratio)), min(height, math.sqrt(area / ratio))
    left, top = generator.uniform(0, width - w), generator.uniform(0, height - h)
    return left, top, left + w, top + h


def centre_box(size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the middle."""
    width, height = size
    left, top = width * (1 - CENTRE) / 2, height * (1 - CENTRE) / 2
    return left, top, width - left, height - top


def spectrogram(path: str, shape: Sequence[int]) -> Array:
    """A sound as (bins, frames, 1): log magnitudes of Hann windows that overlap by half."""
    import numpy as np

    _, n_bins, n_frames = shape
    with wave.open(path, "rb") as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2") / np.float32(32768)
    window, hop = 2 * (n_bins - 1), n_bins - 1
    cut = np.lib.stride_tricks.sliding_window_view(samples, window)[::hop][:n_frames]
    hann = np.hanning(window + 1)[:-1].astype(np.float32)
    magnitudes = np.abs(np.fft.rfft(cut * hann, axis=1))
    return np.log1p(magnitudes).astype(np.float32).T[:, :, None]


def makes(kind: str, shape: Sequence[int]) -> bool:
    """Whether the files of a kind can be decoded into samples of that shape."""
    if len(shape) != 3:  # noqa: PLR2004 - C, H, W
        return False
    channels, n_bins, n_frames = shape
    if kind == "jpeg":
        return channels == len(MEAN)
    hop = n_bins - 1
    return channels == 1 and hop > 0 and (n_frames + 1) * hop <= int(RATE_HZ * SECONDS)


# --- where refills come from ----------------------------------------------------------------


def files_of(
    spec: Mapping[str, Any], *, training: bool, seed: int, channels_last: bool = False
) -> Files:
    """The data set of a workload whose only input is decoded from files."""
    (table,) = spec["inputs"].values()
    kind, shape = spec["files"], table["shape"]
    return Files(kind, shape, training=training, seed=seed, channels_last=channels_last)


class Feed:
    """Refills for adapters that take arrays: the seeded batches, or a plain loader's.

    They are in canonical layout, or in Keras's (``for_keras``); nothing is laid out while a step waits.
    """

    def __init__(self, request: SubjectRequest, *, for_keras: bool = False) -> None:
        from dlbench.frameworks import _keras, _seeded

        case = request.case
        self.facts: dict[str, int] = {}
        if case.data_mode is DataMode.HOST:
            batches_on_host = (
                _seeded.batch(request.spec, "inputs", i, case.batch_size)
                for i in range(_seeded.N_BUFFERS)
            )
            self._host = [
                tuple(_keras.to_keras(a, request.spec) for a in batch) if for_keras else batch
                for batch in batches_on_host
            ]
        elif case.data_mode is DataMode.PIPELINE:
            training = case.mode is Mode.TRAINING
            files = files_of(
                request.spec, training=training, seed=request.seed, channels_last=for_keras
            )
            self._loader = batches(files, case.batch_size, request.threads)
            self.facts = {"batches_ahead": n_ahead(case.batch_size, request.threads)}

    def batch(self, buffer: int) -> tuple[Array, ...]:
        """What goes to that buffer."""
        from dlbench.frameworks import _seeded

        if buffer < _seeded.N_BUFFERS:
            return self._host[buffer]
        return (next(self._loader),)


def n_ahead(batch_size: int, threads: int) -> int:
    """Batches that ``batches`` makes before they are asked for: of small ones all threads' work."""
    return max(BATCHES_AHEAD, -(-threads // batch_size))


def batches(files: Files, batch_size: int, threads: int) -> Iterator[Array]:
    """Endless batches, decoded by threads while others are computed.

    For frameworks without a loader of their own: decoders release the interpreter's lock.
    """
    decoders = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    # By a thread of its own: to put a batch together takes as long as a GPU's step, which waits for it.
    stacker = ThreadPoolExecutor(1, thread_name_prefix="stack")
    n_more = n_ahead(batch_size, threads)
    with decoders, stacker:
        ahead: list[Future[Array]] = []
        start = 0
        while True:
            while len(ahead) <= n_more:
                indices = range(start, start + batch_size)
                samples = [decoders.submit(files.__getitem__, i) for i in indices]
                ahead.append(stacker.submit(_stacked, samples))
                start += batch_size
            yield ahead.pop(0).result()


def _stacked(samples: Sequence[Future[Array]]) -> Array:
    import numpy as np

    return np.stack([sample.result() for sample in samples])


def torch_loader(torch: Any, files: Files, batch_size: int, threads: int, *, pin: bool) -> Any:  # noqa: ANN401
    """PyTorch's DataLoader, with a process a CPU thread; endless in practice."""
    loader = torch.utils.data.DataLoader(
        files,
        batch_size=batch_size,
        num_workers=threads,
        prefetch_factor=BATCHES_AHEAD,
        pin_memory=pin,
        # A fork of a process with a framework's threads in it may hang.
        multiprocessing_context="spawn",
        collate_fn=_collate,
    )
    return iter(loader)


def loader_facts(threads: int) -> dict[str, int]:
    """What the sampler must know of ``torch_loader``: each process decodes whole batches, ahead."""
    return {"loader_processes": threads, "batches_ahead": threads * BATCHES_AHEAD}


def _collate(samples: list[Array]) -> Any:  # noqa: ANN401 - a tensor
    import numpy as np
    import torch

    return torch.from_numpy(np.stack(samples))
