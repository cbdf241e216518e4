"""A slide that is not what the card or its own resolution say is told, before a run."""

import threading
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from small_runs import SPECS, explained
from tissue_pictures import tissue

from napari_smoothsal import SaliencySpec, explain_slide, load_model, open_slide
from napari_smoothsal.core.errors import TileReadError
from napari_smoothsal.core.stain import StainRange
from napari_smoothsal.models import Model
from napari_smoothsal.runs import slide_check
from napari_smoothsal.runs.progress import Progress
from napari_smoothsal.runs.slide_check import check_slide
from napari_smoothsal.slides import ArraySlide
from napari_smoothsal.slides.nuclear_size import LEAST_PLACES
from napari_smoothsal.slides.sample import sample_slide_path
from napari_smoothsal.slides.stain import stain_range_of

TWICE = [["are", "used"], ["as", "--mpp"]]
"""How it ends what is told: of the resolution in the file, and of nuclei."""


def told(slide, model: Model) -> list[str]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        check_slide(slide, model)
    return [str(w.message) for w in found]


@cache
def nine_times(side: int, diameter_px: float, strength=(1.0, 1.0)) -> NDArray[np.uint8]:
    return np.tile(tissue(side, diameter_px, 0, strength), (3, 3, 1))


def slide_of(mpp: float, strength=(1.0, 1.0)) -> ArraySlide:
    pixels = nine_times(470, 11, strength)
    return ArraySlide([pixels], mpp=(mpp, mpp), name="made up")


def with_card(model: Model, **fields) -> Model:
    return Model(model.module, model.card.model_copy(update=fields))


def test_a_resolution_that_is_wrong_by_two_is_told(classifier: Model) -> None:
    assert told(slide_of(0.5), classifier) == []
    (large,) = told(slide_of(1.0), classifier)
    assert "'made up'" in large and "1 um per pixel" in large and "too large" in large
    (small,) = told(slide_of(0.25), classifier)
    assert "too small" in small and "--mpp" in small


def test_the_large_nuclei_of_one_place_are_not_the_slides(classifier: Model) -> None:
    large = ArraySlide([nine_times(300, 24)], mpp=(0.5, 0.5))
    assert len(told(large, classifier)) == 1
    pixels = nine_times(300, 11).copy()
    pixels[:300, :300] = nine_times(300, 24)[:300, :300]
    slide = ArraySlide([pixels], mpp=(0.5, 0.5), name="with a tumour")
    assert told(slide, classifier) == []


def test_few_places_and_coarse_slides_are_not_judged(classifier: Model) -> None:
    few = ArraySlide([tissue(500, 24)], mpp=(0.5, 0.5))  # 2 x 2 places of 224 px
    assert LEAST_PLACES > 4
    assert told(few, classifier) == []
    assert told(slide_of(2.0), with_card(classifier, input_mpp=2.0)) == []


def test_stain_outside_the_cards_range_is_told_with_both(classifier: Model) -> None:
    usual = stain_range_of(
        [tissue(64, 11, s, (0.8 + 0.025 * s, 1.2 - 0.02 * s)) for s in range(20)]
    )
    model = with_card(classifier, stain_range=usual)
    assert told(slide_of(0.5), model) == []
    (one,) = told(slide_of(0.5, (2.0, 1.0)), model)
    assert "'made up'" in one and "haematoxylin" in one and f"{usual.haematoxylin[1]:.3g}" in one
    # Of a needle's core, too, which is narrower than a place.
    core = ArraySlide([nine_times(470, 11, (2.0, 1.0))[:, :50]], mpp=(0.5, 0.5), name="core")
    (same,) = told(core, model)
    assert "haematoxylin" in same


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_the_sample_slide_at_its_resolution_and_at_wrong_ones(factor: float) -> None:
    model = load_model("demo-classifier")
    with sample_slide_path() as path, open_slide(path, mpp=0.5 * factor) as slide:
        wrong = told(slide, model)
    assert [one.split()[-2:] for one in wrong] == ([] if factor == 1 else TWICE)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_a_real_slide_at_its_resolution_and_at_wrong_ones(factor: float, real_slides) -> None:
    model = load_model("demo-classifier")
    usual = StainRange(haematoxylin=(0.1, 0.5), eosin=(0.05, 0.25))
    model = with_card(model, stain_range=usual)
    path = real_slides / "CMU-1-Small-Region.svs"
    with open_slide(path, mpp=0.499 * factor) as slide:
        wrong = told(slide, model)
        assert [one.split()[-2:] for one in wrong] == ([] if factor == 1 else TWICE)
        dark = with_card(model, stain_range=StainRange(haematoxylin=(0.8, 1), eosin=(0, 1)))
        assert any("haematoxylin" in one for one in told(slide, dark))


def test_of_glass_nothing_is_said(classifier: Model) -> None:
    glass = ArraySlide([np.full((400, 400, 3), 243, np.uint8)], mpp=(0.5, 0.5))
    usual = StainRange(haematoxylin=(0.1, 0.5), eosin=(0.05, 0.25))
    assert told(glass, with_card(classifier, stain_range=usual)) == []


def test_places_that_cannot_be_read_are_left_out(classifier: Model) -> None:
    class Damaged(ArraySlide):
        def read_box(self, box, size, resampling="area"):
            if box.x < 100:
                raise TileReadError("cannot be decoded")
            return super().read_box(box, size, resampling)

    slide = Damaged([nine_times(300, 22)], mpp=(0.5, 0.5), name="damaged")
    (one,) = told(slide, classifier)
    assert "too large" in one


def test_a_run_of_a_region_is_told_of_its_slide(tmp_path: Path) -> None:
    spec = SaliencySpec(layer="layer3", samples=0)
    with (
        sample_slide_path() as path,
        open_slide(path, mpp=0.25) as slide,
        pytest.warns(UserWarning, match="its file says 0.5 um per pixel, and the 0.25"),
    ):
        model = load_model("demo-classifier")
        region = (1000, 1200, 500, 500)
        explain_slide(slide, model, [spec], tmp_path / "run", region=region, progress=False)


class Holed(ArraySlide):
    """Level-0 rows 100 to 199 cannot be read."""

    def _read_level(self, level, x, y, w, h):
        if y < 200 and y + h > 100:
            raise TileReadError("cannot be decoded")
        return super()._read_level(level, x, y, w, h)


def test_what_cannot_be_read_is_told_once_and_before_the_first_tile(
    classifier: Model, tmp_path: Path
) -> None:
    pixels = np.full((400, 400, 3), 243, np.uint8)
    slide = Holed([pixels], mpp=(0.5, 0.5), name="holed")
    said_at = []
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        report = lambda p: said_at.append((p.done, len(found)))  # noqa: E731
        run = explained(slide, classifier, tmp_path / "a.zarr", [], progress=report)
    (one,) = [str(w.message) for w in found if "'holed'" in str(w.message)]
    assert "25 % of the slide cannot be read" in one and "counts as tissue" in one
    assert "x 0 to 400 and y 100 to 200" in one
    assert said_at[0] == (0, 0) or said_at[0][1] == 1, said_at
    assert (run.tiles["status"] == "failed").any()


@pytest.mark.parametrize("early", [True, False])
def test_a_run_does_not_wait_for_the_look_at_its_slide(
    early: bool, noisy, classifier: Model, tmp_path: Path, monkeypatch
) -> None:
    computed, said_at = threading.Event(), []

    def look(_slide, _model) -> list[str]:
        assert early or computed.wait(60), "the run waits for it"
        return ["looks odd"]

    def report(progress: Progress) -> None:
        said_at.append(len(found))
        if progress.done == progress.total:
            computed.set()

    monkeypatch.setattr(slide_check, "_of_looks", look)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        explained(noisy, classifier, tmp_path / "a.zarr", SPECS[:1], progress=report)
    (said,) = (w for w in found if str(w.message) == "looks odd")
    assert Path(said.filename).name == "small_runs.py", "early or late, the caller is blamed"
    assert early or said_at[-1] < len(found), "said once it is known"
