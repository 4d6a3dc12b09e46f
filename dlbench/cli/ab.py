"""``dlbench ab``: which of two is faster, here and now."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlbench.cli import completing
from dlbench.core.errors import (
    EXIT_INTERRUPTED,
    EXIT_NOTHING_RAN,
    EXIT_REFUSED,
    EXIT_SOME_FAILED,
    UsageError,
)
from dlbench.core.types import DataMode, Mode, OwnModel, Precision, Run, Scenario, Selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dlbench.analysis.contests import Contest
    from dlbench.analysis.fail_if import Condition
    from dlbench.arms import Arm
    from dlbench.cli.ab_progress import AbProgress
    from dlbench.session import Finished, Settings

COMMON = "What is the same on both sides"
HOW = "How to measure"
WHERE = "Where results go"


def ab(  # noqa: PLR0913, PLR0917 - a command line is its options
    a: Annotated[
        str,
        typer.Argument(
            metavar="A", help="One side: framework=pytorch,policy=tuned ...", show_default=False
        ),
    ] = "",
    b: Annotated[
        str,
        typer.Argument(
            metavar="B", help="The other side; the verdict is on it.", show_default=False
        ),
    ] = "",
    command: Annotated[
        bool,
        typer.Option("--command", "-c", help="A and B are whole commands to time (no shell)."),
    ] = False,
    workload: Annotated[
        list[str] | None,
        typer.Option(
            "--workload",
            "-w",
            help="Workloads, default lstm_lm.",
            autocompletion=completing.workloads,
            rich_help_panel=COMMON,
        ),
    ] = None,
    framework: Annotated[
        list[str] | None,
        typer.Option(
            "--framework",
            "-f",
            help="pytorch, tensorflow, ...",
            autocompletion=completing.frameworks,
            rich_help_panel=COMMON,
        ),
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device",
            "-d",
            help="cpu, nvidia, nvidia:0, ...",
            autocompletion=completing.devices,
            rich_help_panel=COMMON,
        ),
    ] = None,
    mode: Annotated[
        list[str] | None,
        typer.Option(
            help="training, inference; default both.",
            autocompletion=completing.one_of(Mode),
            rich_help_panel=COMMON,
        ),
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            help="fp32 (default), bf16, ...",
            autocompletion=completing.one_of(Precision),
            rich_help_panel=COMMON,
        ),
    ] = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            help="offline (default), single_stream, server.",
            autocompletion=completing.one_of(Scenario),
            rich_help_panel=COMMON,
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="synthetic (default), host, pipeline.",
            autocompletion=completing.one_of(DataMode),
            rich_help_panel=COMMON,
        ),
    ] = None,
    batch_size: Annotated[
        list[str] | None,
        typer.Option("--batch-size", "-b", help="Samples a step.", rich_help_panel=COMMON),
    ] = None,
    variant: Annotated[
        str, typer.Option(help="full, or tiny for a quick trial.", rich_help_panel=COMMON)
    ] = "full",
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", help="NAME=VALUE for adapters.", rich_help_panel=COMMON),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.py:FUNCTION|FILE.onnx",
            help="A model of your own on both sides; model=... in A and B for two.",
            rich_help_panel=COMMON,
        ),
    ] = None,
    model_input: Annotated[
        list[str] | None,
        typer.Option(
            "--input", metavar="SHAPE[:DTYPE[:BELOW]]", help="Its input.", rich_help_panel=COMMON
        ),
    ] = None,
    loss: Annotated[
        str, typer.Option(help="auto, cross_entropy, mse.", rich_help_panel=COMMON)
    ] = "auto",
    workloads_folder: Annotated[
        Path | None,
        typer.Option("--workloads", help="A folder of your own.", rich_help_panel=COMMON),
    ] = None,
    pairs: Annotated[
        int, typer.Option(help="At most so many: 8, 16, 32 or 64.", rich_help_panel=HOW)
    ] = 64,
    zone: Annotated[
        str, typer.Option(help="Differences below it make none.", rich_help_panel=HOW)
    ] = "2%",
    profile: Annotated[
        str,
        typer.Option(
            help="How long a trial is: quick, standard.",
            autocompletion=completing.profiles,
            rich_help_panel=HOW,
        ),
    ] = "quick",
    time_budget: Annotated[
        str | None,
        typer.Option(help="Begin no pair that ends after it: 10m, 2h.", rich_help_panel=HOW),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads.", rich_help_panel=HOW)
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of the lot that says who is first.", rich_help_panel=HOW)
    ] = 0,
    timeout: Annotated[
        float | None,
        typer.Option(help="Seconds for a phase, or a command.", rich_help_panel=HOW),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for a device in use.", rich_help_panel=HOW)
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Show the plan and stop.", rich_help_panel=HOW)
    ] = False,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            help="Exit code 5 if: slower:3%, faster:3%, different, cannot-tell, unresolved:3%.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for the document.", rich_help_panel=WHERE)
    ] = Path("results"),
    trace: Annotated[
        Path | None,
        typer.Option(
            help="File for all pairs, as benchmarks/aa_replay.py reads them.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="JOURNAL|last",
            help="Go on; A and B are left out, but where they name models.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Compare A with B in interleaved pairs of fresh processes until it can be told.

    A and B set any of framework, device, precision, policy, data, batch, option.NAME, model (your
    own: FILE.py:FUNCTION) and python (another environment's); name says what to call a side.

    Example: dlbench ab framework=pytorch framework=tensorflow -w resnet50 --mode inference

    Example: dlbench ab python=old/bin/python python=new/bin/python -f pytorch --fail-if slower:3%

    Example: dlbench ab --command "python old.py" "python new.py"
    """
    from dlbench import paired
    from dlbench.analysis import fail_if as failing
    from dlbench.cli import parsing
    from dlbench.core.stats import EQUIVALENCE_ZONE

    conditions = [failing.parse(text) for text in fail_if or ()]
    share = failing.relative(zone, "--zone")
    budget_s = parsing.seconds(time_budget)
    timeout = parsing.timeout(timeout, "--timeout")
    of_plan: dict[str, object] = {
        "--workload": workload,
        "--framework": framework,
        "--device": device,
        "--mode": mode,
        "--precision": precision,
        "--scenario": scenario,
        "--data": data,
        "--batch-size": batch_size,
        "--variant": variant != "full",
        "--option": option,
        "--profile": profile != "quick",
        "--threads": threads,
    }
    if command:
        if dry_run or resume is not None:
            raise UsageError(
                "commands have no plan to show and no journal to go on with",
                "Leave --dry-run and --resume out with --command.",
            )
        of_run: dict[str, object] = {
            "--model": model,
            "--input": model_input,
            "--loss": loss != "auto",
            "--workloads": workloads_folder,
            "--wait": wait,
            "--out": out != Path("results"),
        }
        parsing.refuse({**of_plan, **of_run}, "for commands", FOR_COMMANDS)
        _commands((a, b), pairs, share, budget_s, timeout, seed, trace, conditions, as_json=json)
        return
    if resume is not None:
        of_pairs: dict[str, object] = {
            "--pairs": pairs != paired.LOOKS[-1],
            "--zone": share != EQUIVALENCE_ZONE,
            "--time-budget": time_budget,
            "--seed": seed,
            "--dry-run": dry_run,
        }
        # A model is in no journal: it is named again.
        of_sides: dict[str, object] = {
            side: text for side, text in (("A", a), ("B", b)) if "model=" not in (text or "")
        }
        parsing.refuse({**of_sides, **of_plan, **of_pairs}, *parsing.RESUMED)
    sides, own = _sides(
        (a, b),
        model,
        model_input or [],
        loss,
        frameworks_given=bool(framework or resume),
        resumed=resume is not None,
    )
    given = parsing.listed(workload)
    common = Selection(
        workloads=given if given or own else (DEFAULT_WORKLOAD,),
        model=own,
        frameworks=parsing.listed(framework),
        devices=parsing.listed(device),
        precisions=parsing.choices(Precision, precision, "--precision"),
        modes=parsing.choices(Mode, mode, "--mode"),
        scenarios=parsing.choices(Scenario, scenario, "--scenario"),
        batch_sizes=parsing.whole_numbers(batch_size, "--batch-size"),
        data_modes=parsing.choices(DataMode, data, "--data"),
        variant=variant,
        profile=profile,
        time_budget_s=budget_s,
        seed=seed,
        threads=threads,
        options=parsing.pairs(option),
    )
    from dlbench import session

    settings = session.Settings(
        folder=out,
        wait=wait,
        phase_timeout_s=timeout,
        workload_folder=workloads_folder,
        model=own,
        other_models=tuple(arm.own for arm in sides or () if arm.own is not None),
    )
    if trace is not None and not dry_run:
        _write(trace, [], mode="a")  # before anything is measured: whether it can be
    finished = (
        _measure(sides, common, settings, pairs, share, dry_run=dry_run, as_json=json)
        if sides and resume is None
        else _resumed(str(resume), settings, as_json=json)
    )
    if finished is not None:
        _close(finished, trace, conditions, as_json=json)


FOR_COMMANDS = (
    "With --command go --pairs, --zone, --time-budget, --seed, --timeout, --fail-if, --trace and "
    "--json."
)

DEFAULT_WORKLOAD = "lstm_lm"
"""The smallest that has both modes and a model file in every framework family."""


def _sides(
    sides: tuple[str, str],
    model: str | None,
    inputs: list[str],
    loss: str,
    *,
    frameworks_given: bool,
    resumed: bool,
) -> tuple[tuple[Arm, Arm] | None, OwnModel | None]:
    """Both sides, and the model of the user's own that is common to them, if any.

    What is resumed has its sides and frameworks in its journal, but not the models that they name.
    """
    from dlbench import arms, own_models

    if resumed and not any(sides):
        if model is None:
            return None, None
        return None, own_models.parse(model, inputs, None, loss, frameworks_given=frameworks_given)
    a, b = (arms.parse(text) for text in sides)
    if model is not None and (a.model or b.model):
        raise UsageError("--model is for both sides, and model= for one", "Give one of them.")
    a, b = arms.with_models(a, b, inputs, loss, frameworks_given=frameworks_given)
    if model is None:
        if inputs and a.own is None:
            raise UsageError("--input goes with a model of your own", own_models.HOW)
        return (a, b), None
    given = frameworks_given or "framework" in a.set()
    own = own_models.parse(model, inputs, None, loss, frameworks_given=given)
    return (a, b), own


def _progress(*, as_json: bool) -> AbProgress:
    from dlbench.cli import show
    from dlbench.cli.ab_progress import AbProgress

    return AbProgress(show.console(stderr=as_json))


def _resumed(journal: str, settings: Settings, *, as_json: bool) -> Finished:
    """A comparison that was interrupted, gone on with."""
    from dlbench.cli.run import journal_of, resume_session
    from dlbench.store.journal import read_journal

    path = journal_of(journal, settings.folder)
    # Before anything is measured: the latest journal may be a run's.
    if not read_journal(path).header.plan.pairings:
        raise UsageError(f"{path} is no comparison of pairs", f"dlbench run --resume {path}")
    return resume_session(str(path), settings, _progress(as_json=as_json))


def _measure(  # what the command line gives
    sides: tuple[Arm, Arm],
    common: Selection,
    settings: Settings,
    pairs: int,
    zone: float,
    *,
    dry_run: bool,
    as_json: bool,
) -> Finished | None:
    """Plan, show what it may take, and run; None where that was all that was asked."""
    from dataclasses import replace

    from dlbench import arms, session
    from dlbench import environment as environments
    from dlbench import plan as planning
    from dlbench.cli import parsing, show, show_ab

    a, b = sides
    asked = [arms.selected(arm, common) for arm in (a, b)]
    fake = any(parsing.asks_for_fake(selection) for selection in asked)
    machine = parsing.this_machine(
        fake=fake, threads=common.threads, workload_folder=settings.workload_folder
    )
    plan = arms.make_pairs(a, b, common, machine, zone=zone, most_pairs=pairs)
    estimate = planning.estimate_time(plan, machine.devices)
    if dry_run and as_json:
        show.as_json(show.plan_summary(plan, estimate))
    elif dry_run or not as_json:
        show_ab.plan(plan, estimate)
    if dry_run:
        return None
    environment = environments.gather(*parsing.used(plan, machine.devices))
    settings = replace(settings, pythons=arms.pythons(plan, a, b))
    with _progress(as_json=as_json) as progress:
        return session.run_plan(plan, environment, machine.devices, settings, progress)


def _close(
    finished: Finished, trace: Path | None, conditions: Sequence[Condition], *, as_json: bool
) -> None:
    """Show the verdicts, and end with the exit code that says how it went."""
    from dlbench.analysis import contests as judging
    from dlbench.cli import show, show_ab

    found = judging.contests(finished.run)
    broken = _broken(found, conditions)
    if as_json:
        show.as_json(
            {
                "run_id": finished.run.run_id,
                "path": str(finished.path),
                "interrupted": finished.interrupted,
                "contests": [judging.plain(c) for c in found],
                "failed_conditions": broken,
            }
        )
    else:
        show_ab.contests(found)
        show_ab.conditions(broken)
        plan = finished.run.plan
        show.where(
            finished.path,
            interrupted=finished.interrupted,
            resumable=not plan.has_environments,
        )
    if trace is not None:
        _write(trace, judging.trace(finished.run))
    code = exit_code(finished.run, found, broken, interrupted=finished.interrupted)
    if code:
        raise typer.Exit(code)


def _broken(found: Sequence[Contest], conditions: Sequence[Condition]) -> list[str]:
    """Conditions of ``--fail-if`` that hold, in words."""
    from dlbench.analysis.contests import task

    return [
        f"{condition.words}: {task(contest)}"
        for contest in found
        for condition in conditions
        if not contest.refusal and condition.holds(contest.judgement)
    ]


def exit_code(
    run: Run, found: Sequence[Contest], broken: Sequence[str], *, interrupted: bool
) -> int:
    """What the process ends with: failures before verdicts, verdicts before conditions."""
    if interrupted:
        return EXIT_INTERRUPTED
    if not any(t.outcome.ok for r in run.results for t in r.trials):
        return EXIT_NOTHING_RAN
    if any(c.refusal for c in found):
        return EXIT_SOME_FAILED
    return EXIT_REFUSED if broken else 0


def _write(path: Path, lines: Sequence[str], mode: str = "w") -> None:
    from dlbench.core.errors import StoreError

    try:
        with path.open(mode, encoding="utf-8") as file:
            file.writelines(line + "\n" for line in lines)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}", "Choose another.") from None


def _commands(  # noqa: PLR0913, PLR0917 - what the command line gives
    sides: tuple[str, str],
    pairs: int,
    zone: float,
    budget_s: float | None,
    timeout_s: float | None,
    seed: int,
    trace: Path | None,
    conditions: Sequence[Condition],
    *,
    as_json: bool,
) -> None:
    """Time whole commands in pairs."""
    from dlbench.cli import show, show_ab
    from dlbench.session import commands

    request = commands.request(
        sides, most_pairs=pairs, zone=zone, budget_s=budget_s, timeout_s=timeout_s, seed=seed
    )
    watch = show_ab.command_watcher(request, stderr=as_json)
    if trace is None:
        found = commands.run(request, watch)
    else:
        _write(trace, [])
        found = commands.run(request, watch, functools.partial(_write, trace, mode="a"))
    refusal = found.refusal()
    broken = [c.words for c in conditions if not refusal and c.holds(found.judgement)]
    if as_json:
        show.as_json({**commands.plain(found), "failed_conditions": broken})
    else:
        show_ab.commands_verdict(found)
        show_ab.conditions(broken)
    if found.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    if refusal:
        raise typer.Exit(EXIT_SOME_FAILED)
    if broken:
        raise typer.Exit(EXIT_REFUSED)
