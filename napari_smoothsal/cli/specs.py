"""What several commands make of their flags: specs, a region, and one explained slide."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import typer

from napari_smoothsal.cli.app import SOME_FAILED, complain
from napari_smoothsal.cli.disk_errors import unwritable
from napari_smoothsal.cli.flags import fields_of, settings_from
from napari_smoothsal.cli.options import options_by_name
from napari_smoothsal.cli.run_told import told_midway
from napari_smoothsal.core.caller_warning import warn_caller
from napari_smoothsal.core.errors import SettingError, SmoothsalError
from napari_smoothsal.core.specs import Compute, SaliencySpec, Tiling

if TYPE_CHECKING:
    from napari_smoothsal.models import Model
    from napari_smoothsal.runs import Run, RunPlan
    from napari_smoothsal.runs.places import Place
    from napari_smoothsal.slides import Slide

AS_THEY_ARE = "bring images and masks of another one to it first"
"""Remedy where a mask would have to be resized with its image."""

COMBINED = ("layer", "denoising", "method")
"""Fields that may be given several times: one map for each combination."""


def at_first_layer(specs: Sequence[SaliencySpec], model: Model) -> list[SaliencySpec]:
    """Specs for which no layer was given, at one of the model's, which is told.

    Methods that change the image make maps of the image; of others see `start_layer`.
    """
    from napari_smoothsal.attribution import METHODS
    from napari_smoothsal.attribution.base import ImageMethod
    from napari_smoothsal.models.layers import start_layer

    start = start_layer(model.layers(), model.card.input_mpp)
    layers = ["input" if isinstance(METHODS[spec.method], ImageMethod) else start for spec in specs]
    chosen = " and ".join(dict.fromkeys(layers))
    chosen = f"{chosen}, as no --layer was given (`smoothsal layers MODEL` lists them)"
    typer.echo(f"layer: {chosen}", err=True)
    return [
        spec.model_copy(update={"layer": layer}) for spec, layer in zip(specs, layers, strict=True)
    ]


def specs_from(given: dict[str, Any]) -> list[SaliencySpec]:
    """A spec for each combination of what was given, for slides.

    Where no layer was given it is the image, until the model is known: see `at_first_layer`.

    Raises
    ------
    SmoothsalError
        If a value cannot work, whatever the model and the slide.
    """
    fields = {"layer": ["input"]} | fields_of(SaliencySpec, given)
    from napari_smoothsal.attribution import METHODS
    from napari_smoothsal.denoise import DENOISINGS

    options = {}
    for entries in (DENOISINGS, METHODS):
        chosen = fields.get(entries.what) or [SaliencySpec.model_fields[entries.what].default]
        told = fields.pop(f"{entries.what}_options", {})
        options[entries.what] = options_by_name(entries, chosen, told)
    choices = [[(name, value) for value in fields.pop(name, [])] for name in COMBINED]
    specs = [
        settings_from(SaliencySpec, fields | dict(choice))
        for choice in product(*(c for c in choices if c))
    ]
    return _each_once(
        spec.model_copy(
            update={
                "denoising_options": options["denoising"][spec.denoising],
                "method_options": options["method"][spec.method],
            }
        )
        for spec in specs
    )


def spec_from(given: dict[str, Any]) -> SaliencySpec:
    """The one spec of what was given, where nothing may be given several times.

    Raises
    ------
    SmoothsalError
        As `specs_from`.
    """
    listed = {name: [given[name]] for name in COMBINED if name in given}
    (spec,) = specs_from(given | listed)
    return spec


def _each_once(specs: Iterable[SaliencySpec]) -> list[SaliencySpec]:
    """Without those whose map another makes already: denoisings of what uses no gradients."""
    from napari_smoothsal.attribution.map_plan import settled

    kept: list[tuple[SaliencySpec, SaliencySpec]] = []
    for spec in specs:
        used = settled(spec, "slide")
        same = next((one for one, its in kept if its == used), None)
        if same is None:
            kept.append((spec, used))
        else:
            warn_caller(
                f"method {spec.method!r} makes the same map with denoising {spec.denoising!r} as "
                f"with {same.denoising!r}: it is computed once"
            )
    return [spec for spec, _ in kept]


def run_settings(given: dict[str, Any], region: str | None) -> dict[str, Any]:
    """What `explain_slide` takes besides slide, model, specs and place."""
    return {
        "region": region_from(region),
        "tiling": settings_from(Tiling, given),
        "compute": settings_from(Compute, given),
        "progress": True,
        "on_plan": _tell_plan,
    }


def devices_from(given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What was given with one device, and all devices: ``--device cuda:0,cuda:1`` names two."""
    devices = [device.strip() for device in given.get("device", "auto").split(",")]
    if not all(devices):
        raise SettingError(
            f"--device {given['device']}: give a device, or several with commas between them, e.g. "
            "cuda:0,cuda:1"
        )
    return {**given, "device": devices[0]}, devices


def region_from(text: str | None) -> tuple[int, int, int, int] | None:
    """``X,Y,W,H`` as numbers."""
    if text is None:
        return None
    try:
        x, y, w, h = (int(part) for part in text.split(","))
    except ValueError:
        raise SettingError(
            f"--region {text!r} is not X,Y,W,H: four whole numbers in level-0 px, e.g. "
            "1000,2000,512,512"
        ) from None
    return (x, y, w, h)


def explained(
    slide: Slide,
    model: Model,
    specs: list[SaliencySpec],
    store: Place,
    settings: dict[str, Any],
) -> Run:
    """Explain one slide, and say whether its store was there before."""
    from napari_smoothsal.runs import explain_slide
    from napari_smoothsal.runs.layout import FINISHED, own_attributes
    from napari_smoothsal.runs.places import mark_of
    from napari_smoothsal.runs.progress import announced, terminal_bar

    # When the status of a store was written; None where there is no store.
    own, marked = own_attributes(store), mark_of(store / "zarr.json")
    again = settings.get("retry_failed") and own is not None and own["status"] != "complete"
    going_on = own is not None and (again or own["status"] not in FINISHED)
    try:
        with terminal_bar(slide.name) as report:
            if going_on:  # told once nothing can refuse it any more
                said = f"{store} is unfinished: going on where it stopped"
                report = announced(report, partial(typer.echo, said, err=True))
            done = explain_slide(slide, model, specs, store, **settings | {"progress": report})
    except BrokenPipeError:
        raise
    except (SmoothsalError, OSError) as error:
        # A run that starts, and one that goes on, marks its store before anything else.
        if mark_of(store / "zarr.json") == marked:
            if (refused := unwritable(error, store)) is not None:
                raise refused from error
            raise
        told_midway(store, error)
        raise typer.Exit(SOME_FAILED) from error
    if own is not None and own["status"] in FINISHED and not again:
        typer.echo(f"{store} is already finished; nothing was computed", err=True)
    return done


def _tell_plan(plan: RunPlan) -> None:
    share = f"{100 * plan.tissue.share:.1f} % of the slide"
    typer.echo(
        f"{plan.slide_name}: tissue on {share} ({plan.tissue.source}); "
        f"{len(plan)} tiles of {plan.grid.tile_px} px",
        err=True,
    )


def tell_resolution(model: Model, remedy: str) -> None:
    """Warn that images, which say no resolution, are taken to be at the model's.

    Parameters
    ----------
    model
        Whose resolution is supposed; nothing is said where its card has none.
    remedy
        What to do if it is not.
    """
    if model.card.input_mpp is not None:
        complain(
            "warning",
            f"images have no resolution: they are taken to be at the model's "
            f"{model.card.input_mpp:g} um per pixel; {remedy}",
        )


def image_scale(model: Model, mpp: float | None, resize: int | None) -> float:
    """Px of images per px of a model's tile; 1 where they have no resolution.

    Where neither is given that is a supposition, and told: maps of images at another resolution
    look as good and mean nothing.

    Raises
    ------
    SettingError
        If both are given, or the model has no resolution to compare theirs with.
    """
    if mpp is None:
        if resize is None:
            tell_resolution(model, "give --mpp, theirs or this one")
        return 1.0
    if resize is not None:
        raise SettingError(
            f"--resize {resize} and --mpp {mpp}: the one is for images without a resolution, the "
            "other for those with one; leave one of the two away"
        )
    if model.card.input_mpp is None:
        raise SettingError(
            f"--mpp {mpp}: the card of model {model.card.name!r} gives no input_mpp to compare it "
            "with; leave --mpp away where images are as the model takes them"
        )
    return model.card.input_mpp / mpp
