"""``python -m dlbench``: the command line."""

from __future__ import annotations


def main() -> None:
    """Start the Typer application."""
    from dlbench.cli.main import main as run_cli

    run_cli()


if __name__ == "__main__":
    main()
