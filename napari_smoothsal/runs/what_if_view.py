"""WhatIfView: a view that is read and predicted once, and changed as often as one likes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from napari_smoothsal.attribution import Explainer, Networks, Stopped
from napari_smoothsal.attribution.region_fills import REGION_FILLS
from napari_smoothsal.core.errors import SettingError, UnknownNameError
from napari_smoothsal.core.specs import Compute, SaliencySpec, Tiling
from napari_smoothsal.models import Model
from napari_smoothsal.runs.changed_tiles import ChangedTiles, ViewTiles
from napari_smoothsal.runs.plan import Region, placed_layers, plan_tiles
from napari_smoothsal.runs.refine import refine_region
from napari_smoothsal.runs.run import Run
from napari_smoothsal.runs.what_if_result import CHANGES, Change, WhatIf
from napari_smoothsal.slides import Slide
from napari_smoothsal.slides.reader import TileReader, TileSource
from napari_smoothsal.slides.view_pixels import Shape, ViewPixels, polygons_of, read_view

Stop = Callable[[], bool]
Decided = tuple[NDArray[np.float32], NDArray[np.object_]]


@dataclass(frozen=True, eq=False)
class ChangedView:
    """A view of which a part is replaced; made by `WhatIfView.change`.

    Attributes
    ----------
    change, fill
        As asked.
    tiles
        What its tiles are read from.
    """

    change: Change
    fill: str
    tiles: ChangedTiles


class WhatIfView:
    """A view, what the model says of it, and what it says when a part is replaced.

    Parameters
    ----------
    slide
        Open, for as long as this is used.
    model
        Asked.
    region
        (x, y, w, h) in level-0 px.
    spec
        The map that `explain` makes; None where none is wanted.
    tiling, compute
        How the view is cut and on what it is computed.
    networks
        Of the model, from one view to the next; None: its own.

    Attributes
    ----------
    plan
        The tiles that are predicted: of a model that decides once per tile side by side.
    map_plan
        Those that are explained; the same without a spec.

    Raises
    ------
    SmoothsalError
        As `plan_tiles` and `explain_tiles`; and where the view has no tissue.
    """

    def __init__(
        self,
        slide: Slide,
        model: Model,
        region: Region,
        *,
        spec: SaliencySpec | None = None,
        tiling: Tiling | None = None,
        compute: Compute | None = None,
        networks: Networks | None = None,
    ) -> None:
        self.slide, self.model, self.region, self.spec = slide, model, region, spec
        self._tiling, self._compute = tiling or Tiling(), compute or Compute()
        # Tiles are normalised as they are, before anything is changed.
        self._behind = behind = model.behind_stain
        if networks is None or behind is not model:
            networks = Networks(behind)
        self._networks = networks
        self.plan = plan_tiles(slide, model, self._tiling, region=region)
        self.map_plan, self._margin = self.plan, 0
        # Which number format maps take is tried when they are made, and is not waited for here.
        exact = Compute(device=self._compute.device, precision="fp32")
        if spec is not None:
            explainer = Explainer(behind, [spec], exact, "slide", warn=False, networks=networks)
            self.map_plan = plan_tiles(
                slide, model, self._tiling, layers=placed_layers(explainer), region=region
            )
            self._margin = explainer.margin
        if not len(self.plan):
            x, y, w, h = region
            raise SettingError(
                f"region {x},{y},{w},{h} (x, y, width, height in level-0 px) holds no tissue: "
                "there is no tile to ask about; choose another one, or less min_tissue"
            )
        side = self.plan.grid.tile_px
        self._tiles = ViewTiles(slide, model, side)
        self._known: Decided | None = None
        self._asked = Explainer(behind, [], exact, "slide", warn=False, networks=networks)
        self._batch_size = self._asked.batch_size(side)
        if self._compute.batch_size != "auto":
            self._batch_size = self._compute.batch_size

    @cached_property
    def pixels(self) -> ViewPixels:
        """All that its tiles show, as it is."""
        grids = [(plan.grid, plan.grid.origins) for plan in (self.plan, self.map_plan)]
        least = [origins.min(axis=0) - self._margin for _, origins in grids]
        most = [origins.max(axis=0) + grid.tile_px + self._margin for grid, origins in grids]
        (top, left), (bottom, right) = np.min(least, axis=0), np.max(most, axis=0)
        return read_view(
            self.slide,
            (int(top), int(left), int(bottom), int(right)),
            self.plan.grid.scale,
            self.plan.resampling,
            threads=self._compute.readers,
        )

    def change(
        self, shape: Shape, change: Change = "remove", fill: str = "tissue_mean"
    ) -> ChangedView:
        """Replace a part of it.

        Parameters
        ----------
        shape, change, fill
            See `what_if`.

        Raises
        ------
        SmoothsalError
            As `what_if`.
        """
        if change not in CHANGES:
            raise UnknownNameError("change", change, CHANGES)
        made, polygons = REGION_FILLS[fill], polygons_of(shape)
        inside = self.pixels.inside(polygons)
        if not inside.any():
            raise SettingError(
                "what is drawn lies beside the tissue in view, or is smaller than a pixel of the "
                "model's; draw around something that is in view"
            )
        hidden = inside if change == "remove" else ~inside
        if hidden.all() or not hidden.any():
            raise SettingError(
                f"what is drawn covers all of the view, so that "
                f"{'nothing' if hidden.any() else 'all of it'} would be left; draw around less"
            )
        before = torch.from_numpy(self.pixels.pixels).permute(2, 0, 1)
        colours = made.make(before.float() / 255, torch.from_numpy(hidden))
        shown = (255 * colours.clamp(0, 1)).round().to(torch.uint8).permute(1, 2, 0).numpy()
        after = np.where(hidden[..., None], shown, self.pixels.pixels)
        view = self.pixels.changed_to(after)
        return ChangedView(change, fill, ChangedTiles(self._tiles, hidden, view))

    def predict(self, changed: ChangedView, stop: Stop | None = None) -> WhatIf:
        """What the model says of it before and after; only tiles that change are asked about anew.

        Raises
        ------
        Stopped
            Once ``stop``, asked before every batch, answers True.
        """
        before, names = self._before(stop)
        grid = self.plan.grid
        boxes = [grid.box(i) for i in range(len(grid))]
        hidden = np.array([changed.tiles.share_hidden(box, grid.tile_px) for box in boxes])
        touched = np.flatnonzero(hidden > 0)
        after, names_after = before.copy(), names.copy()
        after[touched], names_after[touched] = self._decided(changed.tiles, touched, stop)
        return WhatIf(
            change=changed.change,
            fill=changed.fill,
            classes=self.model.card.class_names,
            boxes=self.plan.boxes,
            hidden=hidden.astype(np.float32),
            before=before,
            after=after,
            predicted_before=tuple(names),
            predicted_after=tuple(names_after),
            view=changed.tiles.view,
        )

    def explain(
        self,
        changed: ChangedView | None,
        out: str | Path,
        *,
        stop: Stop | None = None,
        on_round: Callable[[Run, float], None] | None = None,
    ) -> Run | None:
        """The map of it, changed or (None) as it is; see `refine_region`.

        Returns
        -------
        Run or None
            Under ``out``; None where it was stopped.
        """
        assert self.spec is not None, "there is a map to make"
        return refine_region(
            self.slide,
            self._behind,
            [self.spec],
            out,
            region=self.region,
            tiling=self._tiling,
            compute=self._compute,
            stop=stop,
            on_round=on_round,
            networks=self._networks,
            source=self._tiles if changed is None else changed.tiles,
        )

    def _before(self, stop: Stop | None) -> Decided:
        if self._known is None:
            self._known = self._decided(self._tiles, np.arange(len(self.plan)), stop)
        return self._known

    def _decided(self, source: TileSource, which: NDArray[np.int64], stop: Stop | None) -> Decided:
        """Probabilities (n, classes) and predicted outcomes (n,) of some tiles."""
        plan, outcomes = self.plan, np.array(self.model.readout.outcomes, object)
        probabilities = np.full((len(which), len(self.model.card.class_names)), np.nan, np.float32)
        predicted = np.full(len(which), "", object)
        size = self._batch_size
        cuts = [np.arange(i, min(i + size, len(which))) for i in range(0, len(which), size)]
        boxes = [[plan.grid.box(int(i)) for i in which[cut]] for cut in cuts]
        threads = self._compute.readers
        with TileReader(
            source, plan.grid.tile_px, threads=threads, resampling=plan.resampling
        ) as reader:
            for cut, tiles in zip(cuts, reader.batches(boxes), strict=True):
                if stop is not None and stop():
                    raise Stopped
                good = np.array([error is None for error in tiles.errors])
                if not good.any():
                    continue
                images = torch.from_numpy(tiles.images[good]).permute(0, 3, 1, 2)
                places = [(int(y), int(x)) for y, x in plan.grid.origins[which[cut[good]]]]
                decision = self._asked.begin(images, places).decision
                probabilities[cut[good]] = decision.probabilities.numpy()
                predicted[cut[good]] = outcomes[decision.predicted.numpy()]
        return probabilities, predicted
