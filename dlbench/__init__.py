"""dlbench: measure deep learning on any machine, and choose hardware from what was measured.

The public API; everything else may change. Names are imported on first use, so that importing the
package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlbench.core.types import Case, Plan, Run
    from dlbench.session import run_plan
    from dlbench.session.measuring import measure
    from dlbench.store.runs import load_runs

__version__ = "0.1.0"

__all__ = ["Case", "Plan", "Run", "__version__", "load_runs", "measure", "run_plan"]

_HOMES = {
    "Case": "dlbench.core.types",
    "Plan": "dlbench.core.types",
    "Run": "dlbench.core.types",
    "load_runs": "dlbench.store.runs",
    "run_plan": "dlbench.session",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attribute may be anything
    """Import a public name from its home."""
    if name not in {*_HOMES, "measure"}:
        raise AttributeError(f"module 'dlbench' has no attribute {name!r}")
    import importlib

    if name == "measure":
        # A module that may be called: see there.
        return importlib.import_module("dlbench.measure")
    return getattr(importlib.import_module(_HOMES[name]), name)
