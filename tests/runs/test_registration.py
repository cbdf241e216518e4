"""Invariant 4: a dot's map peaks on the dot, in the store, at every level, for every layout."""

from pathlib import Path

import numpy as np
import pytest
import zarr
from ome_zarr_models.v05.image import Image
from unets import PositiveUNet, segmenter

from napari_smoothsal import SaliencySpec, Tiling, explain_slide

DOTS = ((123, 201), (402, 77), (301, 388))


@pytest.mark.parametrize("layout", ["resnet", "patchify", "pooling"])
@pytest.mark.parametrize("slide_mpp", [0.5, 0.25, 0.37])
def test_a_dot_peaks_on_the_dot(
    layout, slide_mpp, positive, black, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_smoothsal.runs.layout.COARSEST_PX", 20)
    model = positive(layout)
    specs = [
        SaliencySpec(layer=x, denoising="original", method="activation_x_gradient", samples=0)
        for x in ("input", "stem", "deep")
    ]
    slide = black(500, 470, *DOTS, mpp=slide_mpp)
    run = explain_slide(
        slide, model, specs, tmp_path / "dots.zarr", tiling=Tiling(tissue="all"), progress=False
    )
    assert len(run.maps) == 3
    for run_map in run.maps.values():
        assert len(run_map.levels) > 1
        for levels in (run_map.levels, run_map.extreme_levels):
            for k, level in enumerate(levels):
                values = np.nan_to_num(level[:])
                for dot in DOTS:
                    assert_peak_on(values, run_map, k, dot, slide_mpp)


@pytest.mark.parametrize("layout", ["patchify", "resnet"])
@pytest.mark.parametrize("upsampling", ["nearest", "bilinear", "transposed"])
def test_a_dot_peaks_on_the_dot_in_encoder_and_decoder(
    layout, upsampling, black, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_smoothsal.runs.layout.COARSEST_PX", 20)
    model = segmenter(PositiveUNet(layout, upsampling), "a", "b", size=64)
    specs = [
        SaliencySpec(layer=x, denoising="original", method="activation_x_gradient", samples=0)
        for x in ("input", "stem", "deep", "middle", "last")
    ]
    slide = black(500, 470, *DOTS)
    run = explain_slide(
        slide, model, specs, tmp_path / "dots.zarr", tiling=Tiling(tissue="all"), progress=False
    )
    for run_map in run.maps.values():
        layer = model.layer(run_map.spec.layer)
        assert (layer.centre_spread > 0) == (
            layout == "resnet" and layer.name in ("middle", "last")
        )
        for levels in (run_map.levels, run_map.extreme_levels):
            for k, level in enumerate(levels):
                values = np.nan_to_num(level[:])
                for dot in DOTS:
                    # A layer whose paths disagree is as far off as its spread says, at most.
                    assert_peak_on(values, run_map, k, dot, 0.5, layer.centre_spread * 0.5)
    if layout == "patchify":
        assert_class_on_the_dots(run.class_map)


def assert_class_on_the_dots(class_map) -> None:
    for k, labels in enumerate(class_map.labels[:2]):
        values = labels[:]
        for dot in DOTS:
            y, x = (v // 2**k for v in dot)
            rows, columns = np.nonzero(values[y - 12 : y + 13, x - 12 : x + 13] == 2)
            centre = np.array([y - 12 + rows.mean(), x - 12 + columns.mean()])
            at = (np.array(dot) - (2**k - 1) / 2) / 2**k
            # The seen part of a dot is whole cells of 4 px, so its middle is up to 1.5 px off.
            assert np.abs(centre - at).max() <= 0.5 + 1.5 / 2**k


def assert_peak_on(values, run_map, k: int, dot, mpp: float, spread_um: float = 0.0) -> None:
    """The largest value near the dot lies within half a pixel of that level from it."""
    step = np.array(run_map.scale_um) * 2**k
    origin = np.array(run_map.translate_um) + (2**k - 1) / 2 * np.array(run_map.scale_um)
    at = (np.array(dot) * mpp - origin) / step
    low = np.maximum(0, np.floor(at).astype(int) - 1)
    near = values[low[0] : low[0] + 4, low[1] : low[1] + 4]
    assert near.max() > 0
    peak = low + np.unravel_index(near.argmax(), near.shape)
    # The dot's centre may fall between two pixels, which then are equally close.
    allowed = 0.5 + 0.02 + spread_um / step.min()
    assert np.abs(peak - at).max() <= allowed, (run_map.key, k, dot, peak, at)


def test_the_metadata_of_every_level_says_the_same(positive, black, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("napari_smoothsal.runs.layout.COARSEST_PX", 40)
    spec = SaliencySpec(layer="input", samples=0)
    run = explain_slide(
        black(300, 300, (100, 100)),
        positive(),
        [spec],
        tmp_path / "s.zarr",
        tiling=Tiling(tissue="all"),
        progress=False,
    )
    (run_map,) = run.maps.values()
    root = zarr.open_group(run.path, mode="r")
    Image.from_zarr(root[f"maps/{run_map.key}/extreme"])
    shapes = np.array([level.shape for level in run_map.levels])
    assert (shapes[:-1] == 2 * shapes[1:]).all()  # napari takes ratios from shapes
    for k, dataset in enumerate(run_map._datasets):
        scale, translation = dataset["coordinateTransformations"]
        assert scale["scale"] == pytest.approx([0.5 * 2**k] * 2)
        assert translation["translation"] == pytest.approx([(2**k - 1) / 2 * 0.5] * 2)


def test_a_region_is_a_crop_of_the_slide(positive, noisy, tmp_path) -> None:
    specs = [SaliencySpec(layer=x, samples=2, denoising="original") for x in ("stem", "deep")]
    settings = {"tiling": Tiling(tissue="all"), "progress": False}
    whole = explain_slide(noisy, positive(), specs, tmp_path / "whole.zarr", **settings)
    view = explain_slide(
        noisy, positive(), specs, tmp_path / "view.zarr", region=(61, 47, 220, 200), **settings
    )
    for key, part in view.maps.items():
        all_of_it = whole.maps[key]
        shift = (np.array(part.translate_um) - all_of_it.translate_um) / all_of_it.scale_um
        y, x = np.rint(shift).astype(int)
        assert np.allclose(shift, (y, x), atol=1e-9)
        h, w = part.shape
        expected = all_of_it.levels[0][y : y + h, x : x + w]
        got = part.levels[0][:h, :w]
        # Tiles that reach in from outside a view are not computed, so its rim, as wide as the
        # kept part of a tile, blends fewer. Inside it the two are the same.
        rim = 48 // round(part.scale_um[0] / 0.5)
        inner = np.s_[rim:-rim, rim:-rim]
        assert np.isfinite(got).all() and got[inner].size > 400
        assert np.abs(got - expected)[inner].max() <= 1e-5 * np.abs(expected).max()
