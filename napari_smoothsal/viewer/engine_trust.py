"""What the engine does about trust: the card of a view, and limits on tissue of the user's own."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.attribution import Stopped as StoppedAtWork
from napari_smoothsal.core.calibration import Calibration, CalibrationCheck
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.evaluation.trust_measuring import TrustPart
from napari_smoothsal.evaluation.trust_together import JoinedTest, drawn_curves
from napari_smoothsal.models import Model
from napari_smoothsal.models.calibration_file import kept_file, kept_of, save_calibrations
from napari_smoothsal.runs import RegionTrust, calibrate_on_region, trust_of_region
from napari_smoothsal.slides import Slide
from napari_smoothsal.viewer.asked import Calibrate, Trust
from napari_smoothsal.viewer.told import Answer, Progressed, Stopped
from napari_smoothsal.viewer.told_trust import (
    Calibrated,
    DrawnCurve,
    ResultCell,
    ResultRow,
    TrustTold,
)

Send = Callable[[Answer], None]
Stop = Callable[[], bool]


def tell_trust(request: Trust, slide: Slide, model: Model, send: Send, stop: Stop) -> None:
    """Test maps of a few tiles of the view, and tell what is known again and again."""
    asked = request.explain

    def told(found: RegionTrust, *, complete: bool = False, stopped: bool = False) -> None:
        send(_told(request.id, found, complete=complete, stopped=stopped))

    found = trust_of_region(
        slide,
        model,
        asked.spec,
        asked.region,
        tiling=asked.tiling,
        # The view's batch is small because its map is looked at while it grows.
        compute=asked.compute.model_copy(update={"batch_size": "auto"}),
        told=_Progress(request.id, send).tell,
        on_part=told,
        stop=stop,
    )
    told(found, complete=True, stopped=not found.complete)


def calibrated(request: Calibrate, slide: Slide, model: Model, send: Send, stop: Stop) -> None:
    """Measure limits on the region, and keep them where the user finds them."""
    asked = request.explain
    try:
        (found,) = calibrate_on_region(
            slide,
            model,
            [asked.spec],
            asked.region,
            tiling=asked.tiling,
            how=CalibrationCheck(error_rate=request.error_rate),
            compute=asked.compute.model_copy(update={"batch_size": "auto"}),
            told=_Progress(request.id, send).tell,
            stop=stop,
        )
    except StoppedAtWork:
        send(Stopped(id=request.id))
        return
    try:
        path = save_calibrations(model, [found], kept_file(model), anew=True)
    except OSError as error:
        raise SettingError(
            f"calibration: nothing can be written to {kept_file(model).parent} "
            f"({error.strerror}); make room there, or set SMOOTHSAL_CALIBRATIONS to another folder"
        ) from error
    send(Calibrated(id=request.id, model=model.card.name, calibration=found, path=str(path)))


class OwnLimits:
    """Gives models the limits that the user measured, before those that they bring."""

    def __init__(self) -> None:
        self._brought: WeakKeyDictionary[Model, tuple[Calibration, ...]] = WeakKeyDictionary()

    def given_to(self, model: Model) -> Model:
        """A model with what its file has now: it may have been removed since."""
        brought = self._brought.setdefault(model, model.calibrations)
        model.calibrations = (*kept_of(model), *brought)
        return model


class _Progress:
    """Tells how far something is, and how long it will take."""

    def __init__(self, number: int, send: Send) -> None:
        self._number, self._send = number, send
        self._began = time.monotonic()

    def tell(self, what: str, done: int, total: int) -> None:
        passed = time.monotonic() - self._began
        self._send(
            Progressed(
                id=self._number,
                done=done,
                total=total,
                failed=0,
                tiles_per_s=0.0,
                seconds_left=passed * (total / done - 1) if done else None,
                stage=what,
            )
        )


def _told(number: int, found: RegionTrust, *, complete: bool, stopped: bool) -> TrustTold:
    return TrustTold(
        id=number,
        verdict=found.verdict,
        about=found.in_words,
        target=found.target,
        orders=found.how.random_orders,
        tests=tuple(_row(test) for test in found.tests),
        deletion=_curve(found.parts, "deletion"),
        insertion=_curve(found.parts, "insertion"),
        boxes=tuple((one.box.x, one.box.y, one.box.w, one.box.h) for one in found.tiles),
        chosen=found.chosen,
        whole=found.whole,
        stopped=stopped,
        complete=complete,
    )


def _row(test: JoinedTest) -> ResultRow:
    cells = (
        ResultCell(
            tile=tile,
            result=one.result,
            value=one.value,
            found=one.found,
            threshold=one.threshold,
        )
        for tile, one in test.tests
    )
    return ResultRow(
        name=test.name,
        question=test.question,
        result=test.result,
        means=test.means,
        cells=tuple(cells),
    )


def _curve(
    parts: tuple[TrustPart, ...], which: Literal["deletion", "insertion"]
) -> DrawnCurve | None:
    found = drawn_curves(parts, which)
    if found is None:
        return None
    return DrawnCurve(
        tiles=tuple(map(_listed, found.tiles)),
        mean=_listed(found.mean),
        low=_listed(found.low),
        high=_listed(found.high),
    )


def _listed(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(round(float(value), 5) for value in values)
