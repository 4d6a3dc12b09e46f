"""``dlbench replicate``: measure again what a document says, here, and say whether it agrees."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlbench.core.errors import EXIT_INTERRUPTED, EXIT_NOTHING_RAN, EXIT_REFUSED, EXIT_SOME_FAILED
from dlbench.core.types import Run

if TYPE_CHECKING:
    from dlbench.analysis.agreement import Agreement
    from dlbench.replication import Replication
    from dlbench.session import Finished


def replicate(  # noqa: PLR0913, PLR0917 - a command line is its options
    file: Annotated[Path, typer.Argument(help="The document to replicate.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Say what can run here and stop.")
    ] = False,
    time_budget: Annotated[
        str | None, typer.Option(help="Measure no longer than this; default the document's.")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="CPU threads; default the document's, as far as there are."),
    ] = None,
    sessions: Annotated[
        Path | None,
        typer.Option(help="Folder of documents that say how a machine differs from day to day."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 5 if anything differs.")
    ] = False,
    workloads_folder: Annotated[
        Path | None, typer.Option("--workloads", help="A folder of your own workloads.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the new document.")] = Path("results"),
    wait: Annotated[bool, typer.Option("--wait", help="Wait for a device in use.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the agreement as JSON.")] = False,
) -> None:
    """Run a document's plan on this machine and report agreement, case by case.

    The rules are the document's: cases, trials, precision, budget, seed. Cases that cannot run here
    are named with the reason. Conclusions (PyTorch faster than JAX) are compared too.

    Example: dlbench replicate results/20261124T050843Z-amd-epyc-2c-eec169.json
    """
    from dataclasses import asdict

    from dlbench import environment as environments
    from dlbench import replication, session
    from dlbench.analysis.agreement import agreement, plain
    from dlbench.cli import parsing, show, show_replicate
    from dlbench.cli.ab_progress import AbProgress
    from dlbench.cli.progress import Progress
    from dlbench.core import registry
    from dlbench.store import runs as store

    there = store.read_run(file)
    known = store.load_runs([sessions]) if sessions else ()
    fake = any(result.case.framework == registry.FAKE for result in there.results)
    machine = parsing.this_machine(fake=fake, threads=threads, workload_folder=workloads_folder)
    found = replication.replication(there, machine, parsing.seconds(time_budget), threads)
    if dry_run and json:
        show.as_json(
            {
                "cases": [case.label for case in found.plan.cases],
                "impossible": [asdict(one) for one in found.impossible],
                "changed": list(found.changed),
            }
        )
    elif dry_run or not json:
        show_replicate.plan(there, found)
    if dry_run:
        return
    environment = environments.gather(*parsing.used(found.plan, machine.devices))
    settings = session.Settings(folder=out, wait=wait, workload_folder=workloads_folder)
    kind = AbProgress if found.plan.pairings else Progress
    with kind(show.console(stderr=json)) as progress:
        finished = session.run_plan(found.plan, environment, machine.devices, settings, progress)
    result = agreement(there, finished.run, known)
    if json:
        names = {"replicates": there.run_id, "run_id": finished.run.run_id}
        show.as_json(
            {**names, "path": str(finished.path), **plain(result),
             "impossible": [asdict(one) for one in found.impossible],
             "interrupted": finished.interrupted}
        )  # fmt: skip
    else:
        show_replicate.agreement(there, finished.run, result)
        show.where(finished.path, interrupted=finished.interrupted)
    code = _exit_code(finished, found, result, strict=strict)
    if code:
        raise typer.Exit(code)


def _exit_code(finished: Finished, found: Replication, result: Agreement, *, strict: bool) -> int:
    if finished.interrupted:
        return EXIT_INTERRUPTED
    if not _measured(finished.run):
        return EXIT_NOTHING_RAN
    if strict and result.differs:
        return EXIT_REFUSED
    failed = any(c.state == "failed here" for c in result.cases)
    return EXIT_SOME_FAILED if failed or found.impossible else 0


def _measured(run: Run) -> bool:
    return any(result.measured for result in run.results)
