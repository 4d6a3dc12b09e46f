"""The lines that repair a framework name packages that pip can find."""

from __future__ import annotations

from dlbench.core import pip


def test_what_is_broken_is_replaced_by_the_names_of_what_is_here() -> None:
    """The extra alone would change nothing, and of two builds of one package only one is here."""
    told = pip.anew("pip install 'dlbench[onnx]'", ("numpy", "numpy-gpu", "msgspec"))
    assert told == ("pip install 'dlbench[onnx]', then pip install --force-reinstall numpy msgspec")


def test_where_none_is_known_to_be_here_all_are_named() -> None:
    """Its metadata may be what is broken, or it runs in another environment."""
    told = pip.anew("pip install 'dlbench[x]'", ("no-such-package",))
    assert told.endswith("--force-reinstall no-such-package")
