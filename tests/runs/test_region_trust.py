"""The trust card of a region: which tiles it is of, what it says meanwhile, and when it stops."""

import numpy as np
import pytest
from dark_slide import DARK, SIDE, dark_model, dark_slide

import napari_smoothsal as ss
from napari_smoothsal.core.checks import TrustCheck
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.perturbation import Perturbation
from napari_smoothsal.runs import RegionTrust

CPU = ss.Compute(device="cpu", precision="fp32")
ALL = ss.Tiling(tissue="all")
SPEC = ss.SaliencySpec(layer="0", method="activation_x_gradient", denoising="original", samples=2)
QUICK = TrustCheck(random_orders=2, copies=1, draws=2, road=False, by_block=False)


def trust(spec: ss.SaliencySpec = SPEC, region=None, **more: object) -> RegionTrust:
    settings = {"how": QUICK, "tiling": ALL, "compute": CPU} | more
    settings |= {"perturbation": Perturbation(cells=4, steps=4)}
    with dark_slide() as slide:
        return ss.trust_of_region(slide, dark_model(), spec, region, **settings)


@pytest.fixture(scope="module")
def heard() -> tuple[RegionTrust, list[RegionTrust], list[tuple[str, int, int]]]:
    parts: list[RegionTrust] = []
    told: list[tuple[str, int, int]] = []
    found = trust(on_part=parts.append, told=lambda *words: told.append(words))
    return found, parts, told


def test_tiles_are_of_those_predicted_as_what_is_explained(heard) -> None:
    found, _, _ = heard
    assert found.complete and found.chosen == len(found.tiles) == 3 and found.target == "dark"
    assert 0 < found.predicted < found.looked_at
    for one in found.tiles:
        middle = one.box.x + one.box.w / 2
        assert middle < DARK * SIDE and one.part.predicted == "dark"
    assert len({(one.box.x, one.box.y) for one in found.tiles}) == 3
    assert f"3 tiles of the {found.predicted} predicted dark of {found.looked_at}" in found.in_words
    assert "2 random orders, 1 random copies" in found.in_words


def test_each_tile_has_the_card_of_its_own(heard) -> None:
    found, _, _ = heard
    one = found.tiles[1]
    with dark_slide() as slide:
        pixels = slide.read_box(one.box, (SIDE, SIDE))
    alone = ss.trust_card(
        dark_model(),
        np.moveaxis(pixels, -1, 0),
        SPEC.model_copy(update={"target": "dark"}),
        how=QUICK,
        perturbation=Perturbation(cells=4, steps=4),
        compute=CPU,
    )
    assert one.card is not None and one.card.tests == alone.tests == one.part.tests
    np.testing.assert_array_equal(one.card.image, alone.image)


def test_what_is_known_grows_tile_by_tile(heard) -> None:
    found, parts, told = heard
    sizes = [(part.whole, len(part.tiles)) for part in parts]
    assert sizes == sorted(sizes) and sizes[0] == (0, 1) and sizes[-1] == (3, 3)
    assert parts[0].verdict == "Not one tile is tested yet."
    assert next(p for p in parts if p.whole == 1).verdict.startswith("So far: The map passed ")
    assert found.verdict.startswith("The map passed ") and "on 3 tiles" in found.verdict
    done = [part for _, part, _ in told[1:]]
    assert done == sorted(done) and told[-1][0].startswith("tile 3 of 3: ")


def test_where_none_is_predicted_so_all_are_candidates() -> None:
    pink = (DARK * SIDE, 0, 4 * SIDE, 8 * SIDE)
    found = trust(region=pink, tiles=1)
    assert found.predicted == 0 and found.complete and found.chosen == 1
    assert "none of which is predicted dark" in found.in_words
    assert any("the map explains 'dark'" in flag for flag in found.tiles[0].part.flags)
    each = trust(SPEC.model_copy(update={"target": "auto"}), region=pink, tiles=1)
    assert each.tiles[0].part.target == "light"


def test_stopped_it_returns_what_it_knows(heard) -> None:
    whole, _, _ = heard
    for limit in (0, 3, 60):
        left = limit

        def stop() -> bool:
            nonlocal left
            left -= 1
            return left < 0

        found = trust(stop=stop)
        assert not found.complete and found.chosen == 3 and left == -1
        assert len(found.tiles) <= 3 and found.whole < 3
        for one, other in zip(found.tiles, whole.tiles, strict=False):
            assert one.box == other.box and set(one.part.tests) <= set(other.part.tests)


def test_without_tissue_there_is_nothing_to_test() -> None:
    glass = (9 * SIDE, 0, 2 * SIDE, 8 * SIDE)
    found = trust(region=glass, tiling=ss.Tiling())
    assert found.complete and found.chosen == 0 and found.tests == ()
    assert found.verdict == "No tissue found here: nothing to test."


def test_a_difference_is_no_class_to_follow() -> None:
    with pytest.raises(SettingError, match="follows the probability of one class"):
        trust(SPEC.model_copy(update={"target": "dark-light"}))
