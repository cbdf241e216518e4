"""What the engine process computes of a comparison, and how it draws a figure of one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

from napari_smoothsal.attribution import Networks
from napari_smoothsal.core.errors import SmoothsalError
from napari_smoothsal.core.variants import variants
from napari_smoothsal.models import Model
from napari_smoothsal.render.columns_figure import columns_figure
from napari_smoothsal.render.columns_scale import columns_scale
from napari_smoothsal.runs import ComparedMap, Comparison, RunPlan, compare, open_run
from napari_smoothsal.runs.tile_states import tile_states
from napari_smoothsal.slides import Slide
from napari_smoothsal.viewer.asked import Compare, SaveColumns
from napari_smoothsal.viewer.map_picture import pictures_of
from napari_smoothsal.viewer.packed_states import packed
from napari_smoothsal.viewer.told import Answer, Saved
from napari_smoothsal.viewer.told_columns import Column, Compared
from napari_smoothsal.viewer.view_size import check_view


class FigureNotWrittenError(SmoothsalError):
    """A figure cannot be written where it is wanted."""


def compared(
    request: Compare,
    slide: Slide,
    models: list[Model],
    stop: Callable[[], bool],
    send: Callable[[Answer], None],
    networks: Callable[[Model], Networks],
) -> bool:
    """Compute a comparison and tell every round; False where it was stopped.

    Parameters
    ----------
    request, slide
        What is compared, and of which slide.
    models
        One of each column.
    stop, send, networks
        Whether it is to end, who is told, and what is kept from one request to the next.
    """
    asked, tiles = request.explain, 0

    def planned(plan: RunPlan) -> None:
        nonlocal tiles
        tiles = len(plan)
        check_view(tiles, asked.max_tiles)
        send(Compared(id=request.id, columns=told, share=share, tiles=tiles))

    told: tuple[Column, ...] = ()
    share = 0.0

    def grown(comparison: Comparison, done: float) -> None:
        nonlocal told, share
        told, share = tuple(_columns(comparison)), done
        send(_answer(request.id, comparison, told, done, tiles))

    specs = asked.spec
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        found = compare(
            slide,
            models,
            specs if request.varied == "model" else variants(specs, request.varied, request.values),
            asked.out,
            region=asked.region,
            tiling=asked.tiling,
            compute=asked.compute,
            stop=stop,
            on_plan=planned,
            on_round=grown,
            networks=networks,
        )
    if found is None:
        return False
    messages = [str(w.message) for w in warned if issubclass(w.category, UserWarning)]
    last = _answer(request.id, found, tuple(_columns(found, with_states=True)), 1.0, tiles)
    ended = {"complete": True, "warnings": tuple(dict.fromkeys(messages))}
    send(last.model_copy(update=ended))
    return True


def columns_saved(request: SaveColumns, slide: Slide) -> Saved:
    """Write the figure.

    Raises
    ------
    FigureNotWrittenError
        Where the file cannot be written.
    """
    runs = {store: open_run(store) for store in request.stores}
    pairs = zip(request.stores, request.keys, strict=True)
    comparison = Comparison(tuple(ComparedMap(runs[store], key) for store, key in pairs))
    path = Path(request.path)
    try:
        columns_figure(slide, comparison, path, one_scale=request.one_scale)
    except (OSError, ValueError) as error:  # matplotlib: an ending that names no format
        raise FigureNotWrittenError(
            f"{path.name!r} could not be written ({error}); choose another folder, or an ending "
            "such as .png or .pdf"
        ) from error
    return Saved(id=request.id, names=(path.name,))


def _columns(comparison: Comparison, *, with_states: bool = False) -> list[Column]:
    """As they are told: each map with its own limit, cut only if all are."""
    scale = columns_scale(comparison)
    found = []
    for column, limit in zip(comparison.columns, scale.limits, strict=True):
        (picture,) = (p for p in pictures_of(column.run) if p.key == column.key)
        changes: dict[str, object] = {"limit": limit.value, "limit_of": limit.of}
        if not scale.calibrated:
            changes["calibration"] = None
        found.append(
            Column(
                picture=picture.model_copy(update=changes),
                total_variation=column.total_variation,
                standard_error=column.standard_error,
                states=packed(tile_states(column.run, column.map)) if with_states else None,
            )
        )
    return found


def _answer(
    number: int, comparison: Comparison, columns: tuple[Column, ...], done: float, tiles: int
) -> Compared:
    scale = columns_scale(comparison)
    return Compared(
        id=number,
        columns=columns,
        share=done,
        tiles=tiles,
        shared=scale.shared,
        comparable=scale.comparable,
        scale=scale.said(True),
        own_scales=scale.said(False),
    )
