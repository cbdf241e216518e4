"""``smoothsal layers``: the layers of a model at which a map can be computed."""

from __future__ import annotations

import json
from dataclasses import asdict
from math import inf, isinf
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_smoothsal.cli.app import command
from napari_smoothsal.cli.chosen_model import SOURCES, ChosenModel, model_flags

if TYPE_CHECKING:
    from napari_smoothsal.attribution.cost import LayerCost
    from napari_smoothsal.models import LayerInfo, Model
    from napari_smoothsal.models.impulse import Impulse

CONTRADICTED = 1
"""Exit code where the probe measures something else than was reckoned."""


@command("layers", after="nothing was changed")
@model_flags()
def layers(
    model: Annotated[ChosenModel, typer.Argument(help=SOURCES)],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON; null stands for the whole tile.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Measure stride, centre and receptive field of the suggested layers with an "
            "impulse probe, and say whether that agrees; exit with 1 where it does not.",
        ),
    ] = False,
    cost: Annotated[
        bool,
        typer.Option("--cost", help="Measure what a map of one tile costs at suggested layers."),
    ] = False,
    only_suggested: Annotated[
        bool, typer.Option("--suggested", help="List the suggested layers only.")
    ] = False,
) -> None:
    """List a model's layers with channels, stride, centre and what there is to denoise."""
    from napari_smoothsal.models.layers import main_layers

    loaded = model.load()
    found = loaded.layers()
    loaded.check_output()
    suggested = main_layers(found)
    measured = _measured(loaded, suggested) if check else {}
    costs = _costs(loaded, suggested) if cost else {}
    wrong = {n: words for n, i in measured.items() if (words := i.contradictions(loaded.layer(n)))}
    if only_suggested:
        found = [info for info in found if info.name in suggested]
    if as_json:
        typer.echo(json.dumps(_listing(found, suggested, measured, wrong, costs), indent=2))
    else:
        _print_card(loaded)
        _print_table(loaded, found, suggested, costs)
        _print_notes(loaded, suggested, costs)
        for name in measured:
            _print_check(loaded.layer(name), measured[name], wrong.get(name, []))
    if wrong:
        raise typer.Exit(CONTRADICTED)


def _measured(model: Model, names: list[str]) -> dict[str, Impulse]:
    from napari_smoothsal.models.impulse import Probe

    probe = Probe(model.module, len(model.card.mean), model.probe_px)
    return probe.measure([model.layer(name) for name in names])


def _costs(model: Model, names: list[str]) -> dict[str, LayerCost]:
    from napari_smoothsal.attribution.cost import layer_costs

    return {cost.layer: cost for cost in layer_costs(model, names)}


def _listing(
    found: list[LayerInfo],
    suggested: list[str],
    measured: dict[str, Impulse],
    wrong: dict[str, list[str]],
    costs: dict[str, LayerCost],
) -> list[dict[str, Any]]:
    listing = []
    for info in found:
        item = asdict(info) | {"suggested": info.name in suggested}
        for key in ("receptive_field", "first_seen"):
            item[key] = [None if isinf(value) else value for value in item[key]]
        if info.name in measured:
            contradictions = wrong.get(info.name, [])
            item["probe"] = asdict(measured[info.name]) | {
                "tight": measured[info.name].tight,
                "contradictions": contradictions,
            }
        if info.name in costs:
            item["cost"] = asdict(costs[info.name])
        listing.append(item)
    return listing


def _print_card(model: Model) -> None:
    card = model.card
    typer.echo(f"{card.name}: {card.kind}, classes {', '.join(card.class_names)}")
    if card.licence:
        typer.echo(f"Licence: {card.licence}")
    if card.intended_use:
        typer.echo(card.intended_use)
    for said in model.adaptations:
        typer.echo(said)


def _print_table(
    model: Model, found: list[LayerInfo], suggested: list[str], costs: dict[str, LayerCost]
) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Column, Table

    console, mpp = Console(), model.card.input_mpp
    # Names are there to be copied: where one does not fit, it is continued below, not cut off.
    name = Column("layer", overflow="fold")
    table = Table("", name, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    unit = "px" if mpp is None else "um"
    headings = ["chan-\nnels", "stride\npx", "um/px", "centre\npx", f"sees\n{unit}"]
    headings += ["strided\nconvs\nabove", *(["s per\ntile"] if costs else [])]
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for info in found:
        row = [
            "*" if info.name in suggested else "",
            info.name,
            str(info.channels),
            f"{info.stride[0]:.4g}",
            "" if mpp is None else f"{info.stride[0] * mpp:.3g}",
            _centre(info),
            _seen(info, mpp),
            str(len(info.strided_convs_above)),
        ]
        if costs:
            row.append(f"{costs[info.name].seconds:.2g}" if info.name in costs else "")
        table.add_row(*row)
    console.print(table)


def _centre(info: LayerInfo) -> str:
    centre = f"{round(info.centre[0], 2) + 0.0:g}"
    return centre + (f" +-{info.centre_spread:.3g}" if info.centre_spread else "")


def _seen(info: LayerInfo, mpp: float | None) -> str:
    field = info.receptive_field[0]
    if field == inf:
        return "tile"
    return f"{field if mpp is None else field * mpp:.4g}"


def _print_notes(model: Model, suggested: list[str], costs: dict[str, LayerCost]) -> None:
    typer.echo("* suggested: the last layer at each resolution. sees: its receptive field.")
    if not any(model.layer(name).strided_convs_above for name in suggested):
        typer.echo(
            "No strided convolution lies above the suggested layers: there is no\n"
            "checkerboard to remove, and denoisings leave their maps as they are."
        )
    if costs:
        from napari_smoothsal.attribution.cost import FEW, MORE

        one = next(iter(costs.values()))
        typer.echo(
            f"s per tile: {one.method} with {one.samples} noise samples, one layer\n"
            f"and one tile of {one.tile_px} px at a time, on {one.device} in {one.precision};\n"
            f"reckoned from passes of {FEW} and of {MORE} samples that were measured."
        )


def _print_check(info: LayerInfo, impulse: Impulse, wrong: list[str]) -> None:
    centre = round(impulse.centre[0], 2) + 0.0  # never -0
    from napari_smoothsal.models.impulse import tolerances

    within = tolerances(info)
    measured = (
        f"stride {impulse.stride[0]:.2f} (to {within.stride[0]:.2g}), "
        f"centre {centre:.2f} (to {within.centre[0]:.2g}) px"
    )
    if wrong:
        typer.echo(f"{info.name}: probe disagrees: {'; '.join(wrong)}")
        return
    sees = "the whole tile" if impulse.whole else f"{impulse.seen[0]} px"
    if not impulse.tight:
        sees += f" (at most {info.receptive_field[0]:g})"
    elif not impulse.whole and impulse.seen[0] < info.receptive_field[0]:
        sees += f" of {info.receptive_field[0]:g}, as the tile ends there"
    typer.echo(f"{info.name}: probe agrees: {measured}, sees {sees}")
