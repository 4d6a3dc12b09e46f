"""dlbench: measure deep learning on any machine, and choose hardware from what was measured."""

__version__ = "0.1.0"
