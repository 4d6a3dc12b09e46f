"""The page: escaped, self-contained, byte-stable, honest about what is missing."""

from __future__ import annotations

import base64
import functools
import hashlib
import itertools
import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dlbench.cli import show
from dlbench.core.errors import UsageError
from dlbench.core.stats import Verdict
from dlbench.core.types import (
    DRIVER_OPTION,
    LOADGEN,
    Absent,
    Case,
    Estimated,
    Interval,
    Measured,
    Mode,
    Monitored,
    Pairing,
    Run,
    Window,
)
from dlbench.report import build, content, render
from dlbench.report.sections import all_sections, environment, verdict
from dlbench.store import codec
from tests import builders, documents

RUN = documents.rich_run()
SKELETON = Path(__file__).parents[2] / "golden/report-skeleton.txt"


class _Structure(HTMLParser):
    """Tags, ids and attributes of a page, and the text of its scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[str, dict[str, str | None], str]] = []
        self._in: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in = tag if tag in {"script", "style"} else None
        if self._in:
            self.raw.append((tag, dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self._in = None

    def handle_data(self, data: str) -> None:
        if self._in:
            tag, attributes, text = self.raw[-1]
            self.raw[-1] = (tag, attributes, text + data)


@functools.cache
def _page() -> str:
    """Of the rich document, built once for all tests that read it."""
    return build.build([RUN])


def _parsed(page: str) -> _Structure:
    structure = _Structure()
    structure.feed(page)
    return structure


def _section(page: str, name: str) -> str:
    return page[page.index(f'<section id="{name}"') :].partition("</section>")[0]


def _data(page: str, name: str) -> str:
    structure = _parsed(page)
    (text,) = [
        t for tag, a, t in structure.raw if tag == "script" and a.get("id") == f"data-{name}"
    ]
    return text


def test_no_runs_is_said() -> None:
    """A report of nothing has nothing to say."""
    with pytest.raises(UsageError, match="nothing to report"):
        build.build([])


def test_the_page_is_byte_stable() -> None:
    """The same documents give the same page, today and tomorrow."""
    assert build.build([RUN]) == _page()


def test_the_verdict_is_the_headline() -> None:
    """Who is faster, by how much, with the interval, above everything else."""
    page = build.build([builders.sealed_run()])
    (headline,) = re.findall(r"<h1>(.*?)</h1>", page)
    assert headline.startswith("fake inference, fake, fp32, batch 2: PyTorch has 2.00x [")
    assert page.index("<h1>") < page.index('id="verdict"') < page.index('id="throughput"')


def test_the_rich_document_fills_every_section_of_a_single_machine() -> None:
    """What is shown only of several machines or of a need is not there."""
    page = _page()
    shown = set(re.findall(r'<section id="(\w+)"', page))
    names = {s.__name__.rpartition(".")[2] for s in all_sections()}
    assert names - shown == {"machines", "collection", "recommendation"}


def test_script_and_style_run_by_hash_only_and_nothing_is_fetched() -> None:
    """Our style, our script, plotly's bundle and data; the policy names exactly their hashes.

    The one further hash is of the empty style element that plotly fills.
    """
    structure = _parsed(_page())
    policy = next(a["content"] or "" for t, a in structure.tags if a.get("http-equiv") is not None)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in policy
    code = [(tag, text) for tag, a, text in structure.raw if a.get("type") != "application/json"]
    assert [tag for tag, _ in code] == ["style", "script", "script"]
    hashes = {(tag, _digest(text)) for tag, text in code} | {("style", _digest(""))}
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    named = {(tag, h) for tag in ("script", "style") for h in rules[f"{tag}-src"].split()}
    assert named == hashes
    for _, attributes in structure.tags:
        assert not {"src", "srcdoc", "style", "action", "formaction"} & set(attributes)
        assert (attributes.get("href") or "#").startswith("#")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_a_page_without_charts_has_no_bundle() -> None:
    """Nothing to draw, nothing to carry; and the policy is as narrow as that."""
    page = build.build([documents.empty_run()])
    assert 'id="plotly"' not in page
    assert "img-src" not in page
    assert len(page) < 200_000


def test_hostile_strings_stay_text() -> None:
    """No kind of element, attribute or id that a harmless document of the same shape has not."""
    harmless = _parsed(build.build([documents.strange_run("x")]))
    page = build.build([documents.hostile_run()])
    hostile = _parsed(page)
    kinds = {(tag, *sorted(attributes)) for tag, attributes in harmless.tags}
    assert {(tag, *sorted(attributes)) for tag, attributes in hostile.tags} <= kinds
    dangerous = {"script", "style", "meta", "a", "form", "input", "img", "link", "iframe", "base"}
    assert Counter(t for t, _ in hostile.tags if t in dangerous) == Counter(
        t for t, _ in harmless.tags if t in dangerous
    )
    assert "{{ 7 * 7 }}" in page
    ids = [a["id"] for _, a in hostile.tags if "id" in a]
    assert ids == [a["id"] for _, a in harmless.tags if "id" in a]
    assert len(ids) == len(set(ids))


def test_json_in_a_script_cannot_end_it() -> None:
    """And is still the same JSON."""
    text = render.json_for_script({"x": "".join(documents.HOSTILE)})
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {"x": "".join(documents.HOSTILE)}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Measured(value=12.345, n=3, source="x"), '<span class="measured">12.35</span>'),
        (
            Estimated(value=2.0, interval=Interval(low=1.0, high=3.0, level=0.95), method="m"),
            '<span class="estimated">≈ 2.000</span> <span class="interval">1.000 – 3.000</span>',
        ),
        (Absent(reason="no meter", remedy="buy one"), "no meter (buy one)"),
        (Absent(reason="n too small: 3"), ">n too small</span>"),
    ],
)
def test_each_kind_of_number_looks_different(
    value: Measured | Estimated | Absent, expected: str
) -> None:
    """Measured, estimated and absent can be told apart at a glance."""
    assert expected in render.cell(value)


def test_failures_and_skips_are_rows() -> None:
    """With their reasons and what to do, and where the number would have been."""
    page = _page()
    section = _section(page, "problems")
    assert "crashed" in section
    assert "JAX is not installed" in section
    assert "install it" in section
    assert re.search(
        r'JAX .*?<span class="absent"[^>]*>crashed', _section(page, "throughput"), re.DOTALL
    )


def test_a_run_of_failures_only_is_a_good_page() -> None:
    """No chart, no comparison, but what went wrong and where."""
    page = build.build([builders.run([builders.sealed_run().results[2]])])
    assert "<h1>Nothing was measured</h1>" in page
    assert 'id="throughput"' not in page
    assert "1 case failed or was skipped" in page
    assert "it broke" in page


def test_a_run_without_results_is_a_good_page() -> None:
    """It says so, and has the environment and the method all the same."""
    page = build.build([documents.empty_run()])
    assert "<h1>Nothing was measured</h1>" in page
    assert "The document holds no results" in page
    assert 'id="environment"' in page


def test_one_result_is_a_good_page() -> None:
    """Its number, in the headline too, and that there is nothing to compare it with."""
    page = build.build([builders.run([RUN.results[0]], plan=replace(RUN.plan, skips=()))])
    (headline,) = re.findall(r"<h1>(.*?)</h1>", page)
    named = "resnet50 pytorch cpu fp32 inference b8"
    assert headline == f"{named}: 32.78 samples/s [32.27, 33.29]"
    assert "nothing to compare" in page
    assert page.count('class="bar measured') >= 1


def test_a_document_of_pairs_has_its_verdict() -> None:
    """What dlbench ab found is the headline, with how it was found."""
    run = RUN
    a, b = (r for r in run.results if r.case.mode == "training")
    pairing = Pairing(a=a.case.case_id, b=b.case.case_id, a_name="old", b_name="new", zone=0.02)
    run = builders.run(
        [a, b], plan=replace(run.plan, cases=(a.case, b.case), pairings=(pairing,), skips=())
    )
    page = build.build([run])
    (headline,) = re.findall(r"<h1>(.*?)</h1>", page)
    assert "old" in headline
    assert "new" in headline
    assert "exact signed-rank test" in _section(page, "verdict")


def test_documents_of_all_schema_versions_go_together() -> None:
    """Old and new documents in one report."""
    folder = Path(__file__).parents[2] / "golden/documents"
    runs = [
        codec.decode_run(codec.read_bytes(path), str(path))
        for path in sorted(folder.glob("*.json"))
    ]
    page = build.build([*runs, RUN])
    assert f"from {len({r.run_id for r in [*runs, RUN]})} result document" in page


def test_strings_of_every_script_are_shown_as_they_are() -> None:
    """Escaped where HTML needs it, and not otherwise."""
    page = build.build([documents.strange_run(documents.SCRIPTS)])
    assert documents.SCRIPTS in page


def test_machines_are_columns() -> None:
    """Each case once, its ratio to the first machine, no p-value."""
    section = _section(build.build([RUN, documents.other_machine()]), "machines")
    assert "test-2c" in section
    assert "other-4c" in section
    assert "0.50×" in section


def test_several_machines_are_what_the_headline_is_about() -> None:
    """Not what differs inside each of them; verdicts on machines come first."""
    found = content.of([RUN, documents.other_machine()])
    assert build.headline(found).startswith("test-2c is faster for resnet50 inference")
    assert "inputs" not in build.headline(found)
    assert found.crosses_runs(found.compared[0])
    assert not found.crosses_runs(found.compared[-1])


def test_frameworks_are_what_the_headline_of_one_document_is_about() -> None:
    """Data modes and settings are read below."""
    assert build.headline(content.of([RUN])) == (
        "TensorFlow is faster for resnet50 inference and resnet50 training"
    )


def test_of_several_the_headline_names_who_is_beaten_by_none() -> None:
    """Two that cannot be told apart are both named; who beats a third only is not."""
    speeds = {"pytorch": 0.020, "tensorflow": 0.0199, "jax": 0.040, "keras": 0.050}
    spread = (0.998, 1.0, 1.003, 0.999, 1.001)
    results = [
        builders.result(builders.case(framework=name), [s * seconds for s in order])
        for name, seconds, order in zip(
            speeds, speeds.values(), (spread, spread[::-1], spread, spread), strict=True
        )
    ]
    cases = [r.case for r in results]
    found = content.of([builders.run(results, plan=builders.plan(cases))])
    assert build.headline(found) == "PyTorch or TensorFlow is fastest for fake inference"


def test_sessions_of_one_machine_that_contradict_each_other_leave_a_task_undecided() -> None:
    """Faster on one day and slower on the next is no winner of the headline; agreement is one task."""
    found = content.of([RUN])
    (first, *_) = [c for c in found.compared if c.comparison.varied == "framework"]
    turned: dict[str, Verdict] = {"faster": "slower", "slower": "faster"}
    other = turned[first.comparison.verdict]
    again = replace(first, comparison=replace(first.comparison, verdict=other))
    agreed = build.headline(replace(found, compared=(first, first)))
    assert agreed == "TensorFlow is faster for resnet50 inference"
    contrary = build.headline(replace(found, compared=(first, again)))
    assert contrary == "No clear winner in 2 comparisons of frameworks"


def test_of_one_trial_each_one_sentence_says_all_there_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Hundreds of comparisons had each been told not to be decided, by page and terminal."""
    cases = [
        builders.case(framework=name, batch_size=size)
        for name in ("pytorch", "tensorflow", "jax")
        for size in (1, 2, 4)
    ]
    results = [builders.result(case, [0.02]) for case in cases]
    found = content.of([builders.run(results, plan=builders.plan(cases))])
    assert len(found.compared) == 9
    few = "9 comparisons have too few trials for an interval: none says what is faster"
    assert build.headline(found).startswith("Too few trials to decide 9 comparisons")
    page = verdict.html(found)
    assert page is not None
    assert few in page
    assert page.count("<li") == 1
    show.comparisons([f.comparison for f in found.compared])
    told = capsys.readouterr().out
    assert few in told
    assert "ratio" not in told.replace("ratios", "")
    one = verdict.html(replace(found, compared=found.compared[:2]))
    assert one is not None
    assert one.count("too few trials for an interval") == 2


def test_a_headline_says_what_it_counts() -> None:
    """Of the list below it, which has every comparison, only those of frameworks; and tasks."""
    found = content.of([RUN])
    unclear = [
        replace(f, comparison=replace(f.comparison, verdict="cannot tell")) for f in found.compared
    ]
    frameworks = [f for f in unclear if f.comparison.varied == "framework"]
    others = [f for f in unclear if f.comparison.varied != "framework"]
    assert len(frameworks) == 2
    assert others
    none = build.headline(replace(found, compared=tuple(unclear)))
    assert none == "No clear winner in 2 comparisons of frameworks"
    rest = build.headline(replace(found, compared=(others[0], others[0])))
    assert rest == "No clear winner in 2 comparisons"
    won = [f for f in found.compared if f.comparison.varied == "framework"][:1]
    other = [f for f in frameworks if f.comparison.what != won[0].comparison.what]
    half = build.headline(replace(found, compared=(*won, *other)))
    assert half.endswith("; 1 of 2 tasks undecided")


def test_a_name_without_end_does_not_fill_the_first_screen() -> None:
    """The headline is cut; the verdict below is not."""
    found = content.of([documents.strange_run("endless " * 200)])
    assert len(build.headline(found)) <= build.MOST_LETTERS
    assert build.headline(found).endswith("…")
    assert "endless " * 100 in str(verdict.html(found))


def test_an_interval_narrower_than_it_is_written_is_left_out() -> None:
    """250 (250 to 250) says nothing that 250 does not."""
    narrow = Interval(low=249.99999, high=250.00001, level=0.95)
    shown = render.cell(Measured(value=250.0, interval=narrow, n=3, source="x"))
    assert shown == '<span class="measured">250.0</span>'


def test_the_document_travels_inside_the_page() -> None:
    """What is saved from the page is the sealed document, and its content hash still holds."""
    text = _data(_page(), "document-0")
    assert codec.decode_run(text.encode(), "saved") == RUN


def test_the_table_in_the_page_has_all_rows_and_no_invented_number() -> None:
    """An absent number is null with its reason beside."""
    table = json.loads(_data(_page(), "table"))
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    assert len(rows) == len(RUN.results) + len(RUN.plan.skips)
    crashed = next(r for r in rows if r["outcome"] == "crashed")
    assert crashed["throughput_samples_per_s"] is None
    assert "it broke" in crashed["throughput_samples_per_s_reason"]
    assert all(r["throughput_samples_per_s"] > 0 for r in rows if r["outcome"] == "ok")


def test_the_share_of_the_ceiling_is_what_was_measured() -> None:
    """8.2 GFLOP in 20 ms, against 6 GFLOP in 10 ms: two thirds, and an estimate."""
    section = _section(_page(), "ceiling")
    row = re.search(r"TensorFlow.*?</tr>", section, re.DOTALL)
    assert row is not None
    assert re.search(r'class="estimated">≈ 6[678]\.\d%', row[0])


def test_every_chart_has_words_and_every_mark_a_row() -> None:
    """An image without a text alternative is nothing to those who do not see it."""
    structure = _parsed(_page())
    areas = [a for tag, a in structure.tags if tag == "svg" and a.get("role") == "img"]
    assert len(areas) >= 5
    assert all(len(a.get("aria-label") or "") > 40 for a in areas)
    others = [a for tag, a in structure.tags if tag == "svg" and "role" not in a]
    assert all("aria-hidden" in a or "viewbox" in a or "overflow" in a for a in others)


def test_a_model_of_the_users_own_is_named_by_its_options() -> None:
    """In place of a workload's name; options that a stranger wrote stay words, whatever they hold."""
    from dlbench.report.sections import reproduce

    def command(options: str) -> str:
        run = builders.sealed_run()
        info = replace(run.plan.workloads[0], own=options)
        return reproduce.command(replace(run, plan=replace(run.plan, workloads=(info,))))

    own = "--model net.py:build --input 3x8x8 --name fake"
    assert command(own).startswith(f"dlbench run {own} --framework")
    assert command("x; rm -rf ~").startswith("dlbench run 'x;' rm -rf '~' --framework")
    assert command("it's").startswith("""dlbench run 'it'"'"'s' --framework""")


def test_pairs_and_programs_are_reproduced_by_what_measures_them() -> None:
    """``dlbench run`` has neither pairs nor a profile ``ab quick``; of nothing there is no command."""
    from dlbench.report.sections import reproduce

    pairs = documents.paired_run([0.02] * 8, [0.01] * 8)
    assert reproduce.command(pairs) == f"dlbench replicate {pairs.run_id}.json"
    (info,), (pairing,) = pairs.plan.workloads, pairs.plan.pairings
    for plan in (
        replace(pairs.plan, workloads=(replace(info, own="--model net.py:build"),)),
        replace(pairs.plan, pairings=(replace(pairing, a_versions={"python": "3.10.1"}),)),
    ):
        assert reproduce.command(replace(pairs, plan=plan)) == ""
    watched = builders.run([], monitored=(_watched(("python", "train it.py")), _watched(())))
    assert reproduce.command(watched) == "dlbench monitor -- python 'train it.py'"
    assert reproduce.command(documents.empty_run()) == ""


def test_a_monitored_program_is_not_nothing() -> None:
    """Its document has no cases; the page said that nothing was measured."""
    found = content.of([builders.run([], monitored=(_watched(("true",)),))])
    assert build.headline(found) == "1 program monitored"
    page = build.page(found)
    assert "nothing was measured" not in page
    assert "<code>dlbench energy</code> of it shows the figures" in page


def _watched(command: tuple[str, ...]) -> Monitored:
    return Monitored(
        name="program",
        command=command,
        started_utc="2026-01-01T00:00:00Z",
        exit_code=0,
        cpu_s=1.0,
        windows=(Window(name="energy", start_s=0.0, end_s=1.0),),
        host=(),
        devices=(),
    )


def test_machines_that_share_no_case_are_not_held_against_each_other() -> None:
    """A table of numbers on one side alone answered nothing; asked for side by side, it stands."""
    run, other = documents.one_case_a_task(), documents.other_machine()
    apart = replace(other, results=other.results[:1], plan=replace(other.plan, skips=()))
    section = _section(build.build([run, apart]), "machines")
    assert "No case ran on two of these machines" in section
    assert "<table" not in section
    asked = content.of([run, apart], side_by_side=True)
    assert "<table" in _section(build.page(asked), "machines")
    assert "<table" in _section(build.build([RUN, other]), "machines")


def test_the_commands_to_reproduce_quote_what_must_be() -> None:
    """A hostile framework name cannot become a second command."""
    from dlbench.report.sections import reproduce

    assert reproduce.command(builders.sealed_run()).startswith(
        "dlbench run fake --framework pytorch,tensorflow"
    )
    assert "'" in reproduce.command(documents.hostile_run())


def test_the_structure_is_the_golden_one() -> None:
    """Sections, headings and ids; a change is a decision, made by updating the file."""
    assert skeleton(RUN) == SKELETON.read_text(encoding="utf-8")


def skeleton(run: Run) -> str:
    """The ids and headings of a document's page, and all sections in order."""
    structure = _parsed(build.build([run]))
    lines = [f"{tag} #{a['id']}" for tag, a in structure.tags if a.get("id")]
    lines += [f"section {s.ORDER} {s.TITLE}" for s in all_sections()]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(("cost_s", "shown"), [(4e-5, False), (4e-4, True)])
def test_the_harness_own_cost_is_told_where_it_shows(cost_s: float, shown: bool) -> None:
    """Above 0.5 % of a step of 20 ms."""
    run = builders.sealed_run()
    first = run.results[0]
    trials = tuple(
        replace(t, subject={**t.subject, "harness_overhead_s_per_step": cost_s})
        for t in first.trials
    )
    costly = replace(run, results=(replace(first, trials=trials), *run.results[1:]))
    page = build.build([costly])
    assert ("The harness itself took" in page) is shown
    assert ("400 us of a step, 2.0 % of" in page.replace("µ", "u")) is shown


def test_of_many_tasks_the_headline_counts() -> None:
    """Five tasks are not six lines of names."""
    cases = [
        builders.case(workload=f"model_{i}", framework=name)
        for i in range(5)
        for name in ("pytorch", "tensorflow")
    ]
    results = [
        builders.result(c, [0.020 if (c.framework == "pytorch") == (i < 6) else 0.040] * 5)
        for i, c in enumerate(cases)
    ]
    workloads = tuple(replace(builders.WORKLOAD, name=f"model_{i}") for i in range(5))
    plan = builders.plan(cases, workloads=workloads)
    found = content.of([builders.run(results, plan=plan)])
    assert build.headline(found) == "PyTorch is faster for 3 tasks; TensorFlow for 2 tasks"


def test_two_documents_of_a_case_are_told_apart() -> None:
    """By day; by the hour where both are of one day; by nothing where there is one."""
    day, later = "2026-02-02T10:00:00Z", "2026-02-02T11:30:00Z"
    runs = [
        replace(RUN, run_id=f"run-{i}", created_utc=created)
        for i, created in enumerate((RUN.created_utc, day, later))
    ]
    (once,) = set(content.origins(content.of(runs[:1]).rows))
    assert once == ""
    first, second = dict.fromkeys(content.origins(content.of(runs[:2]).rows))
    assert (first, second) == (RUN.created_utc[:10], "2026-02-02")
    found = content.of(runs)
    assert list(dict.fromkeys(content.origins(found.rows))) == [
        RUN.created_utc[:10],
        "2026-02-02 10:00",
        "2026-02-02 11:30",
    ]
    origins = {c.origin for c in found.compared if not found.crosses_runs(c)}
    assert origins == {RUN.created_utc[:10], "2026-02-02 10:00", "2026-02-02 11:30"}
    page = build.page(found)
    assert page.count("2026-02-02 11:30") > page.count("2026-02-02T11:30")


def test_winners_that_cannot_be_told_apart_are_one_name_in_any_order() -> None:
    """A or B of one task and B or A of another are the same winners."""
    spread = (0.998, 1.0, 1.003, 0.999, 1.001)
    speeds = (("jax", 0.020, spread), ("keras", 0.0199, spread[::-1]), ("pytorch", 0.040, spread))
    results = [
        builders.result(builders.case(framework=name), [s * seconds for s in order])
        for name, seconds, order in speeds
    ]
    found = content.of([builders.run(results, plan=builders.plan([r.case for r in results]))])
    orders = itertools.permutations(found.compared)
    headlines = {build.headline(replace(found, compared=order)) for order in orders}
    assert headlines == {"JAX or Keras is fastest for fake inference"}


def test_variables_keep_their_names_among_the_facts() -> None:
    """Facts are written as words; what is to be set in a shell is not."""
    facts: dict[str, str | int | float | bool | Absent] = {
        "logical_cores": 2,
        "variable XLA_FLAGS": "--a_b",
    }
    run = builders.run([], environment=replace(builders.ENVIRONMENT, facts=facts))
    page = str(environment.html(content.of([run])))
    assert '<th scope="row">logical cores</th><td>2</td>' in page
    assert '<th scope="row">variable XLA_FLAGS</th><td>--a_b</td>' in page


def test_what_is_known_of_devices_is_in_the_environment() -> None:
    """A card's memory, driver and power limit stood in the document and nowhere on the page."""
    gpu = replace(
        builders.CPU,
        id="nvidia:0",
        memory_mib=81559.0,
        facts={"power_limit_w": 700.0, "driver": "580.1", "ecc": Absent(reason="not supported")},
    )
    run = builders.run([], environment=replace(builders.ENVIRONMENT, devices=(builders.CPU, gpu)))
    page = str(environment.html(content.of([run])))
    assert '<th scope="row">nvidia:0</th><td>Fake device</td><td>81,559</td>' in page
    assert '<th scope="row">nvidia:0 power limit w</th><td>700</td>' in page
    assert '<th scope="row">nvidia:0 driver</th><td>580.1</td>' in page
    assert re.search(r"nvidia:0 ecc</th><td><span[^>]*>absent: not supported", page)


def _version_2(run: Run) -> Run:
    """Of other files of the same workloads, under the next version's number."""
    workloads = tuple(
        replace(w, content_hash="2" * 64, version=w.version + 1) for w in run.plan.workloads
    )
    return replace(run, plan=replace(run.plan, workloads=workloads))


def test_another_version_of_a_workload_is_named_and_has_a_line_of_its_own() -> None:
    """Samples of another size stood in one line, and in bars on one scale, without a word."""
    same, other = (
        content.of([RUN, run], side_by_side=True)
        for run in (documents.other_machine(), _version_2(documents.other_machine()))
    )
    assert not any("version" in origin for origin in content.origins(same.rows))
    told = dict(zip((row.machine for row in other.rows), content.origins(other.rows), strict=True))
    assert told["test-2c"].endswith("version 1")
    assert told["other-4c"].endswith("version 2")
    lines = [
        _section(build.page(found), "machines").count("<tr data-r=") for found in (same, other)
    ]
    assert lines[1] == 2 * lines[0]


def test_other_numbers_of_threads_are_told_apart_on_one_machine() -> None:
    """Both documents of a case looked the same but for their hour."""
    fewer = replace(RUN, run_id="fewer", plan=replace(RUN.plan, threads=RUN.plan.threads + 1))
    rows = content.of([RUN, fewer], side_by_side=True).rows
    told = {
        (row.case.device, origin.rpartition(", ")[2])
        for row, origin in zip(rows, content.origins(rows), strict=True)
        if "threads" in origin
    }
    assert told == {("cpu", "CPU threads: 1"), ("cpu", "CPU threads: 2")}
    alone = content.origins(content.of([RUN], side_by_side=True).rows)
    assert not any("threads" in origin for origin in alone)


def test_documents_beyond_the_last_column_are_counted_and_have_no_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Their cases were lines in which every document was said not to have been asked."""
    from dlbench.report.sections import machines

    monkeypatch.setattr(machines, "MOST_COLUMNS", 2)
    run = builders.sealed_run()
    further = replace(run, run_id="c", environment=replace(run.environment, machine="third"))
    section = _section(build.build([RUN, documents.other_machine(), further]), "machines")
    alone = _section(build.build([RUN, documents.other_machine()]), "machines")
    assert "1 further document has no column here." in section
    assert section.count("<tr data-r=") == alone.count("<tr data-r=")


def test_a_batch_and_options_that_were_asked_for_are_asked_for_again() -> None:
    """The command measured with the workload's own batch, and without the adapter's option."""
    from dlbench.report.sections import reproduce

    def command(*cases: Case) -> str:
        return reproduce.command(builders.run([builders.result(c, [0.01]) for c in cases]))

    one = builders.case(batch_size=1024, options=(("compile", "max"),))
    assert "--option compile=max --batch-size 1024" in command(one)
    training = replace(one, mode=Mode.TRAINING, scenario=None, batch_size=4)
    assert "--batch-size" not in command(one, training)
    assert "--option" not in command(one, replace(one, options=(("compile", "none"),)))
    driven = replace(one, options=((DRIVER_OPTION, LOADGEN),))
    assert "--loadgen" in command(driven)
    assert "--option" not in command(driven)


def test_cases_that_differ_in_an_adapters_option_are_told_apart(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two of ``dlbench ab option.compile_mode=...`` had one name, in the page and in the table."""
    modes = [
        builders.case(framework="pytorch", options=(("compile_mode", mode),))
        for mode in ("default", "max-autotune")
    ]
    run = builders.run([builders.result(case, [0.01, 0.011, 0.012]) for case in modes])
    found = [content.doer(row) for row in content.of([run]).rows]
    assert [name.rpartition(", ")[2] for name in found] == [
        "compile_mode=default",
        "compile_mode=max-autotune",
    ]
    monkeypatch.setenv("COLUMNS", "120")  # in 80 a name so long is broken
    show.run_table(run)
    out = capsys.readouterr().out
    assert "compile_mode=default" in out
    assert "compile_mode=max-autotune" in out
