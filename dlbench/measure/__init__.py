"""Measuring: warm-up, values, the correctness gate and telemetry."""
