"""Readers: slides that OpenSlide opens, and stores of ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_smoothsal.core.caller_warning import warn_caller
from napari_smoothsal.runs.layout import SUFFIX
from napari_smoothsal.runs.places import place_of
from napari_smoothsal.viewer.slide_source import METADATA, RUN, layer_of_size

if TYPE_CHECKING:
    from napari_smoothsal.runs import Run
    from napari_smoothsal.viewer.map_picture import MapPicture

LayerData = tuple[Any, dict[str, Any], str]
Reader = Callable[[Any], list[LayerData]]

ONLY_SLIDES = {".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".svslide"}
"""Endings of files that hold slides and nothing else."""


def get_slide_reader(path: str | Sequence[str]) -> Reader | None:
    """A reader for slides; None for what OpenSlide does not open, e.g. a plain TIFF."""
    import openslide

    paths = _paths(path)
    # Here, and not in the process that a slide is tried in (`slide_probe`): it looks at headers
    # only, by OpenSlide's own parsers, and no image is decoded; while a process for each plain
    # TIFF that napari is given would cost more than reading it.
    try:
        known = all(p.is_file() and openslide.OpenSlide.detect_format(p) for p in paths)
    except (openslide.OpenSlideError, OSError):
        return None
    # A file that can be nothing else is ours: what is wrong with it is told when it is read.
    known = known or all(p.is_file() and p.suffix.lower() in ONLY_SLIDES for p in paths)
    return read_slides if known and paths else None


def read_slides(path: str | Sequence[str]) -> list[LayerData]:
    """Layer data of slides, lazily read."""
    from napari_smoothsal.viewer.slide_layer import open_slide_layer

    return [open_slide_layer(p) for p in _paths(path)]


def get_store_reader(path: str | Sequence[str]) -> Reader | None:
    """A reader for ``*.smoothsal.zarr`` folders, also behind URLs."""
    paths = [place_of(p) for p in _listed(path)]
    ours = all(p.name.endswith(SUFFIX) and (p / "zarr.json").is_file() for p in paths)
    return read_stores if ours and paths else None


def read_stores(path: str | Sequence[str]) -> list[LayerData]:
    """Layer data of stores: the overview where no slide is open yet, and every map."""
    from napari_smoothsal.runs import open_run
    from napari_smoothsal.viewer.class_layer import FILLED_OPACITY, class_layer_options
    from napari_smoothsal.viewer.map_layer import map_layer_options
    from napari_smoothsal.viewer.map_picture import class_picture_of, pictures_of
    from napari_smoothsal.viewer.placement import placement_in_micrometres
    from napari_smoothsal.viewer.stored_pixels import StoredPixels

    layers: list[LayerData] = []
    for p in map(place_of, _listed(path)):
        run = open_run(p)
        if not _its_slide_is_open(run):
            picture, scale, translate = run.overview
            options = {
                "name": f"overview of {p.name.removesuffix(SUFFIX)}",
                "rgb": True,
                "scale": scale,
                "translate": translate,
                "units": ("um", "um"),
                "metadata": {METADATA: {"overview": True}},
            }
            layers.append((picture, options, "image"))
        classes = class_picture_of(run)
        if classes is not None:
            pixels = StoredPixels(classes)
            drawing = class_layer_options(classes, "classes", pixels.multiscale)
            # A reader cannot ask for outlines; a light filling leaves the tissue visible.
            drawing |= {"visible": not run.maps, "opacity": FILLED_OPACITY}
            layers.append((pixels.data, drawing | placement_in_micrometres(classes), "labels"))
        pictures = pictures_of(run)
        for number, drawn in enumerate(pictures):
            pixels = StoredPixels(drawn)
            drawing = map_layer_options(drawn, drawn.title, pixels.multiscale)
            drawing["metadata"][METADATA] |= {RUN: run, "pixels": pixels}
            # One overlay at a time can be read; the others wait, hidden.
            drawing["visible"] = number == len(pictures) - 1
            layers.append((pixels.data, drawing | placement_in_micrometres(drawn), "image"))
        layers += _marks(run, pictures)
    return layers


def _marks(run: Run, pictures: Sequence[MapPicture]) -> list[LayerData]:
    """Over the map on show: where the model predicts another class, where nothing is explained."""
    from napari_smoothsal.runs.tile_states import tile_states
    from napari_smoothsal.viewer.mark_layers import mark_layer_options
    from napari_smoothsal.viewer.marked_tiles import marks_of
    from napari_smoothsal.viewer.placement import placement_in_micrometres

    layers: list[LayerData] = []
    for run_map in list(run.maps.values())[-1:]:
        for found in marks_of(tile_states(run, run_map), run.mpp, pictures[-1]):
            options = mark_layer_options(found) | placement_in_micrometres(found)
            options["metadata"][METADATA][RUN] = run
            layers.append((found.levels, options, "image"))
    return layers


def _its_slide_is_open(run: Run) -> bool:
    """Whether a layer has the size and resolution of the slide that a run is of."""
    import napari

    viewer = napari.current_viewer()
    layers = [] if viewer is None else [x for x in viewer.layers if getattr(x, "rgb", False)]
    known = run.provenance["slide"]
    if layer_of_size((known["height"], known["width"]), layers) is not None:
        return True
    if layers:
        warn_caller(
            "none of the open slides is the one that this store is of: it lies over its own "
            "overview. Hide the others"
        )
    return False


def _paths(path: str | Sequence[str]) -> list[Path]:
    return [Path(p) for p in _listed(path)]


def _listed(path: str | Sequence[str]) -> Sequence[str]:
    return [path] if isinstance(path, str | Path) else path
