"""Localisation of maps whose answer is known, and what is said where there is none."""

import numpy as np
import pytest
import shapely
from placed_maps import ArrayMap, array_run, outlines, squares

from napari_smoothsal import localisation
from napari_smoothsal.core.errors import SettingError, SlideError, StoreError, UnknownNameError
from napari_smoothsal.evaluation.localised_map import PLACES
from napari_smoothsal.slides.outlines import Outlines

SIZE, MPP, STRIDE = 1536, 0.5, 4
"""A slide of 0.8 mm; layer pixels of 4 level-0 px, the first over pixels 0 to 3."""

SMALL = {"block_um": 128.0, "resamples": 200}
"""36 blocks."""

N = SIZE // STRIDE
CENTRE = (STRIDE - 1) / 2 * MPP


@pytest.fixture(scope="module")
def truth() -> Outlines:
    rng = np.random.default_rng(0)
    # Whole layer pixels, so that no pixel is half on a nucleus.
    grid = [shapely.transform(s, lambda p: p * STRIDE) for s in squares(rng, N, 3, 8)]
    return outlines(
        tumour_nucleus=grid[::4],
        normal_nucleus=[g for i, g in enumerate(grid) if i % 4],
        tumour_area=[shapely.box(0, 0, SIZE / 2, SIZE)],
    )


def one(values: np.ndarray, shift_px: float = 0.0, **settings) -> ArrayMap:
    translate = CENTRE + shift_px * STRIDE * MPP
    return ArrayMap(values, (STRIDE * MPP,) * 2, (CENTRE, translate), **settings)


def measured(values, truth: Outlines, shift_px: float = 0.0, **settings):
    run = array_run({"map": one(values, shift_px)}, (SIZE, SIZE), MPP)
    return localisation(run, truth, **SMALL | settings).iloc[0]


def painted(truth: Outlines, *names: str) -> np.ndarray:
    values = np.zeros((N, N), np.float32)
    for shape in truth.shapes[np.isin(truth.names, names)]:
        x0, y0, x1, y1 = (int(v) // STRIDE for v in shape.bounds)
        values[y0:y1, x0:x1] = 1
    return values


def test_a_map_of_the_nuclei_is_perfect_and_one_pixel_off_is_not(truth: Outlines) -> None:
    values = painted(truth, "tumour nucleus")
    row = measured(values, truth)
    assert row["pixel_auroc"] == row["nucleus_auroc"] == row["nucleus_ap"] == 1
    assert row["pixel_auroc_low"] == 1 and row["nucleus_auroc_high"] == 1
    share = [row[f"share_magnitude_{place}"] for place in ("class_interior", "class_rim")]
    assert sum(share) == pytest.approx(1)
    for shift in (1, -1):
        off = measured(values, truth, shift)
        assert off["pixel_auroc"] < 0.85 and off["pixel_auroc_high"] < 0.9
    # A twentieth of a pixel is seen, too.
    assert 0.95 < measured(values, truth, 0.07)["pixel_auroc"] < 0.999


def test_a_map_of_all_nuclei_does_not_tell_them_apart(truth: Outlines) -> None:
    row = measured(painted(truth, "tumour nucleus", "normal nucleus"), truth)
    assert row["nucleus_auroc"] == 0.5
    assert row["nucleus_ap"] == pytest.approx(row["nucleus_floor"])
    count = row["nuclei_of_class"], row["nuclei_other"]
    assert count == tuple((truth.names == f"{n} nucleus").sum() for n in ("tumour", "normal"))
    assert row["nucleus_floor"] == pytest.approx(count[0] / sum(count))


@pytest.mark.parametrize("value", [3.7, -3.7])
def test_a_constant_map_says_nothing(truth: Outlines, value: float) -> None:
    row = measured(np.full((N, N), value, np.float32), truth)
    for name in ("pixel_auroc", "nucleus_auroc", "pixel_auroc_magnitude"):
        assert row[name] == row[f"{name}_low"] == row[f"{name}_high"] == 0.5
    assert sum(row[f"area_{place}"] for place in PLACES) == pytest.approx(1)
    for place in PLACES:
        assert row[f"enrichment_magnitude_{place}"] == pytest.approx(1, abs=1e-12)
        assert row[f"enrichment_magnitude_{place}_low"] == pytest.approx(1, abs=1e-12)
    assert row["rim_over_interior_magnitude_class"] == pytest.approx(1, abs=1e-12)
    positive = row["enrichment_positive_class_rim"]
    assert positive == pytest.approx(1) if value > 0 else np.isnan(positive)


def test_white_noise_has_one_half_in_its_interval_about_as_often_as_said(truth: Outlines) -> None:
    rng = np.random.default_rng(3)
    maps = {str(i): one(rng.normal(size=(N, N)).astype(np.float32)) for i in range(8)}
    frame = localisation(array_run(maps, (SIZE, SIZE), MPP), truth, **SMALL)
    for name in ("pixel_auroc", "nucleus_auroc"):
        inside = (frame[f"{name}_low"] <= 0.5) & (frame[f"{name}_high"] >= 0.5)
        assert inside.sum() >= 6, name
        assert ((frame[f"{name}_high"] - frame[f"{name}_low"]) < 0.1).all()
    assert frame["enrichment_magnitude_class_interior"].to_numpy() == pytest.approx(1, abs=0.1)


def test_signed_values_are_ranked_as_they_are(truth: Outlines) -> None:
    row = measured(-painted(truth, "tumour nucleus"), truth)
    assert row["pixel_auroc"] == 0 == row["nucleus_auroc"]
    assert row["pixel_auroc_magnitude"] == 1 == row["nucleus_auroc_magnitude"]


def test_outlined_or_filled() -> None:
    disks = [
        shapely.Point(x, y).buffer(30) for y in range(60, 1440, 120) for x in range(60, 1440, 120)
    ]
    truth = outlines(tumour_nucleus=disks, normal_nucleus=[shapely.box(1490, 1490, 1520, 1520)])
    y, x = np.indices((SIZE, SIZE)) + 0.5
    distance = np.hypot(y % 120 - 60, x % 120 - 60)
    distance[(y > 1440) | (x > 1440)] = 99
    fine = [abs(distance - 30) < 6, distance < 30]
    rim, filled = (f.reshape(N, STRIDE, N, STRIDE).mean((1, 3)) for f in fine)
    run = array_run({"outline": one(rim), "filling": one(filled)}, (SIZE, SIZE), MPP)
    outline, filling = (
        row for _, row in localisation(run, truth, rim_um=3.0, resamples=50).iterrows()
    )
    # Areas of the disk's rings in closed form.
    band, core = 36**2 - 24**2, 24**2
    assert outline["area_class_rim"] / outline["area_class_interior"] == pytest.approx(
        band / core, rel=0.01
    )
    assert outline["rim_over_interior_magnitude_class"] == pytest.approx(
        outline["outlined_class"], rel=0.05
    )
    assert outline["outlined_class"] > 5
    expected = (30**2 - 24**2) / band  # of the rim the inner part is filled, all of the interior
    assert filling["rim_over_interior_magnitude_class"] == pytest.approx(expected, rel=0.02)
    assert filling["filled_class"] == pytest.approx(expected, rel=0.02)
    assert bool(outline["rim_resolved"])
    assert not bool(localisation(run, truth, rim_um=0.9, resamples=10).iloc[0]["rim_resolved"])


def test_what_was_not_computed_is_left_out(truth: Outlines) -> None:
    values = painted(truth, "tumour nucleus")
    values[:, : N // 2] = np.nan
    row = measured(values, truth)
    left = shapely.bounds(truth.shapes)[:, 2] <= SIZE / 2
    counted = np.char.endswith(truth.names, "nucleus")
    assert row["nuclei_left_out"] == (left & counted).sum()
    assert row["nuclei_of_class"] == (~left & (truth.names == "tumour nucleus")).sum()
    assert row["pixel_auroc"] == row["nucleus_auroc"] == 1
    assert row["explained_mm2"] == pytest.approx((SIZE * MPP) ** 2 / 2 / 1e6)
    assert row["blocks"] == 18


def test_maps_of_one_place_may_miss_different_pixels(truth: Outlines) -> None:
    values = painted(truth, "tumour nucleus")
    some = values.copy()
    some[: N // 2] = np.nan
    run = array_run({"all": one(values), "some": one(some)}, (SIZE, SIZE), MPP)
    frame = localisation(run, truth, resamples=20)
    assert list(frame["key"]) == ["all", "some"]
    alone = measured(some, truth)
    for name in ("nuclei_of_class", "nucleus_floor", "area_class_rim", "explained_mm2"):
        assert frame[name][1] == pytest.approx(alone[name])
        assert frame[name][0] != frame[name][1]


def test_the_class_is_found_from_the_target(truth: Outlines) -> None:
    values = painted(truth, "normal nucleus")
    for target, settings in (
        ("normal", {}),
        ("normal nucleus", {}),
        ("auto", {"nuclei_class": "normal nucleus"}),
        ("a-b", {"nuclei_class": "normal nucleus", "other_classes": ["tumour nucleus"]}),
    ):
        run = array_run({"m": one(values, target=target)}, (SIZE, SIZE), MPP)
        row = localisation(run, truth, resamples=20, **settings).iloc[0]
        assert row["class"] == "normal nucleus" and row["others"] == "tumour nucleus"
        assert row["nucleus_auroc"] == 1


@pytest.mark.parametrize("target", ["auto", "tumour-normal", "stroma"])
def test_a_target_that_names_no_class_asks_for_one(truth: Outlines, target: str) -> None:
    run = array_run({"m": one(np.ones((N, N)), target=target)}, (SIZE, SIZE), MPP)
    with pytest.raises(SettingError, match=rf"{target}.*--nuclei-class.*'normal nucleus'"):
        localisation(run, truth)


def test_two_classes_for_a_target_ask_for_one() -> None:
    boxes = [shapely.box(i, i, i + 9, i + 9) for i in range(0, 60, 20)]
    truth = outlines(tumour_large=boxes, tumour_small=boxes, stroma=boxes)
    run = array_run({"m": one(np.ones((N, N)))}, (SIZE, SIZE), MPP)
    with pytest.raises(SettingError, match=r"'tumour large', 'tumour small'.*--nuclei-class"):
        localisation(run, truth)
    row = localisation(run, truth, nuclei_class="tumour large", resamples=5).iloc[0]
    assert row["others"] == "tumour small, stroma", "no class is called a nucleus: all others are"


def test_bad_names_and_rims(truth: Outlines) -> None:
    run = array_run({"m": one(np.ones((N, N)))}, (SIZE, SIZE), MPP)
    with pytest.raises(UnknownNameError, match=r"'tumor nucleus'.*'tumour nucleus'"):
        localisation(run, truth, nuclei_class="tumor nucleus")
    with pytest.raises(UnknownNameError, match="'lymphocyte'"):
        localisation(run, truth, other_classes=["lymphocyte"])
    with pytest.raises(SettingError, match="'tumour nucleus' is also"):
        localisation(run, truth, other_classes=["tumour nucleus"])
    for rim in (0.0, -1.0, float("nan")):
        with pytest.raises(SettingError, match="rim_um"):
            localisation(run, truth, rim_um=rim)


def test_outlines_of_another_slide_name_both_extents(truth: Outlines) -> None:
    run = array_run({"m": one(np.ones((N, N)))}, (900, 1000), MPP)
    with pytest.raises(
        SlideError, match=r"truth.*x \d+ to 15\d\d.*x 0 to 900 and y 0 to 1000.*level 0"
    ):
        localisation(run, truth)


def test_a_map_beside_all_nuclei_and_a_store_without_maps(truth: Outlines) -> None:
    for values in (np.ones((2, 2)), np.full((N, N), np.nan)):
        run = array_run({"corner": ArrayMap(values, (1.0, 1.0), (5000.0, 0.0))}, (SIZE, SIZE), MPP)
        with pytest.raises(StoreError, match=r"'corner' covers none of the \d+ outlines"):
            localisation(run, truth)
    with pytest.raises(StoreError, match="--predict-only"):
        localisation(array_run({}, (SIZE, SIZE), MPP), truth)


@pytest.mark.parametrize(("mpp", "warns"), [(0.1, True), (0.25, False), (4.0, False), (6.0, True)])
def test_nuclei_of_an_odd_size_are_told(mpp: float, warns: bool, recwarn) -> None:
    boxes = [shapely.box(i, i, i + 12, i + 12) for i in range(0, 600, 20)]
    truth = outlines(tumour_nucleus=boxes[::2], normal_nucleus=boxes[1::2])
    run = array_run({"m": ArrayMap(np.ones((80, 80)), (8 * mpp,) * 2, (0, 0))}, (640, 640), mpp)
    localisation(run, truth, resamples=5)
    said = [str(w.message) for w in recwarn if issubclass(w.category, UserWarning)]
    assert any("median diameter" in text and "micrometres" in text for text in said) == warns
