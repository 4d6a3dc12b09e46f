"""Layers of Keras in the form in which XLA is fast on a CPU: what an expert writes in JAX by hand.

XLA has no fast convolution of channels apart on a CPU, is slow in the gradients of other convolutions'
kernels, and trains a loop by adding to the gradient of its weights in every step. Sums of shifted
products, one product for a layer, and one for all steps are the same arithmetic in another order
(docs/decisions/0057).
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from jax import numpy as jnp

Tensor = Any
"""A JAX array or what stands for one while a function is traced."""

State = tuple[Tensor, ...]
"""What a recurrent layer carries from step to step; its output comes first."""

Pads = tuple[tuple[int, int], tuple[int, int]]
"""Zeros before and after the rows, and the columns, of an image."""

Update = Callable[[Tensor, Tensor, State], State]
"""The next state from a step's projected input, the projected output before it, and the state."""

LEAST_ROWS = 64
"""Of an output, for its kernel's gradient to be summed over blocks of rows where the stride is 1."""
LEAST_CHANNELS = 16
"""Of an input, for the same: with fewer a tap's product has nothing to do for what it reads."""
MOST_TAPS = 25
"""Of a kernel, for the same: each is a product of its own in the program."""
BLOCK_ROWS = 8
"""Rows of a block: what all taps read of it stays in the cache."""


def adopt(keras: Any, model: Any, *, training: bool) -> str:  # noqa: ANN401 - the module, a keras.Model
    """Give the model's layers these forms where they fit; how many of which kind, for people.

    Recurrent layers, and convolutions of more than one pixel, have theirs in training only: what it
    saves is in the gradient. Weights stay where they are. A layer whose settings are not covered keeps
    Keras's own form.
    """
    adopted: Counter[str] = Counter()
    recurrent_kinds = (keras.layers.LSTM, keras.layers.GRU) if training else ()
    for layer in model._flatten_layers():  # noqa: SLF001 - Keras has no public way to all of them
        kind = type(layer)
        if kind is keras.layers.DepthwiseConv2D and _is_plain_depthwise(layer):
            layer.call = functools.partial(_depthwise_layer, keras, layer)
        elif kind is keras.layers.Conv2D and _is_plain_convolution(layer, training=training):
            layer.call = functools.partial(_convolution_layer, keras, layer)
        elif kind is keras.layers.Conv2DTranspose and _is_plain_transposed(layer):
            layer.call = functools.partial(_transposed_layer, keras, layer)
        elif kind in recurrent_kinds and _is_plain_recurrent(keras, layer):
            layer.inner_loop = functools.partial(_recurrent_layer, keras, layer, layer.inner_loop)
        else:
            continue
        adopted[kind.__name__] += 1
    return ", ".join(f"{n} {kind}" for kind, n in sorted(adopted.items())) or "none"


def _finished(keras: Any, layer: Any, outputs: Tensor) -> Tensor:  # noqa: ANN401
    """A convolution's outputs with the layer's bias and activation."""
    if layer.use_bias:
        outputs = outputs + keras.ops.convert_to_tensor(layer.bias)
    return outputs if layer.activation is None else layer.activation(outputs)


# --- convolutions of channels apart ---------------------------------------------------------


def _is_plain_depthwise(layer: Any) -> bool:  # noqa: ANN401
    apart = layer.depth_multiplier == 1 and layer.data_format == "channels_last"
    return apart and set(layer.dilation_rate) == {1} and len(set(layer.strides)) == 1


def _depthwise_layer(keras: Any, layer: Any, inputs: Tensor) -> Tensor:  # noqa: ANN401
    kernel = keras.ops.convert_to_tensor(layer.kernel)[..., 0]
    stride = layer.strides[0]
    pads = lax.padtype_to_pads(
        inputs.shape[1:3], kernel.shape[:2], (stride, stride), layer.padding.upper()
    )
    padded = jnp.pad(inputs, ((0, 0), *pads, (0, 0)))
    return _finished(keras, layer, depthwise(padded, kernel, stride))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def depthwise(inputs: Tensor, kernel: Tensor, stride: int) -> Tensor:
    """Each channel convolved by itself, without padding: a sum of shifted products, which XLA fuses.

    Args:
        inputs: (N, H, W, C).
        kernel: (height, width, C).
        stride: in both directions.

    Returns:
        (N, H', W', C); in 16 bits too the sum is one of float32.
    """
    taps = [x * kernel[i, j].astype(x.dtype) for (i, j), x in _shifted(inputs, kernel, stride)]
    return functools.reduce(jnp.add, taps).astype(inputs.dtype)


def _shifted(inputs: Tensor, kernel: Tensor, stride: int) -> list[tuple[tuple[int, int], Tensor]]:
    """What each tap of a kernel sees of (..., H, W, C), as float32."""
    height, width = kernel.shape[:2]
    *outer, n_rows, n_columns, n_channels = inputs.shape
    strides = (*(1 for _ in outer), stride, stride, 1)
    last_row, last_column = (n_rows - height) // stride, (n_columns - width) // stride
    return [
        (
            (i, j),
            lax.slice(
                inputs,
                (*(0 for _ in outer), i, j, 0),
                (*outer, i + stride * last_row + 1, j + stride * last_column + 1, n_channels),
                strides,
            ).astype(jnp.float32),
        )
        for i in range(height)
        for j in range(width)
    ]


def _depthwise_forward(inputs: Tensor, kernel: Tensor, stride: int) -> tuple[Tensor, Any]:
    return depthwise(inputs, kernel, stride), (inputs, kernel)


def _depthwise_backward(stride: int, saved: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401
    inputs, kernel = saved
    height, width = kernel.shape[:2]
    pads = [(0, 0, 0)]
    for size, n, taps in zip(inputs.shape[1:3], gradient.shape[1:3], (height, width), strict=True):
        reached = stride * (n - 1) + 1
        pads.append((taps - 1, size - reached, stride - 1))
    spread = lax.pad(gradient, jnp.zeros((), gradient.dtype), [*pads, (0, 0, 0)])
    of_inputs = depthwise(spread, kernel[::-1, ::-1], 1)

    # Sample by sample: all taps of a sample read it while it is in the cache.
    def add(sums: Tensor, sample: tuple[Tensor, Tensor]) -> tuple[Tensor, None]:
        given, wanted = sample
        products = [x * wanted.astype(jnp.float32) for _, x in _shifted(given, kernel, stride)]
        return tuple(s + p.sum((0, 1)) for s, p in zip(sums, products, strict=True)), None

    zeros = tuple(jnp.zeros(kernel.shape[2], jnp.float32) for _ in range(height * width))
    sums, _ = lax.scan(add, zeros, (inputs, gradient))
    return of_inputs, jnp.stack(sums).reshape(kernel.shape).astype(kernel.dtype)


depthwise.defvjp(_depthwise_forward, _depthwise_backward)


# --- convolutions ---------------------------------------------------------------------------


def _is_plain_convolution(layer: Any, *, training: bool) -> bool:  # noqa: ANN401
    """Whether it is a product of pixels, or its kernel's gradient is better summed over blocks."""
    if layer.groups != 1 or layer.data_format != "channels_last" or set(layer.dilation_rate) != {1}:
        return False
    taps = math.prod(layer.kernel_size)
    if taps == 1:
        return True
    wide = layer.kernel.shape[2] >= LEAST_CHANNELS and taps <= MOST_TAPS
    # A window as large as its stride cuts patches beside each other, which XLA trains well.
    return training and wide and tuple(layer.strides) != tuple(layer.kernel_size)


def _convolution_layer(keras: Any, layer: Any, inputs: Tensor) -> Tensor:  # noqa: ANN401
    kernel = keras.ops.convert_to_tensor(layer.kernel)
    strides = tuple(layer.strides)
    if math.prod(layer.kernel_size) == 1:
        return _finished(keras, layer, pixelwise(inputs, kernel[0, 0], strides))
    first, second = lax.padtype_to_pads(
        inputs.shape[1:3], kernel.shape[:2], strides, layer.padding.upper()
    )
    return _finished(keras, layer, convolution(inputs, kernel, strides, (first, second)))


def pixelwise(inputs: Tensor, kernel: Tensor, strides: tuple[int, int]) -> Tensor:
    """A convolution of one pixel: one product, in forward and both gradients.

    Args:
        inputs: (N, H, W, C).
        kernel: (C, C').
        strides: between rows and columns that are read.

    Returns:
        (N, H', W', C').
    """
    read = inputs[:, :: strides[0], :: strides[1]]
    # As a product of two matrices: of more axes XLA makes slower programs for the gradients.
    return (read.reshape(-1, kernel.shape[0]) @ kernel).reshape(*read.shape[:3], -1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolution(inputs: Tensor, kernel: Tensor, strides: tuple[int, int], pads: Pads) -> Tensor:
    """XLA's convolution, whose kernel's gradient is summed over blocks of rows where that is faster.

    Args:
        inputs: (N, H, W, C).
        kernel: (height, width, C, C').
        strides: of rows and columns.
        pads: zeros around the image.

    Returns:
        (N, H', W', C').
    """
    return _of_xla(inputs, kernel, strides, pads)


def _of_xla(inputs: Tensor, kernel: Tensor, strides: tuple[int, int], pads: Pads) -> Tensor:
    layouts = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(inputs, kernel, strides, pads, dimension_numbers=layouts)


def _convolution_forward(
    inputs: Tensor, kernel: Tensor, strides: tuple[int, int], pads: Pads
) -> tuple[Tensor, Any]:
    return _of_xla(inputs, kernel, strides, pads), (inputs, kernel)


def _convolution_backward(
    strides: tuple[int, int],
    pads: Pads,
    saved: Any,  # noqa: ANN401
    gradient: Tensor,
) -> tuple[Tensor, Tensor]:
    inputs, kernel = saved
    # What is not used of the two is left out by XLA.
    _, pull = jax.vjp(lambda x, k: _of_xla(x, k, strides, pads), inputs, kernel)
    of_inputs, of_kernel = pull(gradient)
    if gradient.shape[1] >= LEAST_ROWS or max(strides) > 1:
        of_kernel = _of_kernel(inputs, kernel, gradient, strides, pads)
    return of_inputs, of_kernel


def _of_kernel(
    inputs: Tensor, kernel: Tensor, gradient: Tensor, strides: tuple[int, int], pads: Pads
) -> Tensor:
    """The kernel's gradient: a product for each tap, of a block of rows at a time."""
    height, width, channels, _ = kernel.shape
    n, n_rows, n_columns, n_outputs = gradient.shape
    n_blocks = math.ceil(n_rows / BLOCK_ROWS)
    # The last block is filled up: nothing is wanted of the rows beyond, whatever they see.
    wanted = jnp.pad(gradient, ((0, 0), (0, n_blocks * BLOCK_ROWS - n_rows), (0, 0), (0, 0)))
    seen = (BLOCK_ROWS - 1) * strides[0] + height
    beyond = (n_blocks - 1) * BLOCK_ROWS * strides[0] + seen - inputs.shape[1] - sum(pads[0])
    rows = (pads[0][0], pads[0][1] + max(0, beyond))
    padded = jnp.pad(inputs, ((0, 0), rows, pads[1], (0, 0)))

    def add(total: Tensor, block: Tensor) -> tuple[Tensor, None]:
        row = block * BLOCK_ROWS
        given = lax.dynamic_slice_in_dim(padded, row * strides[0], seen, 1)
        answer = lax.dynamic_slice_in_dim(wanted, row, BLOCK_ROWS, 1).reshape(-1, n_outputs)
        taps = [
            lax.slice(
                given,
                (0, i, j, 0),
                (n, i + seen - height + 1, j + strides[1] * (n_columns - 1) + 1, channels),
                (1, *strides, 1),
            ).reshape(-1, channels)
            for i in range(height)
            for j in range(width)
        ]
        products = [
            lax.dot_general(x, answer, (((0,), (0,)), ((), ())), preferred_element_type=jnp.float32)
            for x in taps
        ]
        return total + jnp.stack(products), None

    zeros = jnp.zeros((height * width, channels, n_outputs), jnp.float32)
    total, _ = lax.scan(add, zeros, jnp.arange(n_blocks))
    return total.reshape(kernel.shape).astype(kernel.dtype)


convolution.defvjp(_convolution_forward, _convolution_backward)


# --- transposed convolutions ----------------------------------------------------------------


def _is_plain_transposed(layer: Any) -> bool:  # noqa: ANN401
    """Whether each input pixel makes a block of outputs of its own."""
    apart = tuple(layer.strides) == tuple(layer.kernel_size) and layer.output_padding is None
    return apart and layer.data_format == "channels_last" and set(layer.dilation_rate) == {1}


def _transposed_layer(keras: Any, layer: Any, inputs: Tensor) -> Tensor:  # noqa: ANN401
    return _finished(keras, layer, transposed(inputs, keras.ops.convert_to_tensor(layer.kernel)))


def transposed(inputs: Tensor, kernel: Tensor) -> Tensor:
    """A transposed convolution whose stride is its kernel: one product, in forward and both gradients.

    Args:
        inputs: (N, H, W, C).
        kernel: (height, width, C', C).

    Returns:
        (N, H * height, W * width, C').
    """
    n, rows, columns, _ = inputs.shape
    height, width, channels, _ = kernel.shape
    blocks = jnp.tensordot(inputs, kernel, ((3,), (3,)))
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(n, rows * height, columns * width, channels)


# --- recurrent layers -----------------------------------------------------------------------


def _is_plain_recurrent(keras: Any, layer: Any) -> bool:  # noqa: ANN401
    functions = (layer.activation, layer.recurrent_activation)
    usual = functions == (keras.activations.tanh, keras.activations.sigmoid)
    drops = layer.dropout or layer.recurrent_dropout
    return usual and not (drops or layer.unroll) and getattr(layer, "reset_after", True)


def _recurrent_layer(
    keras: Any,  # noqa: ANN401
    layer: Any,  # noqa: ANN401
    otherwise: Callable[..., Any],
    sequences: Tensor,
    initial_state: Any,  # noqa: ANN401
    mask: Tensor | None = None,
    training: bool = False,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """What Keras's ``inner_loop`` answers: the last output, all of them, and the last state."""
    if any(part is not None for part in jax.tree.leaves(mask)):
        answer: tuple[Tensor, Tensor, list[Tensor]] = otherwise(
            sequences, initial_state, mask=mask, training=training
        )
        return answer
    steps = jnp.swapaxes(sequences, 0, 1)
    steps = jnp.flip(steps, 0) if layer.go_backwards else steps
    projected = steps @ keras.ops.convert_to_tensor(layer.cell.kernel)
    kernel = keras.ops.convert_to_tensor(layer.cell.recurrent_kernel)
    bias = jnp.zeros(kernel.shape[1:], kernel.dtype)
    gru = isinstance(layer, keras.layers.GRU)
    if layer.use_bias and gru:
        first, bias = keras.ops.convert_to_tensor(layer.cell.bias)
        projected = projected + first
    elif layer.use_bias:
        bias = keras.ops.convert_to_tensor(layer.cell.bias)
    update = _gru if gru else _lstm
    outputs, last = recurrent(update, projected, kernel, bias, tuple(initial_state))
    return last[0], jnp.swapaxes(outputs, 0, 1), list(last)


def _lstm(given: Tensor, carried: Tensor, state: State) -> State:
    """Gates are input, forget, cell, output."""
    first, forget, cell, last = jnp.split(given + carried, 4, axis=-1)
    kept = jax.nn.sigmoid(forget) * state[1] + jax.nn.sigmoid(first) * jnp.tanh(cell)
    return jax.nn.sigmoid(last) * jnp.tanh(kept), kept


def _gru(given: Tensor, carried: Tensor, state: State) -> State:
    """Gates are update, reset, new; the reset gate acts on the product."""
    update, reset, new = zip(
        jnp.split(given, 3, axis=-1), jnp.split(carried, 3, axis=-1), strict=True
    )
    keep = jax.nn.sigmoid(sum(update))
    fresh = jnp.tanh(new[0] + jax.nn.sigmoid(sum(reset)) * new[1])
    return (keep * state[0] + (1 - keep) * fresh,)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def recurrent(
    update: Update, projected: Tensor, kernel: Tensor, bias: Tensor, state: State
) -> tuple[Tensor, State]:
    """All outputs and the last state of a recurrent layer whose inputs are projected already.

    Its gradient keeps what each step's product gives, and makes the weights' gradient of all steps in
    one product: a loop that adds to it reads and writes a matrix as large as the weights in each step.

    Args:
        update: the layer's arithmetic between its products.
        projected: (T, N, gates).
        kernel: (units, gates), of the output before.
        bias: (gates,), added to that product.
        state: each (N, units).

    Returns:
        (T, N, units), and the state.
    """

    def step(state: State, given: Tensor) -> tuple[State, Tensor]:
        state = update(given, state[0] @ kernel + bias, state)
        return state, state[0]

    last, outputs = lax.scan(step, state, projected)
    return outputs, last


def _recurrent_forward(
    update: Update, projected: Tensor, kernel: Tensor, bias: Tensor, state: State
) -> tuple[tuple[Tensor, State], Any]:
    def step(state: State, given: Tensor) -> tuple[State, tuple[Tensor, Tensor, State]]:
        carried = state[0] @ kernel + bias
        new = update(given, carried, state)
        return new, (new[0], carried, state)

    last, (outputs, carried, states) = lax.scan(step, state, projected)
    return (outputs, last), (projected, kernel, carried, states)


def _recurrent_backward(update: Update, saved: Any, gradients: Any) -> Any:  # noqa: ANN401
    projected, kernel, carried, states = saved
    of_outputs, of_last = gradients

    def step(later: State, at: Any) -> tuple[State, tuple[Tensor, Tensor]]:  # noqa: ANN401
        of_output, given, product, state = at
        _, pulled = jax.vjp(update, given, product, state)
        of_given, of_product, of_state = pulled((later[0] + of_output, *later[1:]))
        return (of_state[0] + of_product @ kernel.T, *of_state[1:]), (of_given, of_product)

    through = (of_outputs, projected, carried, states)
    of_first, (of_projected, of_products) = lax.scan(step, of_last, through, reverse=True)
    of_kernel = jnp.einsum("tnh,tng->hg", states[0], of_products)
    return of_projected, of_kernel, of_products.sum((0, 1)), of_first


recurrent.defvjp(_recurrent_forward, _recurrent_backward)
