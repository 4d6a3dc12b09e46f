"""The pipeline data mode in TensorFlow's own words: tf.data reads, decodes and augments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dlbench.frameworks import _files


def batches(tf: Any, files: _files.Files, batch_size: int, threads: int) -> Iterator[Any]:  # noqa: ANN401
    """Endless batches in Keras's layout, float32."""
    decode = _spectrogram if files.kind == "wav" else _picture
    data = tf.data.Dataset.from_tensor_slices(files.paths).repeat()
    data = data.map(lambda path: decode(tf, path, files), num_parallel_calls=threads)
    data = data.batch(batch_size, drop_remainder=True).prefetch(_files.BATCHES_AHEAD)
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    return iter(data.with_options(options))


def loader_facts(batch_size: int, threads: int) -> dict[str, int]:
    """What the sampler must know of ``batches``: those fetched ahead, and what its threads decode."""
    return {"batches_ahead": _files.BATCHES_AHEAD + -(-threads // batch_size)}


def _picture(tf: Any, path: Any, files: _files.Files) -> Any:  # noqa: ANN401
    """(H, W, 3): a random crop and flip in training, else the centre; normalised."""
    _, height, width = files.shape
    encoded = tf.io.read_file(path)
    if files.training:
        begin, size, _ = tf.image.sample_distorted_bounding_box(
            tf.io.extract_jpeg_shape(encoded),
            tf.zeros((1, 0, 4)),
            area_range=_files.CROP_AREA,
            aspect_ratio_range=_files.CROP_RATIO,
            use_image_if_no_bounding_boxes=True,
            seed=files.seed + 1,
        )
        window = tf.concat([begin[:2], size[:2]], axis=0)
        # Only the crop is decoded: the way of TensorFlow's own ImageNet examples.
        pixels = tf.io.decode_and_crop_jpeg(encoded, window, channels=3)
    else:
        pixels = tf.image.central_crop(tf.io.decode_jpeg(encoded, channels=3), _files.CENTRE)
    pixels = tf.image.resize(pixels, (height, width))
    if files.training:
        pixels = tf.image.random_flip_left_right(pixels, seed=files.seed)
    return (pixels / 255.0 - tf.constant(_files.MEAN)) / tf.constant(_files.DEVIATION)


def _spectrogram(tf: Any, path: Any, files: _files.Files) -> Any:  # noqa: ANN401
    """(bins, frames, 1): log magnitudes of Hann windows that overlap by half."""
    _, n_bins, n_frames = files.shape
    samples, _ = tf.audio.decode_wav(tf.io.read_file(path), desired_channels=1)
    window, hop = 2 * (n_bins - 1), n_bins - 1
    needed = samples[: window + (n_frames - 1) * hop, 0]
    magnitudes = tf.abs(tf.signal.stft(needed, window, hop, fft_length=window))
    return tf.transpose(tf.math.log1p(magnitudes))[:, :, tf.newaxis]
