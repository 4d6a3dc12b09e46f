"""Does a second document agree with the first one, case by case, and in what it concludes?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from dlbench.analysis import compare
from dlbench.analysis.compare import Comparison
from dlbench.core import units
from dlbench.core.errors import GateError
from dlbench.core.types import Case, Run

State = Literal["agrees", "faster here", "slower here", "cannot tell", "failed here"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseAgreement:
    """One case in both documents: what may be said, and the ratio here over there."""

    case: Case
    state: State
    comparison: Comparison | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """One comparison inside the first document, and whether the second one says the same."""

    there: Comparison
    here: Comparison
    holds: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Everything that two documents share."""

    cases: tuple[CaseAgreement, ...]
    conclusions: tuple[Conclusion, ...]

    @property
    def differs(self) -> bool:
        """Whether any case is surely faster or slower here, or a conclusion does not hold here."""
        return any(c.state in ("faster here", "slower here") for c in self.cases) or any(
            c.holds is False for c in self.conclusions
        )


def agreement(there: Run, here: Run, known: Sequence[Run] = ()) -> Agreement:
    """Compare a replication with what it replicates.

    Figures are of different sessions, so they agree when the interval of their ratio, spread between
    sessions included, holds 1 and lies between half and twice; a case is called different only beyond
    10 %. Conclusions are verdicts of cases that were interleaved in each document.
    """
    try:
        across = compare.across(there, here, known=known)
    except GateError:
        compared: dict[Case, Comparison] = {}
    else:
        compared = {c.a: c for c in across.comparisons if c.a == c.b}
    cases = []
    for result in here.results:
        found = compared.get(result.case)
        cases.append(
            CaseAgreement(
                case=result.case,
                state=_state(found) if result.measured else "failed here",
                comparison=found,
                reason="" if result.measured else (result.outcome.message or str(result.outcome)),
            )
        )
    return Agreement(cases=tuple(cases), conclusions=_conclusions(there, here))


WIDE = 2.0
"""An interval that reaches from half to twice the speed agrees with anything: nothing is shown."""


def _state(found: Comparison | None) -> State:
    if found is None or found.estimate.interval is None:
        return "cannot tell"
    if found.verdict == "faster":
        return "faster here"
    if found.verdict == "slower":
        return "slower here"
    bounds = found.estimate.interval
    holds_one = bounds.low <= 1 <= bounds.high or found.verdict == "equivalent"
    narrow = bounds.high < WIDE and bounds.low > 1 / WIDE
    return "agrees" if holds_one and narrow else "cannot tell"


def _conclusions(there: Run, here: Run) -> tuple[Conclusion, ...]:
    """Verdicts of both documents on the same two cases; None where one of them cannot tell."""
    ours = {(c.a, c.b): c for c in compare.within(here)}
    found = []
    for claim in compare.within(there):
        own = ours.get((claim.a, claim.b))
        if own is not None and claim.verdict != "cannot tell":
            holds = None if own.verdict == "cannot tell" else own.verdict == claim.verdict
            found.append(Conclusion(there=claim, here=own, holds=holds))
    return tuple(found)


# --- in words and as data -------------------------------------------------------------------


def sentence(found: CaseAgreement) -> str:
    """One case in words."""
    if found.state == "failed here":
        return f"{found.case.label}: {found.reason}"
    if found.comparison is None:
        return f"{found.case.label}: there is nothing to compare it with"
    ratio, bounds = found.comparison.estimate.ratio, found.comparison.estimate.interval
    interval = units.bracketed(bounds, 2) or ", too few trials"
    return f"{found.case.label}: {units.ratio(ratio, 2)}x{interval} the throughput there"


def conclusion_sentence(found: Conclusion) -> str:
    """One conclusion in words."""
    claim, own = found.there, found.here
    words = {True: "holds here", False: "does not hold here", None: "cannot be told here"}
    there, here = (units.ratio(c.estimate.ratio, 2) for c in (claim, own))
    return (
        f"{claim.what}: {claim.b_name} {claim.verdict} against {claim.a_name} "
        f"(there {there}, here {here}): {words[found.holds]}"
    )


def plain(found: Agreement) -> dict[str, Any]:
    """An agreement as ``--json`` prints it."""
    return {
        "differs": found.differs,
        "cases": [
            {
                "case_id": c.case.case_id,
                "case": c.case.label,
                "state": c.state,
                "ratio": c.comparison.estimate.ratio if c.comparison else None,
                "interval": asdict(c.comparison.estimate.interval)
                if c.comparison and c.comparison.estimate.interval
                else None,
                "basis": c.comparison.basis if c.comparison else None,
                "reason": c.reason or None,
            }
            for c in found.cases
        ],
        "conclusions": [
            {"sentence": conclusion_sentence(c), "holds": c.holds} for c in found.conclusions
        ],
    }
