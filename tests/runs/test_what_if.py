"""What if: a changed view is what a run makes of a slide that was changed so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
import torch
from small_runs import ALL
from tissue_pictures import tissue

from napari_smoothsal import Compute, Model, SaliencySpec, WhatIfView, explain_slide, what_if
from napari_smoothsal.attribution import Stopped
from napari_smoothsal.attribution.region_fills import REGION_FILLS
from napari_smoothsal.core.errors import SettingError, UnknownNameError
from napari_smoothsal.models.stain_normalisation import stain_target_of
from napari_smoothsal.runs.changed_tiles import ChangedTiles, ViewTiles
from napari_smoothsal.slides import ArraySlide, Box
from napari_smoothsal.slides.view_pixels import ViewPixels

REGION = (70, 68, 120, 110)
SHAPE = [np.array([(90.0, 80.0), (130.0, 84.0), (120.0, 140.0)])]
SPEC = SaliencySpec(layer="layer2", samples=4, jitter=True)
COMPUTE = Compute(device="cpu", precision="fp32", batch_size=3)
GIVEN = {"region": REGION, "tiling": ALL, "compute": COMPUTE}


def painted(slide: ArraySlide, view: ViewPixels) -> ArraySlide:
    """The slide with the pixels that the model was shown; its resolution is the model's."""
    pixels = slide.read_region(0, 0, slide.width, slide.height).copy()
    (y, x), (h, w) = view.origin, view.pixels.shape[:2]
    assert min(y, x) >= 0 and y + h <= slide.height and x + w <= slide.width
    pixels[y : y + h, x : x + w] = view.pixels
    return ArraySlide([pixels], mpp=slide.mpp, name="painted")


@pytest.mark.parametrize("change", ["remove", "reveal"])
def test_it_is_what_a_run_says_of_a_slide_painted_so(
    noisy: ArraySlide, classifier: Model, tmp_path: Path, change: str
) -> None:
    found = what_if(noisy, classifier, shape=SHAPE, change=change, spec=SPEC, **GIVEN)
    for name, slide, values in (
        ("before", noisy, found.before),
        ("after", painted(noisy, found.view), found.after),
    ):
        given = {**GIVEN, "progress": False}
        said = explain_slide(slide, classifier, [], tmp_path / f"p_{name}", **given).tiles
        columns = [f"p_{c}" for c in classifier.card.class_names]
        np.testing.assert_allclose(values, said[columns].to_numpy(), atol=1e-6)
        assert getattr(found, f"predicted_{name}") == tuple(said["predicted"])
        np.testing.assert_array_equal(found.boxes[:, 0], said["x_px"])
        run = explain_slide(slide, classifier, [SPEC], tmp_path / name, **given)
        (one,) = run.maps.values()
        expected = one.levels[0][: one.shape[0], : one.shape[1]]
        np.testing.assert_allclose(getattr(found.maps, name), expected, rtol=1e-4, atol=1e-6)
        assert found.maps.translate_um == one.translate_um
    assert np.abs(found.maps.after - found.maps.before).max() > 0
    # Pooled values are means over the view's tiles, and the table says the same.
    mean = found.after.mean(axis=0)
    assert list(found.pooled_after.values()) == pytest.approx(mean, abs=1e-6)
    assert found.difference["tumour"] == pytest.approx(
        float(mean[1] - found.before[:, 1].mean()), abs=1e-6
    )
    assert found.table["p_tumour_after"].to_numpy() == pytest.approx(found.after[:, 1])
    assert ("removed" if change == "remove" else "revealed only") in str(found)


def test_remove_and_reveal_hide_opposite_pixels_and_nothing_else_changes(
    noisy: ArraySlide, classifier: Model
) -> None:
    view = WhatIfView(noisy, classifier, **GIVEN)
    removed, revealed = (view.change(SHAPE, change) for change in ("remove", "reveal"))
    assert np.array_equal(removed.tiles.hidden, ~revealed.tiles.hidden)
    area = shapely.Polygon(SHAPE[0]).area
    assert removed.tiles.hidden.sum() == pytest.approx(area, rel=0.02)
    for one in (removed, revealed):
        kept = ~one.tiles.hidden
        assert np.array_equal(one.tiles.view.pixels[kept], view.pixels.pixels[kept])
    found = view.predict(removed)
    untouched = found.hidden == 0
    assert 0 < untouched.sum() < len(untouched)
    assert np.array_equal(found.before[untouched], found.after[untouched])
    assert (found.before[~untouched] != found.after[~untouched]).all()
    mean = found.after[~untouched, 1].mean()
    assert found.touched_after["tumour"] == pytest.approx(float(mean), abs=1e-6)
    assert (view.predict(revealed).hidden > 0).all()


def test_only_tiles_that_change_are_asked_about_again(
    noisy: ArraySlide, classifier: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = WhatIfView(noisy, classifier, **GIVEN)
    asked: list[int] = []
    begin = view._asked.begin

    def counted(images: torch.Tensor, places: object) -> object:
        asked.append(len(images))
        return begin(images, places)

    monkeypatch.setattr(view._asked, "begin", counted)
    found = view.predict(view.change(SHAPE))
    touched = int((found.hidden > 0).sum())
    assert sum(asked) == len(view.plan) + touched
    view.predict(view.change(SHAPE, fill="blurred"))
    assert sum(asked) == len(view.plan) + 2 * touched


@pytest.mark.parametrize("fill", REGION_FILLS)
def test_every_fill_is_another_trial(noisy: ArraySlide, classifier: Model, fill: str) -> None:
    found = what_if(noisy, classifier, shape=SHAPE, fill=fill, **GIVEN)
    other = what_if(noisy, classifier, shape=SHAPE, fill="tissue_mean", **GIVEN)
    assert found.fill == fill and REGION_FILLS[fill].title in str(found)
    assert np.array_equal(found.before, other.before)
    assert np.array_equal(found.after, other.after) == (fill == "tissue_mean")


def test_what_lies_around_a_hole_keeps_its_stain(classifier: Model) -> None:
    pixels = tissue(160, 13, 1, (1.5, 0.8))
    slide = ArraySlide([pixels], mpp=(0.5, 0.5), name="stained")
    target = stain_target_of(torch.from_numpy(tissue(96, 13, 5)).permute(2, 0, 1), "macenko")
    card = classifier.card.model_copy(update={"stain_normalisation": target})
    model = Model(classifier.module, card)
    tiles = ViewTiles(slide, model, 64)
    hidden = np.zeros((160, 160), bool)
    hidden[60:120, 60:120] = True
    filled = np.where(hidden[..., None], np.uint8(30), pixels)
    changed = ChangedTiles(tiles, hidden, ViewPixels((0, 0), (1.0, 1.0), filled))
    box, size = Box(40.0, 40.0, 80.0, 80.0), (80, 80)  # a margin of 8 px
    before, after = (one.read_box(box, size) for one in (tiles, changed))
    kept = ~hidden[40:120, 40:120]
    assert np.array_equal(before[kept], after[kept])
    assert not np.array_equal(before, slide.read_box(box, size))
    # As the model by itself would normalise the tile that nothing is hidden of.
    whole = torch.from_numpy(slide.read_box(box, size)).permute(2, 0, 1)[None]
    (expected,) = model.stain_normalised(whole, 8).images
    assert np.array_equal(before, expected.permute(1, 2, 0).numpy())
    assert changed.fingerprint != tiles.fingerprint


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ({"shape": [[(0, 0), (9, 0), (9, 9)]]}, SettingError, "beside the tissue in view"),
        ({"shape": shapely.box(0, 0, 330, 275)}, SettingError, "nothing would be left"),
        (
            {"shape": shapely.box(0, 0, 330, 275), "change": "reveal"},
            SettingError,
            "all of it would be left",
        ),
        ({"shape": SHAPE, "change": "hide"}, UnknownNameError, "no change named 'hide'"),
        ({"shape": SHAPE, "fill": "inpaint"}, UnknownNameError, "did you mean 'inpainted'"),
        ({"shape": SHAPE, "region": (900, 0, 9, 9)}, SettingError, "no part on slide"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_remedy(
    noisy: ArraySlide, classifier: Model, given: dict, kind: type, said: str
) -> None:
    with pytest.raises(kind, match=said):
        what_if(noisy, classifier, **{**GIVEN, **given})


def test_a_view_without_tissue_is_refused(classifier: Model) -> None:
    glass = ArraySlide([np.full((300, 300, 3), 250, np.uint8)], mpp=(0.5, 0.5), name="glass")
    with pytest.raises(SettingError, match="holds no tissue"):
        WhatIfView(glass, classifier, REGION)


def test_it_stops_between_batches(noisy: ArraySlide, classifier: Model) -> None:
    view = WhatIfView(noisy, classifier, **GIVEN)
    with pytest.raises(Stopped):
        view.predict(view.change(SHAPE), stop=lambda: True)
