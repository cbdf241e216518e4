"""``smoothsal methods``: the ways to compute a map, and what each can be told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_smoothsal.cli.app import command

if TYPE_CHECKING:
    from napari_smoothsal.attribution import Method


@command("methods", after="nothing was changed")
def methods(
    name: Annotated[
        str | None, typer.Argument(help="Tell the options of this one; none: list all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the saliency methods, or the options of one."""
    from rich.console import Console
    from rich.table import Column, Table

    from napari_smoothsal.attribution import METHODS

    chosen = list(METHODS.values()) if name is None else [METHODS[name]]
    told = [_told(method) for method in chosen]
    if as_json:
        typer.echo(json.dumps(told, indent=2))
    elif name is None:
        widest = max(map(len, METHODS))
        table = Table(Column("method", no_wrap=True, min_width=widest), "layers", "what it shows")
        for one in told:
            table.add_row(one["name"], one["layers"], one["title"])
        Console().print(table)
    else:
        (one,) = told
        typer.echo(f"{one['name']}, at {one['layers']} layers. {one['title']}")
        for option in one["options"]:
            default = json.dumps(option["default"])
            typer.echo(f"  --method-option {option['name']}={default}\n    {option['help']}")
        typer.echo(
            f"Beside other methods, --method-option {name}.OPTION=VALUE is for this one alone."
        )


def _told(method: Method) -> dict[str, Any]:
    from napari_smoothsal.attribution.base import ImageMethod

    return {
        "name": method.name,
        "title": method.title,
        "layers": "input" if isinstance(method, ImageMethod) else "all",
        "options": [
            {"name": option, "default": field.get_default(), "help": field.description}
            for option, field in method.options.model_fields.items()
        ],
    }
