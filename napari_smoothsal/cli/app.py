"""The command's frame: sub-commands, exit codes, how errors and warnings look."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any

import typer

from napari_smoothsal import __version__
from napari_smoothsal.core.available_cores import limit_compute_threads
from napari_smoothsal.core.errors import SmoothsalError
from napari_smoothsal.core.freed_memory import keep_freed_memory

DONE, SOME_FAILED, NOTHING_STARTED, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    name="smoothsal",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Hidden-layer saliency for whole-slide images. For research use only.",
)


RESUMABLE = "run the same command again to go on where it stopped"


def command(
    name: str, *, after: str = RESUMABLE, of: typer.Typer = app
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a sub-command whose errors become one line and an exit code.

    Parameters
    ----------
    name
        Of the command.
    after
        What to say when it was interrupted.
    of
        A group of commands; else the main one.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def reported(**values: Any) -> Any:
            try:
                return function(**values)
            except SmoothsalError as error:
                complain("error", str(error))
                raise typer.Exit(NOTHING_STARTED) from error
            except BrokenPipeError:  # whoever read what is printed has gone: click ends quietly
                raise
            except OSError as error:  # a full or read-only disk, a missing permission
                complain("error", f"{error.strerror or error}: {error.filename or 'the output'}")
                raise typer.Exit(NOTHING_STARTED) from error
            except MemoryError as error:  # where no smaller pass helps: tables, whole pictures
                said = f" ({error})" if str(error) else ""
                complain("error", f"memory ran out{said}; with more of it free, {after}")
                raise typer.Exit(NOTHING_STARTED) from error
            except KeyboardInterrupt as error:
                complain("interrupted", after)
                raise typer.Exit(INTERRUPTED) from error

        return of.command(name)(reported)

    return register


def complain(kind: str, message: str) -> None:
    """One line on standard error."""
    word = typer.style(f"{kind}: ", fg="yellow" if kind == "warning" else "red")
    # By its name: `err=True` writes past a progress bar, into the bar's line.
    typer.echo(f"{word}{message}", file=sys.stderr)


@app.callback(invoke_without_command=True)
def _frame(
    version: bool = typer.Option(False, "--version", help="Print the version and leave."),
) -> None:
    if version:
        typer.echo(f"napari-smoothsal {__version__}")
        raise typer.Exit
    keep_freed_memory()
    limit_compute_threads()


def registered() -> typer.Typer:
    """The command with all its sub-commands."""
    from napari_smoothsal.cli import (  # noqa: F401 - they register
        calibrate,
        card,
        card_stain,
        demo,
        doctor,
        evaluate,
        info,
        layers,
        methods,
        run,
        train_surrogate,
        trust,
    )

    return app


def main() -> None:
    """Entry point of the ``smoothsal`` script."""

    told: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_place: Any) -> None:
        # Python itself would say it anew wherever filters were touched in between.
        if issubclass(category, UserWarning) and str(message) not in told:
            told.add(str(message))
            complain("warning", str(message))

    warnings.showwarning = show  # type: ignore[assignment]
    sys.exit(registered()())
