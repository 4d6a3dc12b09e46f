"""Make the coefficients that are shipped, from a folder of public tables.

    python scripts/fit_predictor.py DIR [--out dlbench/analysis/predict/coefficients.json]

The tables are not shipped; what is written are fitted coefficients with their provenance. The same
tables give the same file to the last digit.
"""

from __future__ import annotations

import argparse
import hashlib
from datetime import UTC, datetime
from pathlib import Path

from dlbench.analysis.predict import estimate, shipped, tables

OUT = Path(__file__).parent.parent / "dlbench" / "analysis" / "predict" / "coefficients.json"


def main() -> None:
    """Fit, extract, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--date", default=f"{datetime.now(UTC):%Y-%m-%d}")
    options = parser.parse_args()
    read = tables.read(options.folder)
    fitted = estimate.fit(read.observations, read.devices, shipped.scales())
    coefficients = shipped.extract(fitted, provenance(options.folder, read, options.date))
    shipped.write(coefficients, options.out)
    print(
        f"{options.out}: {len(coefficients.device_effects)} device and "
        f"{len(coefficients.model_effects)} model corrections, {len(coefficients.nodes)} nodes, "
        f"{options.out.stat().st_size / 1e3:.0f} kB"
    )


def provenance(folder: Path, read: tables.Tables, date: str) -> dict[str, str]:
    """What was fitted: which tables by hash, how many rows, when."""
    digest = hashlib.sha256()
    for path in tables.table_files(folder):
        digest.update(path.name.encode() + path.read_bytes())
    return {
        "date": date,
        "tables": ", ".join(path.name for path in tables.table_files(folder)),
        "tables_sha256": digest.hexdigest(),
        "rows": str(len(read.observations)),
        "made_by": "scripts/fit_predictor.py",
        "sources": (
            "timm results (Apache-2.0), Lambda deep-learning benchmark, MLPerf Inference results, "
            "ML.ENERGY leaderboard, NVIDIA DeepLearningExamples, Keras 3 benchmarks"
        ),
    }


if __name__ == "__main__":
    main()
