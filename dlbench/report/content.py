"""What a report is made from, worked out once: rows, comparisons, groups of too many rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dlbench import catalog, paired
from dlbench.analysis import compare, contests, footprint, frame, groups, rows
from dlbench.analysis import packed as packing
from dlbench.analysis.compare import NAMES, Comparison
from dlbench.analysis.contests import Contest
from dlbench.analysis.footprint import Given
from dlbench.analysis.groups import Collection
from dlbench.analysis.rows import Row
from dlbench.analysis.sessions import SHOWN_DIGITS
from dlbench.core.catalog import Catalog
from dlbench.core.errors import GateError
from dlbench.core.footprint import Site
from dlbench.core.recommendation import Candidate, Recommendation
from dlbench.core.types import Case, Run

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 1000
"""More results than this are shown as groups: nobody reads a longer table, and no page holds it."""

UNSAID = Given()
"""Nobody said anything of where the machines stand."""

NOWHERE = footprint.site(None, UNSAID, Catalog(accelerators=(), offers=(), regions=(), sources=()))

FIRST = {"faster": 0, "slower": 0, "equivalent": 1, "cannot tell": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A comparison, and the numbers of the two rows that it is about.

    ``resolution`` says in words what could be resolved, where pairs were measured; ``origin`` whose and
    when it is, where that is told of the rows.
    """

    comparison: Comparison
    rows: tuple[int, ...]
    resolution: str = ""
    origin: str = ""

    @property
    def row_numbers(self) -> str:
        """As the page's filter reads them."""
        return " ".join(str(n) for n in self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contested:
    """What pairs of ``dlbench ab`` say, a verdict or none, and the rows that it is about."""

    contest: Contest
    rows: tuple[int, int]

    @property
    def row_numbers(self) -> str:
        """As the page's filter reads them."""
        return " ".join(str(n) for n in self.rows)

    @property
    def why_no_verdict(self) -> str:
        """Why nothing is said of the two; empty where something is."""
        if self.contest.refusal:
            return self.contest.refusal
        return "" if self.contest.judgement.n else paired.NO_PAIR

    @property
    def resolution(self) -> str:
        """What these pairs resolve, in words."""
        return "" if self.why_no_verdict else contests.resolution_sentence(self.contest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Documents and what follows from them.

    ``runs`` lacks those that were packed. Of more results than can be read one by one, ``rows`` are
    the medians of the groups of ``collection``. ``sites`` says of each run where its machine stands;
    of rows without their document ``elsewhere`` does. ``others`` are ways that break a limit of the need
    of ``recommendation``, for whoever looks at other limits in the page. ``sealed`` are the documents as
    they lie in their files, None where nobody read them from any.
    """

    runs: tuple[Run, ...]
    rows: tuple[Row, ...]
    compared: tuple[Compared, ...]
    numbers: dict[tuple[str, str], int] = field(repr=False)
    contested: tuple[Contested, ...] = ()
    side_by_side: bool = False
    collection: Collection | None = None
    sites: Mapping[str, Site] = field(default_factory=dict, repr=False)
    elsewhere: Site = NOWHERE
    recommendation: Recommendation | None = None
    others: tuple[Candidate, ...] = ()
    sealed: tuple[str, ...] | None = field(default=None, repr=False)

    @property
    def machines(self) -> tuple[str, ...]:
        """Each machine once, in the order in which it appears."""
        return tuple(dict.fromkeys(row.machine for row in self.rows))

    @property
    def n_documents(self) -> int:
        """How many documents stand behind the rows."""
        if self.collection:
            return self.collection.n_documents
        return len({row.run_id for row in self.rows} | {run.run_id for run in self.runs})

    def crosses_runs(self, compared: Compared) -> bool:
        """Whether it is about two documents, not about two cases of one."""
        return len({self.rows[n].run_id for n in compared.rows}) > 1

    def site(self, row: Row) -> Site:
        """Where the machine of a row stands."""
        return self.sites.get(row.run_id, self.elsewhere)

    def number(self, run: Run, case: Case) -> int:
        """The row of a case of a run."""
        return self.numbers[run.run_id, case.case_id]


def of(
    runs: Sequence[Run],
    packed: Sequence[pd.DataFrame] = (),
    *,
    side_by_side: bool = False,
    given: Given = UNSAID,
    places: Catalog | None = None,
) -> Content:
    """The content of documents and of packed collections of them.

    Args:
        runs: the documents.
        packed: frames of packed collections.
        side_by_side: whether documents are columns even where they are of one machine.
        given: what somebody says of where the machines stand.
        places: the catalog of places; without one, that of the package.

    Raises:
        UsageError: ``given`` names a region that is not in the catalog.
        DocumentError: what was packed of a run is of another document of it.
    """
    places = places or catalog.shipped()
    sites = {run.run_id: footprint.site(run.environment, given, places) for run in runs}
    elsewhere = footprint.site(None, given, places)
    found = tuple(row for run in runs for row in sorted(rows.of([run]), key=_label))
    if packed:
        packing.check_alike([*packed, *([frame.of_rows(found)] if found else [])])
    found += _unpacked(runs, packed)
    n_packed = sum(len(table) for table in packed)
    if max(len(found), n_packed) > MOST_ROWS:
        grouped = _grouped(found if not n_packed else rows.of(runs), packed)
        return replace(grouped, sites=sites, elsewhere=elsewhere)
    numbers = {(row.run_id, row.case.case_id): i for i, row in enumerate(found)}
    contested = _contested(runs, numbers)
    return Content(
        runs=tuple(runs),
        rows=found,
        compared=_compared(
            runs, numbers, origins(found), {c.rows: c.resolution for c in contested}
        ),
        contested=contested,
        numbers=numbers,
        side_by_side=side_by_side,
        sites=sites,
        elsewhere=elsewhere,
    )


def _label(row: Row) -> str:
    return row.case.label


def _unpacked(runs: Sequence[Run], packed: Sequence[pd.DataFrame]) -> tuple[Row, ...]:
    """Rows of packed files that are few enough, each once, and none whose document is there too."""
    if sum(len(table) for table in packed) > MOST_ROWS:
        return ()
    there = {run.run_id for run in runs}
    found = (row for table in packed for row in frame.rows_of(table) if row.run_id not in there)
    return tuple({(row.run_id, row.case.case_id): row for row in found}.values())


def _grouped(of_runs: Sequence[Row], packed: Sequence[pd.DataFrame]) -> Content:
    import pandas as pd

    tables = [*packed, *([frame.of_rows(of_runs)] if of_runs else [])]
    table = pd.concat(tables, ignore_index=True).drop_duplicates(["run_id", "case_id"], keep="last")
    found = groups.of(table)
    return Content(
        runs=(), rows=groups.rows(found.groups), compared=(), numbers={}, collection=found
    )


def _contested(runs: Sequence[Run], numbers: dict[tuple[str, str], int]) -> tuple[Contested, ...]:
    return tuple(
        Contested(
            contest=c,
            rows=(numbers[run.run_id, c.a.case_id], numbers[run.run_id, c.b.case_id]),
        )
        for run in runs
        for c in contests.contests(run)
    )


def _compared(
    runs: Sequence[Run],
    numbers: dict[tuple[str, str], int],
    told: Sequence[str],
    resolutions: Mapping[tuple[int, int], str],
) -> tuple[Compared, ...]:
    """Clear ones first; of several documents, those across them before those inside each."""
    found = []
    for pair in _pairs(runs):
        for c in pair.comparisons:
            a, b = numbers[pair.a_run.run_id, c.a.case_id], numbers[pair.b_run.run_id, c.b.case_id]
            found.append(Compared(comparison=c, rows=(a, b)))
    for run in runs:
        for c in compare.within(run):
            rows = numbers[run.run_id, c.a.case_id], numbers[run.run_id, c.b.case_id]
            origin = told[rows[0]] or told[rows[1]]
            resolution = resolutions.get(rows, "")
            found.append(Compared(comparison=c, rows=rows, resolution=resolution, origin=origin))
    return tuple(sorted(found, key=lambda f: FIRST[f.comparison.verdict]))


def _pairs(runs: Sequence[Run]) -> tuple[compare.Across, ...]:
    if len(runs) < 2:  # noqa: PLR2004 - a pair
        return ()
    try:
        return compare.all_pairs(runs)
    except GateError:
        return ()


# --- words ----------------------------------------------------------------------------------


def task(case: Case) -> str:
    """What was done, whoever did it."""
    words = [case.workload, str(case.mode)]
    words += [case.arrivals] if case.arrivals else []
    words += [case.variant] if case.variant != "full" else []
    return " ".join(words)


def framework(case: Case) -> str:
    """The framework as it writes its own name."""
    return NAMES.get(case.framework, case.framework)


def setting(case: Case) -> str:
    """Device, precision, batch, and what else was set."""
    words = [case.device, str(case.precision), f"batch {case.batch_size}"]
    words += [str(case.policy)] if case.policy != "base" else []
    words += [NAMES.get(case.data_mode, case.data_mode)] if case.data_mode != "synthetic" else []
    words += [f"{case.n_devices} devices"] if case.n_devices > 1 else []
    words += [case.adapter_options] if case.adapter_options else []
    return ", ".join(words)


def origins(rows: Sequence[Row]) -> tuple[str, ...]:
    """What tells each row from others of its case: the machine, and the day; empty where nothing does.

    The machine where there are several, the day where one machine has two documents of the case, and
    the hour where both are of one day; then the version where it is not the same work, and the CPU
    threads where one machine had other numbers of them.
    """
    days = Counter((row.machine, row.case) for row in rows)
    hours = Counter((row.machine, row.case, row.created_utc[:DAY]) for row in rows)
    many = len({row.machine for row in rows}) > 1
    threads: dict[tuple[str, Case], set[str]] = {}
    for row in rows:
        threads.setdefault((row.machine, row.case), set()).add(row.threads)
    found = []
    for row, version in zip(rows, versions(rows), strict=True):
        day = row.created_utc[:DAY]
        words = [row.machine] if many else []
        if hours[row.machine, row.case, day] > 1:
            words.append(row.created_utc[:MINUTE].replace("T", " "))
        elif days[row.machine, row.case] > 1:
            words.append(day)
        words.append(version)
        if len(threads[row.machine, row.case]) > 1:
            words.append(f"CPU threads: {row.threads or 'not stated'}")
        found.append(", ".join(word for word in words if word))
    return tuple(found)


def versions(rows: Sequence[Row]) -> tuple[str, ...]:
    """Which work each row is of; empty where all rows of its case are of the same.

    By the workload's version, and by what its files hold where that says nothing.
    """
    known: dict[Case, dict[str, set[str]]] = {}
    for row in rows:
        known.setdefault(row.case, {}).setdefault(row.version, set()).add(row.content_hash)
    return tuple(_version(row, known[row.case]) for row in rows)


def _version(row: Row, known: Mapping[str, set[str]]) -> str:
    words = [f"version {row.version or 'not stated'}"] if len(known) > 1 else []
    if len(known[row.version]) > 1:
        words.append(f"content {row.content_hash[:SHOWN_DIGITS] or 'not stated'}")
    return ", ".join(words)


DAY, MINUTE = len("2026-01-31"), len("2026-01-31T12:00")


def doer(row: Row, origin: str = "") -> str:
    """Who did it, in one line, with what tells it from others of its case."""
    return ", ".join(word for word in (framework(row.case), setting(row.case), origin) if word)


def without_batch(case: Case) -> Case:
    """The case whatever its batch."""
    return replace(case, batch_size=1)


def by_task(content: Content) -> dict[str, list[tuple[int, Row]]]:
    """Rows with their numbers, by task in the order of its name."""
    panels: dict[str, list[tuple[int, Row]]] = {}
    for i, row in enumerate(content.rows):
        panels.setdefault(task(row.case), []).append((i, row))
    return dict(sorted(panels.items()))


def colours(content: Content) -> dict[str, int]:
    """A colour's number for each framework, the same on the whole page."""
    names = sorted({row.case.framework for row in content.rows})
    return {name: i % 8 for i, name in enumerate(names)}
