"""Rankings by predicted rate: numbers that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import predict_ranking as ranking
from dlbench.analysis.predict.cells import Encoder, encode
from dlbench.analysis.predict.leave_out import LeftOut
from dlbench.analysis.predict.types import Arithmetic, DeviceSpec, Task, Workload


def _left_out(rows: list[tuple[str, str, float, float]]) -> LeftOut:
    """Of (device, model, measured rate, predicted rate)."""
    pairs = [
        (
            DeviceSpec(name=device, fp32_tflops=10.0, mem_bw_gb_s=500.0),
            Workload(model=model, task=Task.TRAIN, arithmetic=Arithmetic.FP32),
        )
        for device, model, _, _ in rows
    ]
    cells = encode(pairs, [(measured, 1) for *_, measured, _ in rows], Encoder(), frozenset())
    none = np.zeros(len(rows), dtype=np.int64)
    return LeftOut(
        cells=cells,
        ln_rate=np.log([said for *_, said in rows]),
        sd=np.ones(len(rows)),
        n_same_work=none,
        n_same_model=none,
        n_other_mode=none,
        n_same_panel=none,
        n_same_family=none,
    )


FOUR = [("a", "x", 10.0, 1.0), ("b", "x", 20.0, 3.0), ("c", "x", 30.0, 2.0), ("d", "x", 30.3, 4.0)]


def test_tau_is_of_each_piece_of_work_with_enough_devices() -> None:
    """One of six pairs of work x is turned: (5 - 1) / 6; the three devices of y do not count."""
    said = _left_out([*FOUR, ("a", "y", 3.0, 1.0), ("b", "y", 2.0, 2.0), ("c", "y", 1.0, 3.0)])
    pieces = ranking.pieces(said, np.ones(7, dtype=bool))
    assert [index.tolist() for index in pieces] == [[0, 1, 2, 3]]
    assert ranking.taus(said, pieces) == [pytest.approx(4 / 6)]
    # c and d measured within 3 %: five pairs are left, one of them turned.
    assert ranking.taus_without_ties(said, pieces) == [pytest.approx(3 / 5)]


def test_a_new_device_is_placed_among_what_the_others_measured() -> None:
    """Of 10, 20, 30, 40 told as 25, 21, 29, 50: the first is on the wrong side of the second only."""
    rows = [
        ("a", "x", 10.0, 25.0),
        ("b", "x", 20.0, 21.0),
        ("c", "x", 30.0, 29.0),
        ("d", "x", 40.0, 50.0),
    ]
    said = _left_out(rows)
    pieces = ranking.pieces(said, np.ones(4, dtype=bool))
    assert ranking.places(said, pieces) == [pytest.approx((11 - 1) / 12)]


def test_one_ranking_over_all_work_compares_devices_that_never_met() -> None:
    """A is half of b on x, b a third of c on y: so a comes before c, though no work has both."""
    rows = [
        ("a", "x", 1.0, 1.0),
        ("b", "x", 2.0, 2.0),
        ("b", "y", 10.0, 9.0),
        ("c", "y", 30.0, 8.0),
    ]
    said = _left_out(rows)
    codes = said.cells.codes
    effects = ranking.device_effects(said.cells.y, codes["device"], codes["setup"])
    assert np.diff(effects) == pytest.approx(np.log([2.0, 3.0]))
    # Predicted, c falls behind b: one of three pairs is turned.
    tau, n_devices = ranking.overall_tau(said, np.ones(4, dtype=bool))
    assert tau == pytest.approx(1 / 3)
    assert n_devices == 3


def test_devices_that_share_no_work_with_the_others_are_not_ranked() -> None:
    """E and f ran z only, which nobody else ran: where they lie among the others is not known."""
    said = _left_out([*FOUR, ("e", "z", 9.0, 9.0), ("f", "z", 1.0, 99.0)])
    tau, n_devices = ranking.overall_tau(said, np.ones(6, dtype=bool))
    assert tau == pytest.approx(4 / 6)
    assert n_devices == 4


def test_regret_is_what_the_pick_loses_and_unsold_devices_are_not_picked() -> None:
    """At one price d is picked, which is the best; at three dollars for d, b is, which loses to c."""
    said = _left_out(FOUR)
    pieces = ranking.pieces(said, np.ones(4, dtype=bool))
    prices = {"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0}
    assert ranking.regrets(said, pieces, prices) == [0.0]
    assert ranking.regrets(said, pieces, prices | {"d": 3.0}) == [pytest.approx(1 / 3)]
    assert ranking.regrets(said, pieces, {"a": 1.0, "b": 1.0, "c": 1.0}) == []
