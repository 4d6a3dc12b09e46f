"""Make the rates of dlbench's own documents that are shipped beside the coefficients.

    python scripts/own_rates.py results/*.json [--out dlbench/analysis/predict/measured.json]

A rate is kept where the device has a data sheet in the catalog; a test holds the file to ``results/``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dlbench import catalog
from dlbench.analysis.predict import catalog_specs, documents, harness, shipped
from dlbench.store import runs

OUT = Path(__file__).parent.parent / "dlbench" / "analysis" / "predict" / "measured.json"


def main() -> None:
    """Read, keep what has a data sheet, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("documents", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    table = catalog_specs.device_table(catalog.shipped())
    read = [runs.read_run(path) for path in sorted(options.documents)]
    rates = documents.observations(read, table)
    shipped.write_measured(rates, harness.half_widths(rates, table), options.out)
    print(f"{options.out}: {len(rates)} rates of {len({o.device for o in rates})} devices")


if __name__ == "__main__":
    main()
