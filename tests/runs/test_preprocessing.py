"""What a card says of preprocessing is done to tiles wherever they come from, once, and first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_runs import ALL, assert_same_bits, explained
from tissue_pictures import tissue

from napari_smoothsal import Compute, SaliencySpec, explain_tiles, plan_tiles
from napari_smoothsal.core.errors import StoreError
from napari_smoothsal.evaluation.some_tiles import InMemory, behind_stain
from napari_smoothsal.models import Model
from napari_smoothsal.models.stain_normalisation import stain_target_of
from napari_smoothsal.runs.refine import refine_region
from napari_smoothsal.runs.slide_tiles import SlideTiles
from napari_smoothsal.slides import ArraySlide

SPEC = SaliencySpec(layer="layer1", denoising="original", samples=2)
TARGET = stain_target_of(torch.from_numpy(tissue(96, 13, 9)).permute(2, 0, 1), "macenko")
EXACT = Compute(precision="fp32", batch_size=8)


def with_card(model: Model, **fields) -> Model:
    return Model(model.module, model.card.model_copy(update=fields))


@pytest.fixture
def slide() -> ArraySlide:
    # 0.32 um: 64 px of the model are 100 of level 0.
    return ArraySlide([tissue(300, 13, 2, (1.3, 1.1))], mpp=(0.32, 0.32))


def pillows(slide: ArraySlide, x: int, y: int, by: Image.Resampling) -> torch.Tensor:
    cut = Image.fromarray(slide.read_region(x, y, 100, 100)).resize((64, 64), by)
    return torch.from_numpy(np.asarray(cut).copy()).permute(2, 0, 1)


def test_runs_views_and_tiles_to_train_on_are_resampled_as_the_card_says(
    slide: ArraySlide, classifier: Model, tmp_path: Path
) -> None:
    model = with_card(classifier, resampling="bicubic")
    by = Image.Resampling.BICUBIC
    tiles = SlideTiles([slide], model, ALL)
    boxes = [box for _, box in tiles._boxes]
    number = next(i for i, box in enumerate(boxes) if (box.x, box.y) == (100, 100))
    (drawn,) = tiles.draw([number], None)
    expected = pillows(slide, 100, 100, by)
    assert torch.equal(drawn, expected)
    plain = SlideTiles([slide], classifier, ALL)
    assert not torch.equal(plain.draw([number], None)[0], expected)
    assert plain.fingerprint != tiles.fingerprint
    run = explained(slide, model, tmp_path / "a.zarr", [], tiling=ALL, compute=EXACT)
    view = refine_region(
        slide, model, [], tmp_path / "view", region=slide.bounds, tiling=ALL, compute=EXACT
    )
    own = explain_tiles(model, expected[None], SPEC, EXACT).original_probabilities[0, 1]
    for one in (run, view):
        row = one.tiles[(one.tiles.x_px == 100) & (one.tiles.y_px == 100)]
        assert row.p_tumour.item() == pytest.approx(float(own), abs=1e-6)


def test_a_store_of_the_area_mean_says_nothing_of_it_and_of_others_it_does(
    slide: ArraySlide, classifier: Model, tmp_path: Path
) -> None:
    run = explained(slide, classifier, tmp_path / "a.zarr", [SPEC])
    assert not {"resampling", "stain_normalisation"} & run.provenance["model"].keys()
    for other in ({"resampling": "bilinear"}, {"stain_normalisation": TARGET}):
        with pytest.raises(StoreError, match=next(iter(other))):
            explained(slide, with_card(classifier, **other), tmp_path / "a.zarr", [SPEC])


@pytest.mark.parametrize("jitter", [False, True])
def test_a_slide_is_normalised_tile_by_tile(
    slide: ArraySlide, classifier: Model, tmp_path: Path, jitter: bool
) -> None:
    model = with_card(classifier, stain_normalisation=TARGET)
    spec = SPEC.model_copy(update={"jitter": jitter, "samples": 4})
    run = explained(slide, model, tmp_path / "a.zarr", [spec], compute=EXACT)
    again = explained(slide, model, tmp_path / "b.zarr", [spec], compute=EXACT)
    assert_same_bits(run, again)
    plan = plan_tiles(slide, model, ALL, layers=["layer1"])
    box = plan.grid.box(4)
    tile = torch.from_numpy(slide.read_box(box, (64, 64))).permute(2, 0, 1)[None]
    own = explain_tiles(model, tile, SPEC, EXACT).original_probabilities[0, 1]
    assert run.tiles.p_tumour.iloc[4] == pytest.approx(float(own), abs=1e-6)
    normal = model.stain_normalised(tile).images
    behind = explain_tiles(classifier, normal, SPEC, EXACT)
    assert float(behind.original_probabilities[0, 1]) == pytest.approx(float(own), abs=1e-6)


METHODS = [
    {"method": "gradient"},
    {"method": "deeplift", "method_options": {"baseline": "tissue_mean"}},
    {"method": "deeplift", "method_options": {"baseline": "custom"}},
    {"method": "occlusion", "layer": "input", "method_options": {"fill": "white"}},
    {"method": "gradient_shap", "method_options": {"baseline": "normal_tissue", "draws": 4}},
]


@pytest.mark.parametrize("fields", METHODS, ids=lambda f: f["method"])
def test_explaining_is_that_of_the_same_network_on_normalised_images(
    classifier: Model, fields: dict
) -> None:
    normal = np.stack([tissue(64, 13, s, (1.2, 0.9)) for s in range(2)])
    card = classifier.card.model_copy(update={"stain_normalisation": TARGET})
    model = Model(classifier.module, card, normal_tissue=normal)
    images = np.stack([tissue(64, 13, s, (1.4, 1.2)) for s in (5, 6)]).transpose(0, 3, 1, 2)
    given = torch.from_numpy(np.ascontiguousarray(images))
    custom = fields.get("method_options", {}).get("baseline") == "custom"
    others = given.flip(0) if custom else None
    spec = SaliencySpec(**{"layer": "layer1", "denoising": "original", "samples": 0, **fields})
    one = explain_tiles(model, given, spec, EXACT, baselines=others)
    entered = model.stain_normalised(given).images
    others = None if others is None else model.stain_normalised(others).images
    two = explain_tiles(model.behind_stain, entered, spec, EXACT, baselines=others)
    assert torch.equal(one.maps, two.maps) and torch.equal(one.logits, two.logits)
    plain = Model(classifier.module, classifier.card, None, normal)
    raw = explain_tiles(plain, given, spec, EXACT, baselines=given.flip(0) if custom else None)
    assert not torch.equal(one.maps, raw.maps)


def test_tiles_without_stain_are_told_once(classifier: Model) -> None:
    model = with_card(classifier, stain_normalisation=TARGET)
    glass = np.full((20, 3, 64, 64), 243, np.uint8)
    with pytest.warns(UserWarning, match="too little stain") as found:
        explain_tiles(model, glass, SPEC, EXACT)
    assert len([w for w in found if "too little stain" in str(w.message)]) == 1


def test_who_changes_pixels_works_behind_the_stain(classifier: Model) -> None:
    images = torch.from_numpy(tissue(64, 13, 5)).permute(2, 0, 1)[None]
    tiles = InMemory(["a"], images)
    assert behind_stain(classifier, tiles) == (classifier, tiles)
    model = with_card(classifier, stain_normalisation=TARGET)
    behind, normalised = behind_stain(model, tiles)
    assert behind is model.behind_stain and normalised.name(0) == "a" and len(normalised) == 1
    assert torch.equal(normalised.images([0]), model.stain_normalised(images).images)
