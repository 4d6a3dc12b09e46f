"""What happens beside the subject: timing, warm-up, the correctness gate, energy windows, conditions.

The public API has ``with dlbench.measure() as m:``, and Python makes a package's modules its
attributes. So this module may be called; what it does then is in ``dlbench.session.measuring``.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

from dlbench.core.linux import require_linux


class _Callable(ModuleType):
    """A module that stands for the function of its name."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        """``dlbench.session.measuring.measure``, which lies in a higher layer than this."""
        require_linux("dlbench.measure()")
        home = importlib.import_module("dlbench.session.measuring")
        return home.measure(*arguments, **options)


sys.modules[__name__].__class__ = _Callable
