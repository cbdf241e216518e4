"""MapPicture: what napari's process needs to draw one stored map, without the run's code.

It is made where torch is loaded anyway (the engine process) and travels as a message; the
pixels stay in the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from napari_smoothsal.runs import Run

Pair = tuple[float, float]


class MapPicture(BaseModel):
    """One map of a store.

    Attributes
    ----------
    store, paths
        Folder of the store, and of each level in it, finest first. Coarser levels hold the value
        of largest magnitude: means of a signed map cancel, so that an overview of means hides
        exactly the strong pixels one zooms in for, and a colour seen from afar would change
        on the way in.
    shape
        (h, w) of the finest level without padding.
    scale_um, translate_um
        Of the finest level, (y, x).
    key, title
        Its name in the run, and in words.
    legend
        What the positive and the negative end of the colours mean.
    limit
        Magnitude that gets the full colour.
    """

    model_config = ConfigDict(frozen=True)

    store: str
    paths: tuple[str, ...]
    shape: tuple[int, int]
    scale_um: Pair
    translate_um: Pair
    key: str
    title: str
    legend: tuple[str, str]
    limit: float


def pictures_of(run: Run) -> list[MapPicture]:
    """Pictures of all maps of a run, as far as they are written."""
    # Imported here: the run's package loads torch.
    from napari_smoothsal.render.limits import symmetric_limit
    from napari_smoothsal.render.words import legend, map_title

    return [
        MapPicture(
            store=str(run.path),
            paths=tuple(level.path for level in run_map.extreme_levels),
            shape=run_map.shape,
            scale_um=run_map.scale_um,
            translate_um=run_map.translate_um,
            key=key,
            title=map_title(run_map),
            legend=legend(run_map),
            limit=symmetric_limit(run_map),
        )
        for key, run_map in run.maps.items()
    ]
