"""What the engine process does when a part of a view is replaced."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from napari_smoothsal.attribution import Networks, Stopped
from napari_smoothsal.attribution.region_fills import REGION_FILLS
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.models import Model
from napari_smoothsal.runs import Run, WhatIf, WhatIfView
from napari_smoothsal.runs.what_if_view import ChangedView
from napari_smoothsal.slides import Slide
from napari_smoothsal.viewer.asked import DescribeFills, Explain, TryChange
from napari_smoothsal.viewer.first_limits import FirstLimits
from napari_smoothsal.viewer.map_picture import MapPicture
from napari_smoothsal.viewer.told import Answer, Progressed
from napari_smoothsal.viewer.told import Stopped as SaidStopped
from napari_smoothsal.viewer.told_of_trials import FillChoice, FillsDescribed, Tried

Stop = Callable[[], bool]
Pictures = Callable[[Run], tuple[MapPicture, ...]]


def fills_described(request: DescribeFills) -> FillsDescribed:
    """The fills that there are."""
    fills = [FillChoice(name=f.name, title=f.title, about=f.about) for f in REGION_FILLS.values()]
    return FillsDescribed(id=request.id, fills=tuple(fills))


class KeptView:
    """The view that was changed last: its tiles need not be read and predicted again."""

    def __init__(self) -> None:
        self._known: tuple[object, WhatIfView] | None = None

    def of(self, asked: Explain, slide: Slide, model: Model, networks: Networks) -> WhatIfView:
        """The view that is asked about.

        Raises
        ------
        SettingError
            Where it has more tiles than one waits for.
        """
        key = asked.model_copy(update={"id": 0, "out": ""})
        if self._known is not None:
            known, view = self._known
            if known == key and view.slide is slide and view.model is model:
                return view
            self._known = None  # before the next one is read
        assert asked.region is not None, "a view is a region"
        view = WhatIfView(
            slide,
            model,
            asked.region,
            spec=asked.spec,
            tiling=asked.tiling,
            compute=asked.compute,
            networks=networks,
        )
        tiles, limit = max(len(view.plan), len(view.map_plan)), asked.max_tiles
        if limit is not None and tiles > limit:
            raise SettingError(
                f"this view has {tiles} tiles; at most {limit} are changed at once. Zoom in"
            )
        self._known = (key, view)
        return view


def tell_change(
    request: TryChange,
    view: WhatIfView,
    limits: FirstLimits,
    pictures: Pictures,
    send: Callable[[Answer], None],
    stop: Stop,
) -> None:
    """Tell what is predicted once a part is replaced, and then make the maps that are wanted.

    Parameters
    ----------
    request, view
        What is asked, of which view.
    limits, pictures
        What full colour means, and how a run is told.
    send, stop
        Of the engine.
    """
    began, out = time.monotonic(), Path(request.explain.out)
    changed = view.change(
        [np.array(corners) for corners in request.polygons], request.change, request.fill
    )
    try:
        found = view.predict(changed, stop)
    except Stopped:
        send(SaidStopped(id=request.id))
        return
    seconds = time.monotonic() - began
    told = _told(request, view, changed, found, out / "replaced.npy", seconds)
    done = request.maps == "none"
    send(told.model_copy(update={"complete": done}))
    if done:
        return
    wanted: list[tuple[str, ChangedView | None]] = [("after_map", changed)]
    if request.maps == "both":
        # First: what full colour means in the view as it is holds for the changed one.
        wanted.insert(0, ("before_map", None))
    maps: dict[str, MapPicture] = {}
    for number, (name, what) in enumerate(wanted):
        run = view.explain(
            what,
            out / name,
            stop=stop,
            on_round=_told_progress(request, len(view.map_plan), number, len(wanted), send),
        )
        if run is None:
            send(SaidStopped(id=request.id))
            return
        if what is None:
            limits.remember(run)
        (maps[name],) = pictures(run)
    send(told.model_copy(update={**maps, "complete": True}))


def _told(
    request: TryChange,
    view: WhatIfView,
    changed: ChangedView,
    found: WhatIf,
    path: Path,
    seconds: float,
) -> Tried:
    """What is predicted; the replaced pixels are written."""
    shown, hidden = found.view.pixels, changed.tiles.hidden
    np.save(path, np.dstack([shown, 255 * hidden.astype(np.uint8)]))
    scale_um, translate_um = found.view.placement(view.slide.require_mpp())
    return Tried(
        id=request.id,
        tiles=len(found.boxes),
        touched=int((found.hidden > 0).sum()),
        otherwise=found.otherwise,
        before=_finite(found.pooled_before),
        after=_finite(found.pooled_after),
        touched_before=_finite(found.touched_before),
        touched_after=_finite(found.touched_after),
        path=str(path),
        scale_um=scale_um,
        translate_um=translate_um,
        seconds=seconds,
    )


def _finite(values: dict[str, float]) -> dict[str, float]:
    """JSON has no NaN: without a tile that could be read there is nothing to say."""
    return {name: value for name, value in values.items() if np.isfinite(value)}


def _told_progress(
    request: TryChange, tiles: int, number: int, of: int, send: Callable[[Answer], None]
) -> Callable[[Run, float], None]:
    def told(_run: Run, done: float) -> None:
        send(
            Progressed(
                id=request.id,
                done=round(tiles * (number + done) / of),
                total=tiles,
                failed=0,
                tiles_per_s=0.0,
                seconds_left=None,
            )
        )

    return told
