"""``smoothsal doctor``: is there anything wrong with a machine, a model, a slide or a store?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from napari_smoothsal.cli.app import command, complain
from napari_smoothsal.cli.doctor_subjects import Subject, Ways, subjects
from napari_smoothsal.core.errors import SettingError, SmoothsalError
from napari_smoothsal.core.findings import Finding, anything_wrong

WELL, WRONG, NOT_SEEN = 0, 1, 2
_COLOURS = {"ok": "green", "note": "yellow", "repaired": "cyan", "wrong": "red"}


@command("doctor", after="what was repaired stays so; run it again")
def doctor(
    things: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL|SLIDE|STORE|FOLDER]...",
            help="A built-in model, a model folder, a slide, a store, or a folder that holds some. "
            "Unset: this machine, and the current folder.",
        ),
    ] = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Of stores: remove what killed processes left, and forget what is damaged, so "
            "that the same run computes it again. Without it nothing is changed.",
        ),
    ] = False,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Of slides: read all tissue, not a sample.")
    ] = False,
    sha256: Annotated[
        bool, typer.Option("--sha256", help="Of slides: hash the file, to compare it with another.")
    ] = False,
    mpp: Annotated[
        float | None, typer.Option(help="Micrometres per pixel of slides, if the file is wrong.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look at this machine, or at models, slides and stores; say what is wrong and what to do.

    Exit code 0: all is well; 1: something is wrong; 2: something could not be looked at.
    """
    if repair and not things:
        raise SettingError("--repair is of stores: name one, or a folder that holds some")
    ways = Ways(mpp, thorough, sha256, repair)
    seen: list[tuple[Subject, Sequence[Finding]]] = []
    blind = False
    for given in things or [""]:
        try:
            for subject in subjects(given, ways) if things else [_machine()]:
                try:
                    findings = subject.look()
                except (SmoothsalError, OSError) as error:
                    complain("not looked at", f"{subject.name}: {error}")
                    blind = True
                    continue
                seen.append((subject, findings))
                if not as_json:
                    _print(subject, findings)
        except (SmoothsalError, OSError) as error:
            complain("not looked at", str(error))
            blind = True
    if as_json:
        typer.echo(json.dumps([_listed(subject, findings) for subject, findings in seen], indent=2))
    bad = any(anything_wrong(findings) for _, findings in seen)
    raise typer.Exit(NOT_SEEN if blind else WRONG if bad else WELL)


def _machine() -> Subject:
    from napari_smoothsal.runs.machine_check import examine_machine

    return Subject("machine", "this machine", examine_machine)


def _listed(subject: Subject, findings: Sequence[Finding]) -> dict[str, Any]:
    return {
        "kind": subject.kind,
        "name": subject.name,
        "well": not anything_wrong(findings),
        "findings": [asdict(finding) for finding in findings],
    }


def _print(subject: Subject, findings: Sequence[Finding]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    title = subject.name if subject.kind == "machine" else f"{subject.kind} {subject.name}"
    # Hashes are there to be copied: where one does not fit, it goes on below.
    said_of = Column(overflow="fold")
    table = Table("", "", said_of, box=SIMPLE_HEAD, show_header=False, pad_edge=False)
    for finding in findings:
        said = Text(finding.what)
        if finding.remedy:
            said.append(f"\n-> {finding.remedy}", style="bold" if finding.state == "wrong" else "")
        state = Text(finding.state, style=_COLOURS[finding.state])
        table.add_row(state, Text(finding.name), said)
    console = Console()
    # As text: names of files may look like rich's markup.
    console.print(Text(title, style="bold"))
    console.print(table)
