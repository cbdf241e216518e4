"""Limits measured on a region: of its whole tiles with tissue, as `calibrate` has them."""

import json
from pathlib import Path

import numpy as np
import pytest
from dark_slide import DARK, GLASS, PINK, ROWS, SIDE, dark_model, dark_slide

import napari_smoothsal as ss
from napari_smoothsal.attribution import Stopped
from napari_smoothsal.core.calibration import Calibration
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.kept_calibrations import ELSEWHERE, kept_calibrations
from napari_smoothsal.models.calibration_file import kept_file, kept_of, save_calibrations

CPU = ss.Compute(device="cpu", precision="fp32")
SPEC = ss.SaliencySpec(layer="0", samples=0, target="dark")
HOW = ss.CalibrationCheck(copies=19, copy_tiles=2, stain=0, map_tiles=6)
LEFT = DARK * SIDE
NORMAL = (LEFT, 0, PINK * SIDE, ROWS * SIDE)


def calibrated(region=NORMAL, **more: object) -> Calibration:
    settings = {"how": HOW, "compute": CPU} | more
    with dark_slide() as slide:
        (found,) = ss.calibrate_on_region(slide, dark_model(), [SPEC], region, **settings)
    return found


def test_it_is_the_calibration_of_the_regions_tiles() -> None:
    found = calibrated()
    with dark_slide() as slide:
        tiles = [
            slide.read_region(LEFT + x * SIDE, y * SIDE, SIDE, SIDE)
            for y in range(ROWS)
            for x in range(PINK)
        ]
    images = np.moveaxis(np.stack(tiles), -1, 1)
    (alone,) = ss.calibrate(dark_model(), images, [SPEC], how=HOW, compute=CPU)
    assert found.tiles == ROWS * PINK == 32
    assert found.tissue == "0.002 mm2 of one slide"
    assert found.model_copy(update={"tissue": None}) == alone
    assert "normal tissue is 0.002 mm2 of one slide, and no other was measured" in found.in_words
    assert "other laboratories" in alone.in_words


def test_glass_and_what_is_beside_the_outline_are_left_out(tmp_path: Path) -> None:
    with_glass = (LEFT, 0, (PINK + GLASS) * SIDE, ROWS * SIDE)
    assert calibrated(with_glass).tiles == ROWS * PINK
    # An outline that cuts the first column of tiles in two.
    inner = LEFT + SIDE / 2
    right, bottom = LEFT + PINK * SIDE, ROWS * SIDE
    ring = [[inner, 0], [right, 0], [right, bottom], [inner, bottom], [inner, 0]]
    outline = tmp_path / "outline.geojson"
    outline.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    tiling = ss.Tiling(tissue=str(outline), min_tissue=0.0)
    assert calibrated(tiling=tiling).tiles == ROWS * (PINK - 1)
    # And a box that does.
    box = (LEFT + SIDE // 2, 0, PINK * SIDE - SIDE // 2, ROWS * SIDE)
    assert calibrated(box).tiles == ROWS * (PINK - 1)


def test_too_small_a_region_is_refused_with_a_remedy() -> None:
    small = (LEFT, 0, 2 * SIDE, 4 * SIDE)
    with pytest.raises(SettingError) as refused:
        calibrated(small)
    said = str(refused.value)
    assert "8 whole tiles of 8 x 8 um with tissue" in said
    assert "an error rate of 5 % needs 19; draw a larger region, of about 0.04 x 0.04 mm" in said
    assert "accept an error rate of 11.1 % or more" in said
    half = HOW.model_copy(update={"error_rate": 0.12})
    assert calibrated(small, how=half).tiles == 8


def test_tissue_with_the_target_is_refused() -> None:
    with pytest.raises(SettingError, match="they are no normal tissue"):
        calibrated((0, 0, LEFT, ROWS * SIDE))


def test_it_tells_how_far_it_is_and_stops() -> None:
    told: list[tuple[str, int, int]] = []
    calibrated(told=lambda *words: told.append(words))
    assert told[0][0] == "reading normal tissue" and len({what for what, _, _ in told}) == 3
    for limit in (0, 10, 30):
        left = limit

        def stop() -> bool:
            nonlocal left
            left -= 1
            return left < 0

        with pytest.raises(Stopped):
            calibrated(stop=stop)
        assert left == -1


def test_what_is_kept_is_of_these_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ELSEWHERE, str(tmp_path))
    model, found = dark_model(), calibrated()
    assert kept_of(model) == ()
    path = save_calibrations(model, [found], kept_file(model), anew=True)
    assert path.parent == tmp_path and kept_of(model) == (found,)
    (listed,) = kept_calibrations()
    assert (listed.model, listed.calibration) == ("dark", found)
    model.calibrations = kept_of(model)
    assert model.calibration_of(SPEC, "dark") == found
    other = dark_model()
    other.module[4].weight.data[1] *= 2
    assert kept_of(other) == ()
    path.write_text("{")
    with pytest.warns(UserWarning, match="cannot be read|is no"):
        assert kept_of(model) == ()
