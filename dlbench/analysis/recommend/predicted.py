"""The predictor as the recommender asks it: shipped coefficients, corrected by the user's documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dlbench import workloads
from dlbench.analysis.predict import catalog_specs, documents, shipped
from dlbench.analysis.predict.estimate import Estimator
from dlbench.analysis.predict.types import Workload
from dlbench.core.catalog import Catalog
from dlbench.core.recommendation import Question
from dlbench.core.types import Absent, Case, Estimated, Mode, Run, Scenario, WorkloadInfo

ACTIVATIONS_PER_M = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicting:
    """A ``Predictor``; ``infos`` are the facts of the models that documents measured."""

    estimator: Estimator
    infos: tuple[WorkloadInfo, ...]

    def throughputs(self, questions: Sequence[Question]) -> Sequence[Estimated | Absent]:
        """Samples a second of one accelerator each; all are asked at once."""
        pairs = [(catalog_specs.spec_of(q.accelerator), self._workload(q)) for q in questions]
        answers = self.estimator.estimate_many(pairs)
        return [_named(a, self.estimator.provenance) for a in answers]

    def _workload(self, question: Question) -> Workload:
        asked = documents.workload_of_case(_case(question), self._info(question))
        if question.activations is None:
            return asked
        return replace(asked, macts_m=question.activations / ACTIVATIONS_PER_M)

    def _info(self, question: Question) -> WorkloadInfo:
        """The model's facts: as measured or shipped, so that its own rows are found; else its size."""
        name = (question.workload, question.variant)
        for info in self.infos:
            if (info.name, info.variant) == name:
                return info
        folder = workloads.folders().get(question.workload) if question.workload else None
        if folder is not None:
            return workloads.read(folder).info(question.variant)
        return WorkloadInfo(
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


def _case(question: Question) -> Case:
    return Case(
        workload=question.workload or "unnamed",
        framework=question.framework,
        device=question.accelerator.name,
        precision=question.precision,
        mode=question.mode,
        batch_size=question.batch_size,
        scenario=Scenario.OFFLINE if question.mode is Mode.INFERENCE else None,
        variant=question.variant,
    )


def _named(answer: Estimated | Absent, provenance: str) -> Estimated | Absent:
    """The answer with where the coefficients are from."""
    if isinstance(answer, Absent) or not provenance:
        return answer
    return replace(answer, from_=(*answer.from_, provenance))


def predicting(runs: Sequence[Run], catalog: Catalog) -> Predicting:
    """The shipped coefficients, and everything that the documents measured on them."""
    table = catalog_specs.device_table(catalog)
    return Predicting(
        estimator=shipped.estimator(documents.observations(runs, table), table),
        infos=tuple(info for run in runs for info in run.plan.workloads),
    )
