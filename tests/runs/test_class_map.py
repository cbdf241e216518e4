"""The dense prediction of a run: in place, without seams, valid, resumable."""

from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from ome_zarr_models.v05.image import Image as OmeImage
from ome_zarr_models.v05.labels import Labels
from PIL import Image
from small_runs import ALL, assert_same_bits, explained, small_bands
from unets import PositiveUNet, segmenter, small_segmenter

from napari_smoothsal import Compute, SaliencySpec, Tiling, explain_slide
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.models import Model
from napari_smoothsal.slides import ArraySlide
from napari_smoothsal.slides.base import Box

LAYERS = ("stem", "deep", "decode")
SPECS = [SaliencySpec(layer=x, denoising="original", samples=2, target="t") for x in LAYERS]


def whole(model: Model, slide: ArraySlide) -> np.ndarray:
    """(classes, h, w): probabilities of the whole slide in one pass."""
    pixels = slide.read_box(Box(0, 0, slide.width, slide.height), (slide.width, slide.height))
    image = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None].float() / 255
    image = (image - 0.5) / 0.25
    image = torch.nn.functional.pad(
        image, (0, -slide.width % 4, 0, -slide.height % 4), mode="reflect"
    )
    with torch.no_grad():
        return model.module(image).softmax(1)[0, :, : slide.height, : slide.width].numpy()


def test_it_is_that_of_the_whole_slide_in_one_pass(noisy, tmp_path: Path, monkeypatch) -> None:
    small_bands(monkeypatch, 100)
    model = small_segmenter()
    run = explained(noisy, model, tmp_path / "s.zarr", SPECS)
    class_map = run.class_map
    assert class_map is not None and class_map.shape == (275, 330)
    assert class_map.scale_um == (0.5, 0.5) and class_map.translate_um == (0, 0)
    expected = whole(model, noisy)
    got = class_map.probabilities[0][:, :275, :330] / 255
    inner = np.s_[..., 24:-24, 24:-24]  # outside, the slide is read reflected; here it is padded
    assert np.abs(got - expected)[inner].max() <= 0.5 / 255 + 0.02
    assert np.abs(got - expected)[inner].mean() <= 0.5 / 255
    labels = class_map.labels[0][:275, :330]
    clear = np.sort(expected, 0)[-1] - np.sort(expected, 0)[-2] > 0.05
    same = labels == expected.argmax(0) + 1
    assert same[inner[1:]][clear[inner[1:]]].all()
    assert set(np.unique(labels)) == {1, 2, 3}


def test_padding_is_not_computed_and_coarser_labels_are_of_the_mean(
    noisy, tmp_path: Path, monkeypatch
) -> None:
    small_bands(monkeypatch, 50)
    class_map = explained(noisy, small_segmenter(), tmp_path / "s.zarr", []).class_map
    assert class_map is not None and len(class_map.labels) == 4
    assert (class_map.labels[0][275:] == 0).all() and (class_map.labels[0][:275, :330] > 0).all()
    for level in range(1, 4):
        finer = class_map.probabilities[level - 1][:].astype(float)
        c, h, w = finer.shape
        mean = finer.reshape(c, h // 2, 2, w // 2, 2).mean((2, 4))
        coarse = class_map.probabilities[level][:].astype(float)
        full = np.s_[:, : 275 >> level, : 330 >> level]
        assert np.abs(coarse - mean)[full].max() <= 1.01
        clear = np.sort(mean, 0)[-1] - np.sort(mean, 0)[-2] > 3
        same = class_map.labels[level][:] == mean.argmax(0) + 1
        assert same[full[1:]][clear[full[1:]]].all()


def test_it_is_valid_ome_zarr_with_names_and_colours(noisy, tmp_path: Path) -> None:
    model = small_segmenter()
    card = model.card.model_copy(update={"class_colours": ("#000000", "#0000ff", "#ff8000")})
    run = explained(noisy, Model(model.module, card), tmp_path / "s.zarr", SPECS[:1])
    root = zarr.open_group(run.path, mode="r")
    OmeImage.from_zarr(root["prediction"])
    Labels.from_zarr(root["prediction/labels"])
    assert root["OME"].attrs["ome"]["series"] == [
        "overview",
        f"maps/{next(iter(run.maps))}",
        "prediction",
    ]
    ome = root["prediction/labels/classes"].attrs["ome"]["image-label"]
    assert [p["class"] for p in ome["properties"]] == ["bg", "n", "t"]
    assert [c["rgba"] for c in ome["colors"]] == [
        [0, 0, 0, 0],  # the background hides nothing
        [0, 0, 255, 255],
        [255, 128, 0, 255],
    ]
    channels = root["prediction"].attrs["ome"]["omero"]["channels"]
    assert [c["label"] for c in channels] == ["bg", "n", "t"]
    assert run.class_map.outcomes == ("bg", "n", "t") and run.class_map.background == "bg"
    table = run.tiles
    assert (table["p_bg"] + table["p_n"] + table["p_t"]).to_numpy() == pytest.approx(1, abs=1e-4)
    assert set(table["predicted"]) <= {"n", "t"}  # of the classes other than the background


def test_a_classifier_has_none(noisy, classifier, tmp_path: Path) -> None:
    run = explained(noisy, classifier, tmp_path / "s.zarr", [])
    assert run.class_map is None and "prediction" not in zarr.open_group(run.path, mode="r")


def test_a_single_logit_has_two_labels(noisy, tmp_path: Path) -> None:
    run = explained(noisy, small_segmenter("t"), tmp_path / "s.zarr", [])
    class_map = run.class_map
    assert class_map.outcomes == ("t", "not t") and class_map.background == "not t"
    assert class_map.probabilities[0].shape[0] == 1
    sure = class_map.probabilities[0][0, :275, :330].astype(int)
    labels = class_map.labels[0][:275, :330]
    assert (labels[sure >= 129] == 1).all() and (labels[sure <= 126] == 2).all()


@pytest.mark.slow
def test_interrupted_and_resumed_is_never_interrupted(noisy, tmp_path: Path, monkeypatch) -> None:
    small_bands(monkeypatch)
    compute = Compute(batch_size=3, device="cpu")
    model = small_segmenter()
    straight = explained(noisy, model, tmp_path / "straight.zarr", SPECS, compute=compute)
    out = tmp_path / "pieces.zarr"
    for piece in (1, 20, 50):  # passes and batches
        left = iter(range(piece - 1, -1, -1))
        run = explained(
            noisy, model, out, SPECS, compute=compute, stop=lambda left=left: next(left) == 0
        )
        assert run.status == "running"
    assert_same_bits(straight, explained(noisy, model, out, SPECS, compute=compute))


def test_a_tile_is_given_up_between_two_passes(noisy, tmp_path: Path) -> None:
    asked = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) == 3

    one_tile = Tiling(tissue="all", tile_px=400)
    many = [SPECS[0].model_copy(update={"samples": 50})]
    out = tmp_path / "s.zarr"
    run = explained(noisy, small_segmenter(), out, many, tiling=one_tile, stop=stop)
    assert run.status == "running" and len(asked) == 3
    assert (run.tiles["status"] == "pending").all()


def test_small_pieces_of_tissue_are_not_lost_in_large_tiles(noisy, tmp_path: Path) -> None:
    mask = np.zeros((275, 330), np.uint8)
    mask[120:140, 150:170] = 255  # under 1 % of a tile
    Image.fromarray(mask).save(tmp_path / "tissue.png")
    tiling = Tiling(tissue=str(tmp_path / "tissue.png"), tile_px=256)
    run = explained(noisy, small_segmenter(), tmp_path / "s.zarr", [], tiling=tiling)
    assert len(run.tiles) > 0
    assert (run.class_map.labels[0][120:140, 150:170] > 0).all()


@pytest.mark.parametrize("samples", [0, 2])
def test_maps_stitched_from_tiles_are_those_of_one_large_tile(
    samples: int, noisy, tmp_path: Path
) -> None:
    model = small_segmenter()
    specs = [spec.model_copy(update={"samples": samples}) for spec in SPECS]
    small = explained(noisy, model, tmp_path / "small.zarr", specs)
    large = explained(
        noisy, model, tmp_path / "large.zarr", specs, tiling=Tiling(tissue="all", tile_px=400)
    )
    assert len(small.tiles) > 20 and len(large.tiles) == 1
    for key in small.maps:
        one, other = small.maps[key], large.maps[key]
        assert one.shape == other.shape
        a, b = (m.levels[0][: one.shape[0], : one.shape[1]] for m in (one, other))
        inner = np.s_[4:-4, 4:-4]
        assert np.abs(a - b)[inner].max() <= 0.02 * np.abs(b).max()


def test_a_map_does_not_depend_on_the_other_layers_of_the_run(noisy, tmp_path: Path) -> None:
    model = small_segmenter()
    alone = explained(noisy, model, tmp_path / "a.zarr", SPECS[:1])
    beside = explained(noisy, model, tmp_path / "b.zarr", SPECS[:2])
    predicted = explained(noisy, model, tmp_path / "c.zarr", [])
    (key,) = alone.maps
    grid = alone.provenance["grid"]
    assert grid["step"] % model.unit == 0
    assert predicted.provenance["grid"] == beside.provenance["grid"] == grid
    one, other = (run.maps[key].levels[0][:] for run in (alone, beside))
    assert np.array_equal(one, other, equal_nan=True)
    one, other = (run.class_map.labels[0][:] for run in (alone, predicted))
    assert np.array_equal(one, other)


def test_there_is_no_seam(noisy, tmp_path: Path) -> None:
    run = explained(noisy, small_segmenter(), tmp_path / "s.zarr", [])
    values = run.class_map.probabilities[0][:, :275, :330].astype(float)
    step = run.provenance["grid"]["step"]
    across = np.abs(np.diff(values, axis=2)).mean((0, 1))
    # Where a tile's kept part ends, and everywhere else, at the same phase of the texture.
    ends = np.zeros(len(across), bool)
    halo = run.provenance["grid"]["halo"]
    lead = -(-halo // 4) * 4  # origins are multiples of the network's coarsest stride
    for origin in range(-lead, 330, step):
        for border in (origin + halo, origin + 64 - halo):
            if 1 <= border < len(across):
                ends[border - 1] = True
    assert ends.sum() >= 6
    phases = [p for p in range(9) if (ends & (np.arange(len(across)) % 9 == p)).any()]
    for phase in phases:
        same = np.arange(len(across)) % 9 == phase
        assert across[ends & same].max() <= 1.05 * across[same & ~ends].max() + 0.5


def test_a_tile_without_the_class_is_zero_and_counted(black, tmp_path: Path) -> None:
    model = segmenter(PositiveUNet(), "a", "b", size=64)
    slide = black(300, 300, (40, 40))
    spec = SaliencySpec(layer="stem", denoising="original", samples=2)
    run = explain_slide(slide, model, [spec], tmp_path / "s.zarr", tiling=ALL, progress=False)
    (key,) = run.maps
    counted = run.tiles[f"explained_px_{key}"]
    assert (counted == 0).any() and (counted > 0).any()
    # A map of zeros is not a smooth one.
    assert np.array_equal(run.tiles[f"tv_{key}"].isna(), counted == 0)
    values = run.maps[key].levels[0][:150, :150]
    assert (values[75:, 75:] == 0).all() and np.nanmax(np.abs(values[:40, :40])) > 0


def test_a_slide_without_tissue_gives_an_empty_valid_store(tmp_path: Path) -> None:
    slide = ArraySlide([np.full((300, 300, 3), 245, np.uint8)], mpp=(0.5, 0.5), name="glass")
    run = explain_slide(slide, small_segmenter(), SPECS, tmp_path / "s.zarr", progress=False)
    assert run.status == "complete" and len(run.tiles) == 0
    assert (run.class_map.labels[0][:] == 0).all()
    Labels.from_zarr(zarr.open_group(run.path, mode="r")["prediction/labels"])


def test_predictions_alone_have_a_halo_too(noisy, tmp_path: Path) -> None:
    run = explained(noisy, small_segmenter(), tmp_path / "s.zarr", [])
    assert run.provenance["grid"]["halo"] > 0 and len(run.maps) == 0


def test_tiles_of_an_odd_size(noisy, tmp_path: Path) -> None:
    model = small_segmenter()
    run = explained(
        noisy, model, tmp_path / "s.zarr", SPECS, tiling=Tiling(tissue="all", tile_px=75)
    )
    expected = whole(model, noisy)
    got = run.class_map.probabilities[0][:, :275, :330] / 255
    assert np.abs(got - expected)[:, 24:-24, 24:-24].mean() <= 0.5 / 255 + 1e-3
    with pytest.raises(SettingError, match="larger tiles"):
        explained(noisy, model, tmp_path / "t.zarr", tiling=Tiling(tile_px=16, halo=8), specs=SPECS)
