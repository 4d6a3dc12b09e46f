"""The processes that frameworks are asked in: one question must not answer for the next."""

import pytest

from tests import subjects

KERAS = ("tensorflow", "jax", "keras")


def left_in_half(framework: str) -> str:
    """Runs beside: the policy that is left, as a test that failed midway may leave it."""
    import keras

    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    return found(framework)


def found(framework: str) -> str:
    """Runs beside: the policy that a question finds."""
    import keras

    return str(keras.mixed_precision.dtype_policy().name)


def test_a_question_finds_no_other_ones_precision() -> None:
    """What one left behind is gone."""
    here = [name for name in KERAS if name in subjects.installed()]
    if not here:
        pytest.skip("no framework that Keras runs on is installed")
    assert subjects.ask(here[0], left_in_half) == "mixed_bfloat16"
    assert subjects.ask(here[0], found) == "float32"
