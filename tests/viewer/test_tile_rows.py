"""What the table of tiles says of each: the mean of the map, the class, who disagrees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from qtpy.QtCore import Qt

from napari_smoothsal import (
    Compute,
    SaliencySpec,
    Tiling,
    explain_slide,
    explain_tiles,
    load_model,
    open_slide,
)
from napari_smoothsal.slides.base import Box
from napari_smoothsal.viewer.tile_rows import tile_rows
from napari_smoothsal.viewer.tile_table import COLUMNS, TileTable

DISAGREEMENT = COLUMNS.index("disagrees")


def test_disagreement_between_networks_or_with_what_is_explained(
    model_folder: Path, tiff_slide: Path, tmp_path: Path, qtbot: Any
) -> None:
    model = load_model(str(model_folder))
    table = TileTable()
    qtbot.addWidget(table)
    heading = (DISAGREEMENT, Qt.Orientation.Horizontal, Qt.ItemDataRole.ToolTipRole)
    found = {}
    for denoising in ("forward_hook", "original"):
        run = explain_slide(
            tiff_slide,
            model,
            [SaliencySpec(layer="layer1", samples=0, denoising=denoising, target="normal")],
            tmp_path / f"{denoising}.smoothsal.zarr",
            region=(0, 0, 300, 300),
            progress=False,
        )
        (key,) = run.maps
        rows = tile_rows(run)
        found[denoising] = run.tiles[f"difference_{key}"].to_numpy()
        table.show_rows(rows)
        table.sortByColumn(DISAGREEMENT, Qt.SortOrder.DescendingOrder)
        shown = [table.row_at(i) for i in range(len(rows))]
        told = table.model().headerData(*heading)
        if denoising == "original":
            # Every tile is predicted as the other class; the more surely, the less they agree.
            assert {row.predicted for row in rows} == {"tumour"}
            assert [row.against for row in rows] == pytest.approx(
                [1 - row.probability for row in rows]
            )
            values = [row.against for row in shown]
            assert "1 less the probability" in told
        else:
            values = [row.difference for row in shown]
            assert "network that the denoising explains" in told
        assert values == sorted(values, reverse=True) and len(values) > 4
    # The first tile again, by itself.
    with open_slide(tiff_slide) as slide:
        image = slide.read_box(Box(*rows[0].box), (64, 64)).transpose(2, 0, 1)[None]
    spec = SaliencySpec(layer="layer1", samples=0, denoising="forward_hook", target="normal")
    tile = explain_tiles(model, image, spec)
    changed = (tile.probabilities - tile.original_probabilities).abs().sum()
    assert found["forward_hook"][0] == pytest.approx(float(changed), rel=1e-3)
    assert (found["forward_hook"] > 0).all() and (found["original"] == 0).all()


def test_rows_of_tiles_are_means_of_the_map(
    model_folder: Path, tiff_slide: Path, tmp_path: Path
) -> None:
    model = load_model(str(model_folder))
    run = explain_slide(
        tiff_slide,
        model,
        [SaliencySpec(layer="layer1", samples=0, denoising="original", target="tumour")],
        tmp_path / "s.smoothsal.zarr",
        tiling=Tiling(tissue="all", overlap=0, halo=0),
        compute=Compute(device="cpu"),
        progress=False,
    )
    rows = tile_rows(run)
    assert len(rows) == len(run.tiles)
    (shown,) = run.maps.values()
    values = np.abs(shown.levels[0][:])
    table = run.tiles
    for number in (0, len(rows) // 2):
        row = rows[number]
        x, y, w, h = row.box
        # 2 um layer px on 0.5 um pixels: a tile of 64 px is 16 of them.
        found = values[round(y / 4) : round((y + h) / 4), round(x / 4) : round((x + w) / 4)]
        assert row.saliency == pytest.approx(float(np.nanmean(found)), rel=0.2)
        assert row.probability == pytest.approx(table["p_tumour"][number])
        assert row.predicted == table["predicted"][number]


def test_tiles_that_are_only_predicted_have_rows_without_a_map(
    model_folder: Path, tiff_slide: Path, tmp_path: Path
) -> None:
    run = explain_slide(
        tiff_slide,
        load_model(str(model_folder)),
        [SaliencySpec(layer="layer1", samples=0)],
        tmp_path / "s.smoothsal.zarr",
        region=(0, 0, 400, 400),
        top=3,
        progress=False,
    )
    rows = tile_rows(run)
    assert len(rows) == len(run.tiles) > 3
    # Those that are explained come first: of a large slide not all rows are told.
    assert all(row.saliency is not None for row in rows[:3])
    for row in rows[3:]:
        assert (row.saliency, row.total_variation) == (None, None)
        assert row.predicted and row.probability is not None


def test_means_of_signed_maps_do_not_cancel(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from napari_smoothsal.viewer import tile_rows as module

    sign = np.indices((64, 96)).sum(0) % 2 * 2.0 - 1.0
    values = np.where(np.arange(96) < 48, sign, 0.25 * sign)
    values[:, 88:] = np.nan
    level = zarr.array(values, chunks=(24, 50))  # neither ends with the blocks
    shown = SimpleNamespace(levels=[level], scale_um=(2.0, 2.0), translate_um=(0.75, 0.75))
    # Map pixels of 2 um on pixels of 0.5 um; the first one covers px 0 to 4.
    # Boxes that end where values change.
    left, right, beside = (
        [128.0, 0.0, 64.0, 64.0],
        [192.0, 0.0, 64.0, 64.0],
        [352.0, 0.0, 32.0, 64.0],
    )
    boxes = np.array([left, right, beside])
    for most in (10**9, 500):  # in one piece, in blocks of 4
        monkeypatch.setattr(module, "MOST_PX", most)
        found = module._mean_magnitudes(shown, boxes, (0.5, 0.5))
        assert found[:2] == pytest.approx([1.0, 0.25]) and np.isnan(found[2])
