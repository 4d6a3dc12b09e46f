"""The predictor as the recommender asks it: shipped coefficients, corrected by the user's documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dlbench import workloads
from dlbench.analysis.predict import catalog_specs, documents, shipped
from dlbench.analysis.predict.cells import precision_group
from dlbench.analysis.predict.estimate import Estimator
from dlbench.analysis.predict.types import Observation, Workload
from dlbench.analysis.recommend.job import infos_of, newest_info
from dlbench.core.catalog import Catalog
from dlbench.core.recommendation import Question
from dlbench.core.types import (
    Absent,
    Case,
    Estimated,
    Mode,
    Policy,
    Run,
    Scenario,
    WorkloadInfo,
)

ACTIVATIONS_PER_M = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicting:
    """A ``Predictor``.

    ``rates`` are what dlbench measured, here and for the package, ``infos`` the facts of the models
    that documents measured, the newest first.
    """

    estimator: Estimator
    rates: tuple[Observation, ...]
    infos: tuple[WorkloadInfo, ...]

    def policies(self, question: Question) -> frozenset[Policy]:
        """Those in which this work was measured on any accelerator."""
        asked, _ = self._asked(question)
        return frozenset(
            Policy(known.policy)
            for known in (o.workload for o in self.rates)
            if _but_policy(known) == _but_policy(asked)
        )

    def throughputs(self, questions: Sequence[Question]) -> Sequence[Estimated | Absent]:
        """Samples a second of one accelerator each; all are asked at once.

        The predictor knows bf16 and fp16 as one kind of arithmetic; a data sheet does not.
        """
        asked = [self._asked(q) for q in questions]
        specs = [catalog_specs.spec_of(q.accelerator) for q in questions]
        answers = self.estimator.estimate_many(
            [(spec, workload) for spec, (workload, _) in zip(specs, asked, strict=True)]
        )
        return [
            _named(answer, per_sample, self.estimator.provenance)
            if q.precision in q.accelerator.peak_tflops
            else Absent(reason=f"the data sheet of {q.accelerator.name} has no {q.precision} peak")
            for q, answer, (_, per_sample) in zip(questions, answers, asked, strict=True)
        ]

    def _asked(self, question: Question) -> tuple[Workload, float]:
        """The work in the units that the predictor counts, and how many of them a sample is."""
        case, info = _case(question), self._info(question)
        workload = documents.workload_of_case(case, info)
        if question.activations is not None:
            workload = replace(workload, macts_m=question.activations / ACTIVATIONS_PER_M)
        return workload, documents.units_per_sample(case, info)

    def _info(self, question: Question) -> WorkloadInfo:
        """The model's facts: as shipped, or as it was last measured; else its size."""
        folder = workloads.folders().get(question.workload) if question.workload else None
        if folder is not None:
            return workloads.read(folder).info(question.variant)
        measured = newest_info((question.workload, question.variant), self.infos)
        return measured or WorkloadInfo(
            name=question.workload or "unnamed",
            variant=question.variant,
            version=1,
            task=question.task,
            sample="",
            parameters=round(question.parameters),
            flops=question.flops_per_sample,
            tokens_per_sample=None,
            content_hash="",
        )


def _but_policy(w: Workload) -> tuple[str, ...]:
    """What must be equal for two policies to be of one piece of work."""
    return (w.model, w.task, precision_group(w.arithmetic), w.framework, w.phase)


def _case(question: Question) -> Case:
    return Case(
        workload=question.workload or "unnamed",
        framework=question.framework,
        device=question.accelerator.name,
        precision=question.precision,
        mode=question.mode,
        batch_size=question.batch_size,
        scenario=Scenario.OFFLINE if question.mode is Mode.INFERENCE else None,
        policy=question.policy,
        variant=question.variant,
    )


def _named(answer: Estimated | Absent, per_sample: float, provenance: str) -> Estimated | Absent:
    """The answer in samples a second, with where the coefficients are from."""
    if isinstance(answer, Absent):
        return answer
    found = answer.interval
    return replace(
        answer,
        value=answer.value / per_sample,
        interval=replace(found, low=found.low / per_sample, high=found.high / per_sample),
        from_=(*answer.from_, *filter(None, (provenance,))),
    )


def predicting(runs: Sequence[Run], catalog: Catalog) -> Predicting:
    """The shipped coefficients and rates, and everything that the documents measured on them."""
    table = catalog_specs.device_table(catalog)
    own = documents.observations(runs, table)
    theirs = {o.source for o in own}
    rates = (*own, *(o for o in shipped.measured() if o.source not in theirs))
    return Predicting(
        estimator=shipped.estimator(rates, table),
        rates=rates,
        infos=infos_of(runs),
    )
