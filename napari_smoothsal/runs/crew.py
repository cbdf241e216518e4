"""Crew: who computes the units of a stage; this process alone, or the workers of a cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from napari_smoothsal.core.resampling import Resampling
from napari_smoothsal.runs.engine import carry_out
from napari_smoothsal.runs.progress import Report
from napari_smoothsal.runs.stage import Stage
from napari_smoothsal.runs.store import StoreWriter
from napari_smoothsal.runs.unit import Unit, units_of
from napari_smoothsal.slides import Slide


@dataclass(frozen=True)
class Order:
    """What a crew is asked for.

    Attributes
    ----------
    stage, slide, writer
        What is computed, of which pixels, and where it goes.
    batch_size
        Tiles per batch, as when the run was begun.
    readers, resampling
        See `TileReader`.
    report, stop
        See `explain_slide`.
    """

    stage: Stage
    slide: Slide
    writer: StoreWriter
    batch_size: int
    readers: int | None
    resampling: Resampling
    report: Report
    stop: Callable[[], bool] | None

    def units(self, workers: int = 1) -> list[Unit]:
        """What the stage still lacks in its store, for so many workers."""
        open_bands = {n: self.writer.open_bands(n) for n in self.stage.images}
        return units_of(self.stage, self.writer.status(), open_bands, self.batch_size, workers)

    def stopped(self) -> bool:
        """Whether whoever asked wants it stopped."""
        return self.stop is not None and self.stop()


class Crew(Protocol):
    """Computes what a stage still lacks in its store."""

    def carry_out(self, order: Order) -> bool:
        """Compute a stage; returns whether it is complete, and not stopped."""


class Alone:
    """This process, which writes into the store as it goes."""

    def carry_out(self, order: Order) -> bool:
        """See `Crew.carry_out`."""
        return all(
            carry_out(
                order.stage,
                unit,
                order.slide,
                order.writer,
                readers=order.readers,
                resampling=order.resampling,
                report=order.report,
                stop=order.stop,
            )
            for unit in order.units()
        )
