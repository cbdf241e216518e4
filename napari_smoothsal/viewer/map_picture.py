"""What napari's process needs to draw a stored map or class map, without the run's code.

It is made where torch is loaded anyway (the engine process) and travels as a message; the
pixels stay in the store.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from napari_smoothsal.render.limits import ColourLimit
    from napari_smoothsal.runs import Run, RunMap

from napari_smoothsal.core.calibration import Calibration
from napari_smoothsal.render.limits import LimitOf

Pair = tuple[float, float]


class StoredPicture(BaseModel):
    """One image of a store.

    Attributes
    ----------
    store, paths
        Folder of the store, and of each level in it, finest first.
    shape
        (h, w) of the finest level without padding.
    scale_um, translate_um
        Of the finest level, (y, x).
    """

    model_config = ConfigDict(frozen=True)

    store: str
    paths: tuple[str, ...]
    shape: tuple[int, int]
    scale_um: Pair
    translate_um: Pair

    @property
    def extent_um(self) -> tuple[Pair, Pair]:
        """(y, x) where it begins and where it ends."""
        pairs = zip(self.translate_um, self.scale_um, self.shape, strict=True)
        (top, bottom), (left, right) = (
            (first - step / 2, first + (count - 0.5) * step) for first, step, count in pairs
        )
        return (top, left), (bottom, right)


class MapPicture(StoredPicture):
    """One saliency map of a store.

    Its coarser levels hold the value of largest magnitude: means of a signed map cancel, so that
    an overview of means hides exactly the strong pixels one zooms in for, and a colour seen from
    afar would change on the way in.

    Attributes
    ----------
    key, title
        Its name in the run, and in words.
    legend
        What the positive and the negative end of the colours mean; empty of an end that no value
        has.
    limit, limit_of
        Magnitude that gets the full colour, and what it was measured on.
    stretched
        The limit of this map alone.
    calibration
        Limits below which it shows nothing; None where there are none.
    palette
        Name of the one that stands out from the slide.
    target, model
        What is explained, and the model's name.
    of_a_part
        Whether less than the slide was asked for.
    """

    key: str
    title: str
    legend: tuple[str, str]
    limit: float
    limit_of: LimitOf
    stretched: float
    calibration: Calibration | None = None
    palette: str
    target: str
    model: str
    of_a_part: bool = False


class ClassPicture(StoredPicture):
    """The class map of a store.

    Attributes
    ----------
    outcomes, colours
        Names and ``#rrggbb`` of labels 1, 2, ...; label 0 was not computed.
    background
        The outcome that is transparent, if there is one.
    """

    outcomes: tuple[str, ...]
    colours: tuple[str, ...]
    background: str | None

    @property
    def shown(self) -> dict[str, str]:
        """Colours of the outcomes that are not transparent."""
        pairs = zip(self.outcomes, self.colours, strict=True)
        return {name: colour for name, colour in pairs if name != self.background}


def pictures_of(
    run: Run, limit_of: Callable[[RunMap], ColourLimit] | None = None
) -> list[MapPicture]:
    """Pictures of all maps of a run, as far as they are written.

    Parameters
    ----------
    run
        Of which store.
    limit_of
        What full colour means; None: see `colour_limit`.
    """
    # Imported here: the messages need this file, and the dock none of these.
    from napari_smoothsal.render.limits import colour_limit, stretched_limit
    from napari_smoothsal.render.standing_out import standing_out
    from napari_smoothsal.render.words import legend, map_title

    limits = {key: (limit_of or colour_limit)(run_map) for key, run_map in run.maps.items()}
    palette = standing_out(run.overview[0]).name
    model = run.provenance["model"]["name"]
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
            limit=limits[key].value,
            limit_of=limits[key].of,
            stretched=stretched_limit(run_map).value,
            calibration=run_map.calibration,
            palette=palette,
            target=run_map.target,
            model=model,
            of_a_part=run.of_a_part,
        )
        for key, run_map in run.maps.items()
    ]


def class_picture_of(run: Run) -> ClassPicture | None:
    """Picture of a run's class map; None where the model decides once per tile."""
    classes = run.class_map
    if classes is None:
        return None
    return ClassPicture(
        store=str(run.path),
        paths=tuple(classes.label_paths),
        shape=classes.shape,
        scale_um=classes.scale_um,
        translate_um=classes.translate_um,
        outcomes=classes.outcomes,
        colours=classes.colours,
        background=classes.background,
    )
