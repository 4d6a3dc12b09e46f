"""What a user's model raised, in the words that say what is wrong."""

from __future__ import annotations

import pytest

from dlbench.core.errors import ModelError
from dlbench.frameworks import _own

KERAS = (
    "Exception encountered when calling Net.call().\n\n\x1b[1m{}\x1b[0m\n\n"
    "Arguments received by Net.call():\n  • x=tf.Tensor(shape=(4, 5), dtype=float32)"
)
NODE = (
    "{{function_node __wrapped__AddV2_device_/job:localhost/replica:0/task:0/device:CPU:0}} "
    "Incompatible shapes: [4,7] vs. [4]"
)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("one line\nand where it was", "one line"),
        ("", "no message"),
        (KERAS.format("my own words"), "my own words"),
        (KERAS.format(NODE), "Incompatible shapes: [4,7] vs. [4]"),
        (
            "Exception from src/core.cpp:117:\nCheck 'node' failed at src/node.cpp:16\nno such kind",
            "no such kind",
        ),
    ],
)
def test_the_line_that_says_what_is_wrong_is_told(said: str, told: str) -> None:
    """Keras begins with the layer that it called, and that was all there was of the sentence."""
    with pytest.raises(ModelError) as caught, _own.blamed("net.py:Net() raised"):
        raise ValueError(said)
    assert caught.value.message == f"net.py:Net() raised ValueError: {told}"
