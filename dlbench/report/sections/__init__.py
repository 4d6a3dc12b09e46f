"""One file a section: ``ORDER``, ``TITLE`` and ``html(content)``; the file name is the registration.

``html`` returns escaped markup, or None when there is nothing to say.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def all_sections() -> list[ModuleType]:
    """Every section in reading order."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__))
    found = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return sorted(found, key=lambda section: section.ORDER)
