"""How far dlbench's own rates fell from what was told of them: widths of its own harness.

No public table says how well models are told that a harness of a few rates never ran. So each model
that dlbench measured is left out in turn, and asked under a name that nobody knows.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dlbench.analysis.predict import calibration, host, shipped
from dlbench.analysis.predict.devices import DeviceTable
from dlbench.analysis.predict.models import SIZES
from dlbench.analysis.predict.types import Observation

STRANGER = "a model of none of the tables"


def half_widths(rates: Sequence[Observation], devices: DeviceTable) -> dict[str, float]:
    """Half-widths in standard deviations, by task and precision, of models that were never measured.

    Each model counts once, by its median. Of n models the ceil(0.9 (n + 1))th smallest miss is what
    nine of ten others stay within (split conformal); with fewer than nine there is no width.

    Args:
        rates: of dlbench's own documents.
        devices: data sheets of the devices they name.
    """
    missed: dict[str, list[float]] = defaultdict(list)
    for model in sorted({o.workload.model for o in rates} & SIZES.keys()):
        rest = [o for o in rates if o.workload.model != model]
        left = [o for o in rates if o.workload.model == model]
        for name, found in _missed(left, rest, devices).items():
            missed[name].append(float(np.median(found)))
    widths = {}
    for name, found in sorted(missed.items()):
        nth = math.ceil(calibration.LEVEL * (len(found) + 1))
        if nth <= len(found):
            widths[name] = round(sorted(found)[nth - 1], shipped.DIGITS)
    return widths


def _missed(
    left: Sequence[Observation], rest: Sequence[Observation], devices: DeviceTable
) -> dict[str, list[float]]:
    """Misses of one model's rates in standard deviations, by the name of their width."""
    fitted = shipped.estimator(rest, devices).predictor
    specs = [devices.find(o.device) for o in left]
    pairs = [
        (spec, replace(o.workload, model=STRANGER))
        for spec, o in zip(specs, left, strict=True)
        if spec is not None
    ]
    if not pairs:
        return {}
    said, asked = fitted.forecast(pairs), fitted.encoded(pairs)
    known = [o.rate for spec, o in zip(specs, left, strict=True) if spec is not None]
    found: dict[str, list[float]] = defaultdict(list)
    rows = zip(pairs, known, said.ln_rate, said.sd, calibration.tiers(said, asked), strict=True)
    for (_, workload), rate, ln_rate, sd, tier in rows:
        if tier == calibration.FOREIGN_SIZED:
            name = calibration.panel_name(workload, tier)
            _, pace, _ = host.paces(workload, ()) or (0.0, math.inf, 0.0)
            told = min(float(ln_rate), math.log(pace))
            found[name].append(abs(math.log(rate) - told) / float(sd))
    return found
