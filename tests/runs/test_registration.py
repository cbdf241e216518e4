"""Invariant 4: a dot's map peaks on the dot, in the store, at every level, for every layout."""

from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from ome_zarr_models.v05.image import Image
from unets import PositiveUNet, segmenter

from napari_smoothsal import Compute, SaliencySpec, Tiling, explain_slide, explain_tiles
from napari_smoothsal.slides.base import Box

DOTS = ((123, 201), (402, 77), (301, 388))


@pytest.mark.filterwarnings("ignore:no strided convolution")  # above the last layer, and of pooling
@pytest.mark.parametrize("layout", ["resnet", "patchify", "pooling"])
@pytest.mark.parametrize("slide_mpp", [0.5, 0.25, 0.37])
@pytest.mark.parametrize("denoising", ["original", "centred_hook"])
def test_a_dot_peaks_on_the_dot(
    denoising, layout, slide_mpp, positive, black, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_smoothsal.runs.layout.COARSEST_PX", 20)
    model = positive(layout)
    specs = [
        SaliencySpec(layer=x, denoising=denoising, method="activation_x_gradient", samples=0)
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
    spec = SaliencySpec(layer="input", denoising="original", samples=0)
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


def test_a_displaced_gradient_is_laid_where_it_belongs(positive, noisy, tmp_path: Path) -> None:
    """Half a pixel of the image by the stem; what lies behind the activation takes no part."""
    specs = [
        SaliencySpec(layer="input", denoising="backward_hook", method=method, **given)
        for method, given in (
            ("gradient", {}),
            ("gradient", {"denoising_options": {"compensate": False}}),
            ("activation_x_gradient", {}),
        )
    ]
    run = explain_slide(
        noisy,
        positive(),
        [spec.model_copy(update={"samples": 1}) for spec in specs],
        tmp_path / "s.zarr",
        tiling=Tiling(tissue="all", overlap=0, halo=0),
        progress=False,
    )
    placed, displaced, product = run.maps.values()
    moved_um = 0.5 * 0.5
    away = (np.array(placed.translate_um) - displaced.translate_um + moved_um) / 0.5
    assert away == pytest.approx(np.round(away)), "whole layer px apart"
    y, x = (int(v) for v in np.round(away))
    same = displaced.levels[0][y + 40 : y + 110, x + 40 : x + 110]
    assert np.ptp(same) > 0
    # But for the seams, where the one or the other tile comes first.
    assert (placed.levels[0][40:110, 40:110] == same).mean() > 0.9
    assert product.translate_um == displaced.translate_um
    said = [m.displacement for m in run.maps.values()]
    assert [d.near_px for d in said] == [(0.5, 0.5)] * 3
    assert [d.far_px for d in said] == [(1.5, 1.5)] * 3
    assert [d.compensated for d in said] == [True, False, False]
    assert [m.displaced_um for m in run.maps.values()] == pytest.approx([0.5, 0.75, 0.75])
    assert [m.fine_displaced_um for m in run.maps.values()] == pytest.approx([0, 0.25, 0.25])


def test_jitter_sees_what_lies_around_a_tile(positive, noisy, tmp_path: Path) -> None:
    """Inner tiles of a slide are explained as the same crops with their margin are."""
    model, slide = positive(), noisy
    spec = SaliencySpec(layer="stem", denoising="original", samples=4, sigma=0, jitter=True)
    run = explain_slide(
        slide,
        model,
        [spec],
        tmp_path / "s.zarr",
        tiling=Tiling(tissue="all", overlap=0, halo=0),
        compute=Compute(precision="fp64"),
        progress=False,
    )
    (key,) = run.maps
    assert key == "stem.original+jitter.activation_x_gradient.b"
    values = run.maps[key].levels[0][:]
    margin = 2
    side = 64 + 2 * margin
    crop = slide.read_box(Box(64 - margin, 128 - margin, side, side), (side, side))
    image = torch.from_numpy(crop).permute(2, 0, 1)[None]
    fp64 = Compute(precision="fp64")
    named = spec.model_copy(update={"target": "b"})
    alone = explain_tiles(model, image, named, fp64, margin=margin)
    tile = values[64:96, 32:64]
    assert np.allclose(tile, alone.reduced[0].numpy(), atol=1e-6 * float(np.abs(tile).max()))
