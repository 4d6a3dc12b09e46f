"""``dlbench recommend``: what to rent or use for this job, and why."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlbench.cli import completing
from dlbench.core.errors import EXIT_INTERRUPTED, NothingToRunError, StoreError, UsageError
from dlbench.core.types import Objective, Precision, Task

if TYPE_CHECKING:
    from dlbench.core.recommendation import Launch
    from dlbench.core.types import Run

EXAMPLE = "dlbench recommend --workload resnet50 --samples 50000 --epochs 20 --budget-usd 10"


def recommend(  # noqa: PLR0913, PLR0917 - one parameter an option
    need_file: Annotated[
        Path | None, typer.Argument(metavar="[NEED]", help="A need as a TOML file.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the need is called.")] = None,
    task: Annotated[Task | None, typer.Option(help="What is to be done.")] = None,
    workload: Annotated[
        str | None,
        typer.Option(
            help="A workload of dlbench list, or your own of run --model.",
            autocompletion=completing.one_workload,
        ),
    ] = None,
    variant: Annotated[str | None, typer.Option(help="Its variant.")] = None,
    parameters: Annotated[float | None, typer.Option(help="Without workload: parameters.")] = None,
    flops_per_sample: Annotated[
        float | None, typer.Option(help="Without workload: FLOPs of a forward of one sample.")
    ] = None,
    activation_mib: Annotated[
        float | None, typer.Option(help="MiB that training keeps a sample, in fp32.")
    ] = None,
    framework: Annotated[
        str | None, typer.Option(help="Framework.", autocompletion=completing.frameworks)
    ] = None,
    precision: Annotated[Precision | None, typer.Option(help="Precision.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="This batch, and no other.")] = None,
    samples: Annotated[float | None, typer.Option(help="Samples of the data set.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over them.")] = None,
    steps: Annotated[float | None, typer.Option(help="Or: optimiser steps.")] = None,
    requests_per_s: Annotated[float | None, typer.Option(help="Inference: requests a s.")] = None,
    p99_ms: Annotated[float | None, typer.Option(help="Inference: 99 of 100 in time.")] = None,
    hours_per_month: Annotated[float | None, typer.Option(help="Inference: hours on.")] = None,
    runs_per_month: Annotated[float | None, typer.Option(help="Training: runs a month.")] = None,
    data_gb: Annotated[float | None, typer.Option(help="Data to upload.")] = None,
    upload_mbit_per_s: Annotated[float | None, typer.Option(help="Upload bandwidth.")] = None,
    deadline_h: Annotated[float | None, typer.Option(help="Hours until it must be done.")] = None,
    budget_usd: Annotated[float | None, typer.Option(help="For one run.")] = None,
    budget_usd_per_month: Annotated[float | None, typer.Option(help="For a month.")] = None,
    carbon_limit_kg: Annotated[float | None, typer.Option(help="Largest footprint.")] = None,
    carbon_usd_per_kg: Annotated[
        float | None, typer.Option(help="Weight of carbon within cost.")
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(
            help="Where it may be: DE, EU, eu-central-1; repeatable.",
            autocompletion=completing.regions,
        ),
    ] = None,
    exclude_provider: Annotated[
        list[str] | None, typer.Option(help="Leave out; repeatable.")
    ] = None,
    max_devices: Annotated[int | None, typer.Option(help="Of an instance; 0: CPUs alone.")] = None,
    max_instances: Annotated[int | None, typer.Option(help="Inference: of a service.")] = None,
    spot: Annotated[bool | None, typer.Option("--spot/--no-spot", help="Spot allowed.")] = None,
    spot_interruptions_per_h: Annotated[
        tuple[float, float] | None, typer.Option(help="Low and high.", metavar="LOW HIGH")
    ] = None,
    set_up_min: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Minutes until a machine works, low and high.", metavar="LOW HIGH"),
    ] = None,
    checkpoint_min: Annotated[float | None, typer.Option(help="Minutes of a checkpoint.")] = None,
    max_price_age: Annotated[int | None, typer.Option(help="Days; older prices are out.")] = None,
    intensity: Annotated[float | None, typer.Option(help="Grams of CO2e a kWh.")] = None,
    pue: Annotated[float | None, typer.Option(help="Power usage effectiveness.")] = None,
    objective: Annotated[Objective | None, typer.Option(help="What to minimise.")] = None,
    confidence: Annotated[float | None, typer.Option(help="Share of outcomes in limits.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the simulation.")] = None,
    results: Annotated[
        list[Path] | None,
        typer.Option(help="Documents that count as evidence. Default: results/ here."),
    ] = None,
    catalog_files: Annotated[
        list[Path] | None, typer.Option("--catalog", help="Your own price file; repeatable.")
    ] = None,
    predictions: Annotated[
        bool, typer.Option("--predictions/--no-predictions", help="Predict what nobody measured.")
    ] = True,
    explain: Annotated[bool, typer.Option("--explain", help="Show each number's way.")] = False,
    rejected: Annotated[
        bool, typer.Option("--rejected", help="Show all that was rejected.")
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
    launch: Annotated[
        Path | None, typer.Option(help="Write task.yaml and steps.sh into this folder.")
    ] = None,
) -> None:
    """Recommend hardware for a need: a TOML file, flags, or both (flags win).

    Without any, five questions are asked in a terminal. Nothing is measured, and nothing is fetched.

    Example: dlbench recommend --workload resnet50 --samples 50000 --epochs 20 --budget-usd 10
    """
    _load_numpy()
    from dlbench import catalog
    from dlbench.analysis import recommend as recommending
    from dlbench.analysis.recommend import needs
    from dlbench.cli import markdown_recommend, show, show_recommend
    from dlbench.cli.catalog import today
    from dlbench.core import recommendation

    given: dict[str, Any] = {
        "name": name,
        "task": task,
        "workload": workload,
        "variant": variant,
        "parameters": parameters,
        "flops_per_sample": flops_per_sample,
        "activation_mib_per_sample": activation_mib,
        "framework": framework,
        "precision": precision,
        "batch_size": batch_size,
        "samples": samples,
        "epochs": epochs,
        "steps": steps,
        "requests_per_s": requests_per_s,
        "p99_ms": p99_ms,
        "hours_per_month": hours_per_month,
        "runs_per_month": runs_per_month,
        "data_gb": data_gb,
        "upload_mbit_per_s": upload_mbit_per_s,
        "deadline_h": deadline_h,
        "budget_usd": budget_usd,
        "budget_usd_per_month": budget_usd_per_month,
        "carbon_limit_kg": carbon_limit_kg,
        "carbon_usd_per_kg": carbon_usd_per_kg,
        "regions": region,
        "exclude_providers": exclude_provider,
        "max_devices": max_devices,
        "max_instances": max_instances,
        "spot": spot,
        "spot_interruptions_per_h": spot_interruptions_per_h,
        "set_up_min": set_up_min,
        "checkpoint_min": checkpoint_min,
        "max_price_age_days": max_price_age,
        "intensity_g_per_kwh": intensity,
        "pue": pue,
        "objective": objective,
        "confidence": confidence,
        "seed": seed,
    }
    flags = {name: value for name, value in given.items() if value not in (None, [])}
    table = needs.read(need_file) if need_file is not None else {}
    table |= flags
    if not table:
        _refuse_without_terminal()
    runs, loaded = _documents(results), catalog.load(catalog_files or [])
    if not table:
        table = _asked(lambda so_far: recommending.check(needs.build(so_far)[0], runs, loaded))
    need, defaults = needs.build(table)
    answer = recommending.recommend(
        need,
        runs,
        loaded,
        recommending.predictor(runs, loaded) if predictions else None,
        today=today(),
        defaults=defaults,
    )
    if launch is not None:
        _write(launch, answer.launch)
    if json:
        show.as_json(recommendation.plain(answer))
    elif markdown:
        markdown_recommend.show(answer, explain=explain)
    else:
        show_recommend.answer(answer, explain=explain, all_rejected=rejected)
    if answer.pick is None:
        raise NothingToRunError(
            "nothing in the catalog keeps every limit",
            "Loosen what binds, or add offers of your own: dlbench catalog add prices.csv",
        )


def _load_numpy() -> None:
    """Numpy with one thread, if nobody says otherwise: it reads how many when it is loaded, only then.

    One solves the predictor's few hundred rows in milliseconds. Several wait for each other, spinning:
    seconds where the processors have other work, and the last digits hang on how many they are.
    """
    if THREADS not in os.environ:
        os.environ[THREADS] = "1"
        importlib.import_module("numpy")
        del os.environ[THREADS]


THREADS = "OPENBLAS_NUM_THREADS"


def _documents(given: list[Path] | None) -> tuple[Run, ...]:
    """Evidence: the files that were named, else this folder's ``results`` where there are any."""
    from dlbench.store import runs as store

    if given:
        return store.load_runs(given)
    folder = Path("results")
    return store.load_runs([folder]) if any(folder.glob("*.json")) else ()


def _write(folder: Path, answered: Launch | None) -> None:
    """Launch files of this answer; those of an earlier one must not stay where it has none."""
    texts = {
        "task.yaml": answered.skypilot_yaml if answered else None,
        "steps.sh": answered.shell if answered else None,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            if isinstance(text, str):
                (folder / name).write_text(text, encoding="utf-8")
            else:
                (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"{folder} cannot be written: {error.strerror}", "Another --launch."
        ) from error


def _refuse_without_terminal() -> None:
    if not sys.stdin.isatty():
        raise UsageError("no need is given, and nobody is at the terminal to ask", EXAMPLE)


def _asked(check: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Five questions, beside the answer's stream, which may go into a file.

    Raises:
        Exit: by Ctrl-C or the end of input, with the code of an interruption.
    """
    from dlbench.cli import show_recommend

    typer.echo("Five questions; Enter takes what is in brackets, or leaves one open.", err=True)
    try:
        return show_recommend.questions(partial(typer.prompt, err=True), check)
    except typer.Abort:
        typer.echo(err=True)  # the prompt's line is not ended
        raise typer.Exit(EXIT_INTERRUPTED) from None
