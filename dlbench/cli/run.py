"""``dlbench run``: measure."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlbench.cli import completing, parsing
from dlbench.core.errors import (
    EXIT_INTERRUPTED,
    EXIT_NOTHING_RAN,
    EXIT_SOME_FAILED,
    MissingError,
    StoreError,
    UsageError,
)
from dlbench.core.types import (
    DRIVER_OPTION,
    LATENCY_LIMIT_OPTION,
    LOADGEN,
    BatchRule,
    DataMode,
    Mode,
    OutcomeKind,
    OwnModel,
    Policy,
    Precision,
    Run,
    Scenario,
    Selection,
    TelemetryLevel,
)

if TYPE_CHECKING:
    from dlbench.cli.progress import Progress
    from dlbench.session import Finished, Settings

MATRIX = "What to run"
OWN = "A model of your own"
HOW = "How to measure"
WHERE = "Where results go"


def run(  # noqa: PLR0913, PLR0917 - a command line is its options
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WORKLOAD|SUITE]...",
            help="Workloads, suites or a workload's folder; default the suite quick; see dlbench list.",
            autocompletion=completing.workloads,
            show_default=False,
        ),
    ] = None,
    framework: Annotated[
        list[str] | None,
        typer.Option(
            "--framework",
            "-f",
            help="pytorch, tensorflow, ...; default all that are installed.",
            autocompletion=completing.frameworks,
            rich_help_panel=MATRIX,
        ),
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device",
            "-d",
            help="cpu, nvidia, nvidia:0, ...; default all that are found.",
            autocompletion=completing.devices,
            rich_help_panel=MATRIX,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.py:FUNCTION|FILE.onnx",
            help="A model of your own: what makes it, or an ONNX file. This runs its code.",
            rich_help_panel=OWN,
        ),
    ] = None,
    model_input: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="SHAPE[:DTYPE[:BELOW]]",
            help="One sample of its input: 3x224x224, or 128:int64:30522 for tokens; repeatable.",
            rich_help_panel=OWN,
        ),
    ] = None,
    loss: Annotated[
        str,
        typer.Option(
            help="What trains it: auto (cross entropy of classes, else mse), cross_entropy, mse.",
            rich_help_panel=OWN,
        ),
    ] = "auto",
    name: Annotated[
        str | None,
        typer.Option(help="What it is called; default by file and function.", rich_help_panel=OWN),
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            help="fp32 (default), tf32, bf16, fp16, int8.",
            autocompletion=completing.one_of(Precision),
            rich_help_panel=MATRIX,
        ),
    ] = None,
    mode: Annotated[
        list[str] | None,
        typer.Option(
            help="training, inference; default both.",
            autocompletion=completing.one_of(Mode),
            rich_help_panel=MATRIX,
        ),
    ] = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            help="Of inference alone: offline (default), single_stream, server.",
            autocompletion=completing.one_of(Scenario),
            rich_help_panel=MATRIX,
        ),
    ] = None,
    latency_limit: Annotated[
        str | None,
        typer.Option(
            help="Of server: 99 of 100 queries are answered within it: 100ms (default), 2s.",
            rich_help_panel=MATRIX,
        ),
    ] = None,
    loadgen: Annotated[
        bool,
        typer.Option(
            "--loadgen",
            help="Let MLCommons LoadGen make the queries of offline and single_stream too.",
            rich_help_panel=MATRIX,
        ),
    ] = False,
    batch_size: Annotated[
        list[str] | None,
        typer.Option(
            "--batch-size",
            "-b",
            help="Samples a step, auto (the fastest that fits) or sweep; default the workload's.",
            rich_help_panel=MATRIX,
        ),
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="base (default; the same plain settings for all), tuned (what an expert uses).",
            autocompletion=completing.one_of(Policy),
            rich_help_panel=MATRIX,
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Inputs: synthetic (default; resident), host (copied), pipeline (files).",
            autocompletion=completing.one_of(DataMode),
            rich_help_panel=MATRIX,
        ),
    ] = None,
    variant: Annotated[
        str,
        typer.Option(help="full, or tiny for a quick trial of dlbench.", rich_help_panel=MATRIX),
    ] = "full",
    profile: Annotated[
        str,
        typer.Option(
            help="How precisely: quick (+-5 %), standard (+-2 %), strict (+-1 %).",
            autocompletion=completing.profiles,
            rich_help_panel=HOW,
        ),
    ] = "quick",
    time_budget: Annotated[
        str | None,
        typer.Option(
            help="Measure no longer than this: 90s, 10m, 2h; default the profile's, once each "
            "case has three trials.",
            rich_help_panel=HOW,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="CPU threads; default all that may be used.", rich_help_panel=HOW),
    ] = None,
    telemetry: Annotated[
        str,
        typer.Option(
            help="Energy, power, clocks, memory beside the work: off, basic (ten times a second), "
            "full (also PCIe traffic).",
            autocompletion=completing.one_of(TelemetryLevel),
            rich_help_panel=HOW,
        ),
    ] = "basic",
    detect_cloud: Annotated[
        bool,
        typer.Option(
            "--detect-cloud",
            help="Ask the cloud's metadata service for region and instance type, where the disk does "
            "not say; the only use of the network.",
            rich_help_panel=HOW,
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the order of trials.", rich_help_panel=HOW)] = 0,
    phase_timeout: Annotated[
        float | None,
        typer.Option(
            help="Seconds after which a silent worker is ended, whatever its phase.",
            rich_help_panel=HOW,
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option", "-o", help="NAME=VALUE for the framework adapter.", rich_help_panel=HOW
        ),
    ] = None,
    workloads_folder: Annotated[
        Path | None,
        typer.Option("--workloads", help="A folder of your own workloads.", rich_help_panel=MATRIX),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for result documents.", rich_help_panel=WHERE)
    ] = Path("results"),
    tag: Annotated[
        list[str] | None,
        typer.Option(help="A word to find the document by; repeatable.", rich_help_panel=WHERE),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="JOURNAL|last",
            help="Go on with an unfinished run.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    seal: Annotated[
        bool,
        typer.Option(
            "--seal",
            help="With --resume: measure no more; write the document of what there is.",
            rich_help_panel=WHERE,
        ),
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(help="Folder for an HTML report of this run.", rich_help_panel=WHERE),
    ] = None,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Wait for a device that is in use.", rich_help_panel=HOW),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Show the plan and stop.", rich_help_panel=HOW)
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure workloads on this machine and write a result document.

    Lists may be written with commas or by repeating the option.

    Example: dlbench run resnet50 --framework pytorch,tensorflow --device cpu --mode inference
    """
    from dlbench import cloud, session
    from dlbench import environment as environments
    from dlbench import plan as planning
    from dlbench.cli import show
    from dlbench.cli.progress import Progress
    from dlbench.store import journal

    # What is resumed has its frameworks in its journal.
    own = own_model(model, model_input, name, loss, frameworks_given=bool(framework or resume))
    given, workloads_folder = own_folder(parsing.listed(names), workloads_folder)
    batch_rule = _batch_rule(batch_size)
    selection = Selection(
        workloads=given,
        model=own,
        frameworks=parsing.listed(framework),
        devices=parsing.listed(device),
        precisions=parsing.choices(Precision, precision, "--precision"),
        modes=parsing.choices(Mode, mode, "--mode"),
        scenarios=parsing.choices(Scenario, scenario, "--scenario"),
        batch_sizes=parsing.whole_numbers(batch_size, "--batch-size") if batch_rule is None else (),
        batch_rule=batch_rule,
        policies=parsing.choices(Policy, policy, "--policy"),
        data_modes=parsing.choices(DataMode, data, "--data"),
        variant=variant,
        profile=profile,
        time_budget_s=parsing.seconds(time_budget),
        seed=seed,
        threads=threads,
        options=(*parsing.pairs(option), *_latency_limit(latency_limit), *_driver(loadgen=loadgen)),
        tags=parsing.listed(tag),
        telemetry=parsing.choices(TelemetryLevel, [telemetry], "--telemetry")[0],
    )
    settings = session.Settings(
        folder=out,
        wait=wait,
        phase_timeout_s=parsing.timeout(phase_timeout, "--phase-timeout"),
        workload_folder=workloads_folder,
        model=own,
    )
    if report is not None and not dry_run:
        journal.check_writable(report, "--report")
    if seal and resume is None:
        raise UsageError("--seal is for a run that was interrupted", "--resume last --seal")
    if resume is not None:
        parsing.refuse(
            {
                "a workload's name": [word for word in parsing.listed(names) if not _is_path(word)],
                "--framework": framework,
                "--device": device,
                "--mode": mode,
                "--precision": precision,
                "--scenario": scenario,
                "--latency-limit": latency_limit,
                "--loadgen": loadgen,
                "--data": data,
                "--batch-size": batch_size,
                "--policy": policy,
                "--variant": variant != "full",
                "--option": option,
                "--profile": profile != "quick",
                "--time-budget": time_budget,
                "--threads": threads,
                "--telemetry": telemetry != TelemetryLevel.BASIC,
                "--detect-cloud": detect_cloud,
                "--seed": seed,
                "--tag": tag,
                "--dry-run": dry_run,
            },
            *parsing.RESUMED,
        )
        finished = (
            session.seal(journal_of(resume, out))
            if seal
            else resume_session(resume, settings, Progress(show.console(stderr=json)))
        )
        _close(finished, report, as_json=json)
        return
    machine = parsing.this_machine(
        fake=parsing.asks_for_fake(selection), threads=threads, workload_folder=workloads_folder
    )
    devices = machine.devices
    plan = planning.make_plan(selection, machine)
    if dry_run:
        estimate = planning.estimate_time(plan, devices)
        if json:
            show.as_json(show.plan_summary(plan, estimate))
        else:
            show.plan(plan, estimate)
        return
    rented = cloud.by_network(cloud.on_disk()) if detect_cloud else None
    environment = environments.gather(*parsing.used(plan, devices), rented=rented)
    with Progress(show.console(stderr=json)) as progress:
        if batch_rule is BatchRule.AUTO:
            plan = session.search_batches(plan, devices, settings, progress)
        finished = session.run_plan(
            plan, environment, devices, settings, progress, asked=selection.frameworks
        )
    _close(finished, report, as_json=json)


def journal_of(named: str, folder: Path) -> Path:
    """The journal of that name, or the ``last`` one of a folder."""
    from dlbench.store import runs

    return runs.latest_journal(folder) if named == "last" else Path(named)


def resume_session(journal_or_last: str, settings: Settings, progress: Progress) -> Finished:
    """Go on with a journal; what to run and how stands in it."""
    from dlbench import environment as environments
    from dlbench import session
    from dlbench.core import registry
    from dlbench.store import journal

    path = journal_of(journal_or_last, settings.folder)
    plan = journal.read_journal(path).header.plan
    devices, _ = parsing.find_devices(fake=any(c.device == registry.FAKE for c in plan.cases))
    environment = environments.gather(*parsing.used(plan, devices))
    with progress:
        return session.resume(path, environment, devices, settings, progress)


def _close(finished: Finished, report: Path | None, *, as_json: bool) -> None:
    """Show what was measured, and end with the exit code that says how it went.

    Raises:
        StoreError: the report cannot be written; all else has been shown.
    """
    from dlbench.cli import show

    run_ = finished.run
    page = report / f"{run_.run_id}.html" if report and not finished.interrupted else None
    if not as_json:
        _show(finished, reported=page is not None)
    # After what was measured is shown: nothing that befalls a report takes that away.
    unwritten = None if page is None else _write(run_, page, finished.path)
    if as_json:
        show.as_json(_summary(finished, None if unwritten else page))
    elif page is not None and unwritten is None:
        show.line(f"report    {page}")
    if unwritten is not None:
        raise unwritten
    code = exit_code(run_, interrupted=finished.interrupted)
    if code:
        raise typer.Exit(code)


def _show(finished: Finished, *, reported: bool) -> None:
    from dlbench.analysis import bottleneck, noise
    from dlbench.analysis import compare as comparing
    from dlbench.cli import show, show_telemetry

    run_ = finished.run
    compared = comparing.within(run_)
    show.run_table(run_)
    show_telemetry.devices(run_)
    show_telemetry.overhead(run_)
    show.comparisons(compared)
    show.slower_tuned(compared)
    show.bottlenecks(bottleneck.find(run_))
    show.line(noise.sentence(noise.noise(run_)))
    show.where(finished.path, interrupted=finished.interrupted, reported=reported)


def _summary(finished: Finished, page: Path | None) -> dict[str, Any]:
    """What was measured, as ``--json`` prints it."""
    from dlbench.analysis import bottleneck, noise, policies
    from dlbench.analysis import compare as comparing
    from dlbench.cli import show

    run_ = finished.run
    bounds = [bottleneck.plain(b) for b in bottleneck.find(run_)]
    slower = [policies.sentence(c) for c in policies.slower_tuned(comparing.within(run_))]
    found = {"noise": noise.plain(noise.noise(run_)), "slower_tuned": slower, "bottlenecks": bounds}
    paths = {"path": str(finished.path), "report": None if page is None else str(page)}
    return {**show.run_summary(run_), **found, **paths, "interrupted": finished.interrupted}


def _write(run_: Run, page: Path, document: Path) -> StoreError | None:
    """Write the report; why it cannot be, if so."""
    from dlbench.cli.report import write

    try:
        write([run_], page)
    except StoreError as error:
        return StoreError(error.message, f"dlbench report {document} --out FILE")
    return None


def exit_code(run_: Run, *, interrupted: bool) -> int:
    """What the process ends with once the document is written."""
    from dlbench.session import ASKED

    if interrupted:
        return EXIT_INTERRUPTED
    outcomes = [result.outcome for result in run_.results]
    if outcomes and all(o.kind is OutcomeKind.MISSING_DEPENDENCY for o in outcomes):
        return MissingError.exit_code
    if not any(o.ok for o in outcomes):
        return EXIT_NOTHING_RAN
    wanted_but_missing = ASKED in run_.notes and any(
        skip.outcome.kind is OutcomeKind.MISSING_DEPENDENCY for skip in run_.plan.skips
    )
    return EXIT_SOME_FAILED if wanted_but_missing or not all(o.ok for o in outcomes) else 0


# --- work of the user's own ------------------------------------------------------------------


def own_model(
    model: str | None,
    inputs: list[str] | None,
    name: str | None,
    loss: str,
    *,
    frameworks_given: bool,
) -> OwnModel | None:
    """The model that ``--model`` and its companions name, if any."""
    from dlbench import own_models

    if model is None:
        if inputs or name or loss != own_models.LOSSES[0]:
            raise UsageError("--input, --name and --loss go with --model", own_models.HOW)
        return None
    # A repeated option, since commas are nothing that a shape has.
    return own_models.parse(model, inputs or (), name, loss, frameworks_given=frameworks_given)


def own_folder(names: tuple[str, ...], folder: Path | None) -> tuple[tuple[str, ...], Path | None]:
    """Names, with a workload's folder (``./mine``) told from them: its name, and where it lies."""
    given = [word for word in names if _is_path(word)]
    for word in given:
        path = Path(word).resolve()
        if not (path / "workload.toml").is_file():
            raise UsageError(
                f"{word} is no folder with a workload.toml", "See docs/extend/add-a-workload.md."
            )
        if folder is not None and folder.resolve() != path.parent:
            raise UsageError(
                f"{word} does not lie in {folder}, as the others do",
                "Give workloads of one folder at a time.",
            )
        folder = path.parent
    return tuple(Path(word).resolve().name if _is_path(word) else word for word in names), folder


def _is_path(word: str) -> bool:
    return "/" in word or word in (".", "..")


# --- parsing --------------------------------------------------------------------------------


def _batch_rule(given: list[str] | None) -> BatchRule | None:
    """``auto`` or ``sweep``, which stand alone."""
    words = parsing.listed(given)
    rules = [word for word in words if word in list(BatchRule)]
    if rules and len(words) > 1:
        raise UsageError(
            f"--batch-size {','.join(words)} mixes {rules[0]} with others", "Give it alone."
        )
    return BatchRule(rules[0]) if rules else None


def _driver(*, loadgen: bool) -> tuple[tuple[str, str], ...]:
    """As the option that a case of LoadGen's has it."""
    return ((DRIVER_OPTION, LOADGEN),) if loadgen else ()


def _latency_limit(text: str | None) -> tuple[tuple[str, str], ...]:
    """As the option that a server's case has it, in milliseconds."""
    if text is None:
        return ()
    number, per_unit = (text[:-2], 1.0) if text.endswith("ms") else (text.removesuffix("s"), 1e3)
    try:
        limit_ms = float(number) * per_unit
    except ValueError:
        limit_ms = math.nan
    if not 0 < limit_ms < math.inf:
        raise UsageError(f"--latency-limit {text!r} is not a time", "Write 50ms or 2s.")
    if number == text:
        raise UsageError(f"--latency-limit {text!r} has no unit", f"Write {text}ms or {text}s.")
    return ((LATENCY_LIMIT_OPTION, f"{limit_ms:g}"),)
