"""Tiles and maps that ``smoothsal evaluate --faithfulness`` and ``--sanity`` look at."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from napari_smoothsal.attribution import METHODS, Explainer
from napari_smoothsal.attribution.base import ImageMethod
from napari_smoothsal.attribution.map_plan import settled
from napari_smoothsal.cli.flags import fields_of, settings_from
from napari_smoothsal.cli.options import options_by_name
from napari_smoothsal.cli.specs import image_scale
from napari_smoothsal.core.errors import SettingError, SmoothsalError
from napari_smoothsal.core.specs import Compute, SaliencySpec, Tiling
from napari_smoothsal.denoise import DENOISINGS
from napari_smoothsal.evaluation.nuclei_in_tiles import NucleiInTiles
from napari_smoothsal.evaluation.paper import Tiles
from napari_smoothsal.evaluation.some_tiles import InMemory, drawn
from napari_smoothsal.models import Model
from napari_smoothsal.models.layers import main_layers
from napari_smoothsal.runs import plan_tiles
from napari_smoothsal.slides import open_slide
from napari_smoothsal.slides.image_folder import ImageFolder
from napari_smoothsal.slides.labelled import images_in
from napari_smoothsal.slides.outlines import read_outlines
from napari_smoothsal.slides.sample import sample_outlines_path, sample_slide_path

if TYPE_CHECKING:
    from napari_smoothsal.evaluation.faithful_maps import Truth

QUICK: dict[str, dict[str, Any]] = {
    "extremal_perturbation": {"iterations": 50, "step": 0.1},
    "gradient_shap": {"draws": 10},
    "igos": {"iterations": 5, "steps": 5},
    "igos_plus": {"iterations": 5, "steps": 5},
    "igos_plus_plus": {"iterations": 5, "steps": 5},
    "integrated_gradients": {"steps": 10},
    "kernel_shap": {"samples": 200},
    "lime": {"samples": 200},
    "meaningful_perturbation": {"iterations": 50},
    "occlusion": {"size_px": 32, "stride_px": 16},
    "rise": {"masks": 400},
    "shapley_sampling": {"permutations": 2},
}
"""What slow methods are told where nothing else is: enough to compare, in bearable time."""

DENOISED = ("original", "centred_hook")
LAYERS = 2


class CheckedTiles(NamedTuple):
    """Tiles, and what is known of them.

    Attributes
    ----------
    tiles
        Of one size.
    truth
        Where the classes are, or None.
    words
        What they are, for the report.
    """

    tiles: Tiles
    truth: Truth | None
    words: str


def checked_tiles(
    model: Model, data: Path | None, mpp: float | None, resize: int | None, count: int, seed: int
) -> CheckedTiles:
    """So many tiles, drawn by chance: of a folder, or of the sample slide.

    Raises
    ------
    SmoothsalError
        If there are none, or they do not fit the model.
    """
    if data is None:
        for flag, value in (("--mpp", mpp), ("--resize", resize)):
            if value is not None:
                raise SettingError(f"{flag} {value} is of the images in --data; give that as well")
        return _of_sample_slide(model, count, seed)
    files = images_in(data)
    chosen = sorted(drawn(range(len(files)), count, seed))
    scale = image_scale(model, mpp, resize)
    some = [files[i] for i in chosen]
    tiles = ImageFolder(data, model.card.input_size, scale, resize, some, model.card.resampling)
    return CheckedTiles(tiles, None, f"{len(tiles)} of {len(files)} images, drawn by chance")


def checked_specs(
    model: Model, given: dict[str, Any], compute: Compute
) -> tuple[list[SaliencySpec], list[str]]:
    """Specs of everything that was asked for and that the model can be explained by.

    Returns
    -------
    specs
        One for each layer, denoising and method; where no gradients are used, one denoising.
    left_out
        What cannot be computed, and why, in words.

    Raises
    ------
    SmoothsalError
        If something does not exist, or a method that was named can be used nowhere.
    """
    fields = fields_of(SaliencySpec, given)
    layers = fields.pop("layer", None) or _usual_layers(model)
    methods = fields.pop("method", None) or sorted(METHODS)
    denoisings = fields.pop("denoising", None) or list(DENOISED)
    options = {
        entries.what: options_by_name(entries, chosen, fields.pop(f"{entries.what}_options", {}))
        for entries, chosen in ((METHODS, methods), (DENOISINGS, denoisings))
    }
    fields.setdefault("samples", 0)
    specs: list[SaliencySpec] = []
    left_out: dict[str, None] = {}
    for layer, method, denoising in product(layers, methods, denoisings):
        if isinstance(METHODS[method], ImageMethod) and layer != "input" and "input" in layers:
            continue  # it is computed once, at the image
        told = {**QUICK.get(method, {}), **options["method"][method]}
        chosen = {"layer": layer, "method": method, "denoising": denoising}
        spec = settings_from(SaliencySpec, fields | chosen).model_copy(
            update={"method_options": told, "denoising_options": options["denoising"][denoising]}
        )
        used = settled(spec, "tiles")
        if used in specs:
            continue
        try:
            Explainer(model, [used], compute, "tiles", warn=False)
        except SmoothsalError as error:
            left_out[f"{method} at {layer}: {error}"] = None
            continue
        specs.append(used)
    if not specs:
        raise SettingError(f"nothing can be computed: {next(iter(left_out))}")
    return specs, list(left_out)


def _usual_layers(model: Model) -> list[str]:
    """The image, and the last stages with a stride above them."""
    there = {info.name: info for info in model.layers()}
    main = main_layers(list(there.values()))
    strided = [name for name in main if there[name].strided_convs_above]
    return ["input", *(strided or main)[-LAYERS:]]


def _of_sample_slide(model: Model, count: int, seed: int) -> CheckedTiles:
    with sample_slide_path() as path, open_slide(path) as slide:
        plan = plan_tiles(slide, model, Tiling(halo=0, overlap=0.0))
        chosen = sorted(drawn(range(len(plan)), count, seed))
        boxes = [plan.grid.box(index) for index in chosen]
        side, by = plan.grid.tile_px, plan.resampling
        pixels = [torch.from_numpy(slide.read_box(box, (side, side), by)) for box in boxes]
        mpp = slide.require_mpp()
    with sample_outlines_path() as path:
        outlines = read_outlines(path)
    names = [f"x {box.x:.0f}, y {box.y:.0f}" for box in boxes]
    tiles = InMemory(names, torch.stack(pixels).movedim(-1, 1).contiguous())
    words = (
        f"{len(tiles)} of {len(plan)} tiles of the synthetic sample slide, drawn by chance; its "
        "nuclei are known"
    )
    return CheckedTiles(tiles, NucleiInTiles(outlines, boxes, mpp, side), words)
