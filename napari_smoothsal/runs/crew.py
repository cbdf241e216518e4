"""Crew: who computes the units of a stage; this process alone, or the workers of a cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from napari_smoothsal.core.resampling import Resampling
from napari_smoothsal.runs.engine import carry_out
from napari_smoothsal.runs.progress import Report
from napari_smoothsal.runs.stage import Stage
from napari_smoothsal.runs.store import StoreWriter
from napari_smoothsal.runs.unit import units_of
from napari_smoothsal.slides import Slide


class Crew(Protocol):
    """Computes what a stage still lacks in its store."""

    def carry_out(
        self,
        stage: Stage,
        slide: Slide,
        writer: StoreWriter,
        batch_size: int,
        *,
        readers: int | None,
        resampling: Resampling,
        report: Report,
        stop: Callable[[], bool] | None,
    ) -> bool:
        """Compute a stage.

        Parameters
        ----------
        stage, slide, writer
            What is computed, of which pixels, and where it goes.
        batch_size
            Tiles per batch, as when the run was begun.
        readers, resampling
            See `TileReader`.
        report, stop
            See `explain_slide`.

        Returns
        -------
        bool
            Whether it is complete; False where it was stopped.
        """


class Alone:
    """This process, which writes into the store as it goes."""

    def carry_out(
        self,
        stage: Stage,
        slide: Slide,
        writer: StoreWriter,
        batch_size: int,
        *,
        readers: int | None,
        resampling: Resampling,
        report: Report,
        stop: Callable[[], bool] | None,
    ) -> bool:
        """See `Crew.carry_out`."""
        return all(
            carry_out(
                stage,
                unit,
                slide,
                writer,
                readers=readers,
                resampling=resampling,
                report=report,
                stop=stop,
            )
            for unit in units_of(stage, writer.status(), writer.open_in(stage), batch_size)
        )
