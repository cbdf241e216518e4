"""File > Open and File > Save of annotations: GeoJSON of QuPath and XML of ASAP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_smoothsal.core.caller_warning import warn_caller
from napari_smoothsal.core.errors import AnnotationError
from napari_smoothsal.viewer.slide_on_show import pixels_at, slide_on_show, world_of

LayerData = tuple[Any, dict[str, Any], str]
Reader = Callable[[Any], list[LayerData]]
HEAD_BYTES = 4096
PLACED_BY = ("scale", "translate", "rotate", "shear", "affine", "units")


def get_annotation_reader(path: str | Sequence[str]) -> Reader | None:
    """A reader for files of annotations; None of XML that is not ASAP's."""
    paths = _paths(path)
    return read_annotation_layers if paths and all(map(_is_ours, paths)) else None


def read_annotation_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Annotations as layers over the slide on show.

    Raises
    ------
    AnnotationError
        If a file cannot be used, or lies beside the slide.
    """
    import napari

    from napari_smoothsal.annotations import read_annotations
    from napari_smoothsal.viewer.annotation_layers import annotation_layers

    viewer = napari.current_viewer()
    slide = None if viewer is None else slide_on_show(viewer)
    layers: list[LayerData] = []
    for one in _paths(path):
        found = read_annotations(one)
        if slide is None:
            warn_caller(
                f"{one.name}: no slide is open, so that its annotations lie in pixels of level 0; "
                "open the slide first, then this file again"
            )
        else:
            height, width = slide.size
            found.check_on_slide((width, height), one.name)
        if not found:
            raise AnnotationError(f"{one.name}: nothing is marked in it")
        layers += annotation_layers(found, one.stem, slide)
    return layers


def write_annotation_layers(path: str, layers: list[LayerData]) -> list[str]:
    """Write Shapes and Points layers as annotations of the slide on show.

    Raises
    ------
    AnnotationError
        If no slide is open, whose pixels they could be in, or the file cannot be written.
    """
    import napari

    from napari_smoothsal.annotations import write_annotations
    from napari_smoothsal.viewer.annotation_layers import annotations_of

    viewer = napari.current_viewer()
    slide = None if viewer is None else slide_on_show(viewer)
    if slide is None:
        raise AnnotationError(
            f"{Path(path).name}: no slide is open, whose pixels the annotations could be in; open "
            "the slide that they are of, then save again"
        )

    def pixels(placed: Any, data: Any) -> Any:
        return pixels_at(slide, world_of(placed, data))

    placed = [(layer, partial(pixels, _empty_layer(layer[1]))) for layer in layers]
    return [str(write_annotations(path, annotations_of(placed)))]


def _empty_layer(options: dict[str, Any]) -> Any:
    """A layer without data that lies where another one does."""
    from napari.layers import Points

    given = {name: options[name] for name in PLACED_BY if name in options}
    return Points(np.zeros((0, 2)), **given)


def _is_ours(path: Path) -> bool:
    if not path.is_file():
        return False
    if path.suffix.lower() != ".xml":
        return True
    try:
        with path.open("rb") as file:
            return b"<ASAP_Annotations" in file.read(HEAD_BYTES)
    except OSError:
        return False


def _paths(path: str | Sequence[str]) -> list[Path]:
    return [Path(p) for p in ([path] if isinstance(path, str | Path) else path)]
