"""Stability: closed forms on networks whose maps are known, and changes of tiles."""

import numpy as np
import pytest
import torch
from networks import every_model, wrapped
from noise_tiles import NoiseTiles
from torch import nn

from napari_smoothsal import Compute, SaliencySpec
from napari_smoothsal.core.checks import Disturbance, StabilityCheck
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.evaluation.infidelity import infidelity_and_sensitivity
from napari_smoothsal.evaluation.map_similarity import Similarity, similarity
from napari_smoothsal.evaluation.stability import SHIFT, STAIN, shifted, stability
from napari_smoothsal.evaluation.stain_jitter import stained
from napari_smoothsal.models import Model
from napari_smoothsal.sample_data.stain import Stain
from napari_smoothsal.sample_data.tiles import render_tiles

CPU = Compute(device="cpu", precision="fp32")
MEASURES = list(Similarity._fields)
GRADIENT = SaliencySpec(layer="input", method="gradient", denoising="original", samples=0, target=0)


class Weighted(nn.Module):
    """Linear: a weight for every colour of every pixel."""

    def __init__(self, side: int = 32, scale: float = 1.0) -> None:
        super().__init__()
        weight = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
        self.weight = nn.Parameter(scale * weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = (x * self.weight).sum((1, 2, 3))
        return torch.stack([score, -score], 1)


class Pooled(nn.Module):
    """Sees colours pixel by pixel, and adds up: what it makes of a tile moves with the tile."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(3, 8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = torch.relu(self.mix(x)).mean((1, 2, 3))
        return torch.stack([score, -score], 1)


def weighted(scale: float = 1.0) -> Model:
    return wrapped(Weighted(scale=scale), "a", "b")


def pooled() -> Model:
    torch.manual_seed(0)
    return wrapped(Pooled(), "a", "b")


def checked(model: Model, *specs: SaliencySpec, **how: object):
    return stability(model, NoiseTiles([0] * 3, side=32), specs, StabilityCheck(**how), CPU)


def test_a_linear_network_has_one_map_whatever_the_stain_and_it_does_not_move() -> None:
    rows = checked(weighted(), GRADIENT)
    stain, shift = (rows[rows["change"] == change] for change in (STAIN, SHIFT))
    assert len(stain) == 3 * 4 and len(shift) == 3 * 4
    assert stain[MEASURES].to_numpy() == pytest.approx(1)
    assert shift["spearman"].abs().max() < 0.2


def test_what_moves_with_the_tile_is_shifted_back() -> None:
    product = GRADIENT.model_copy(update={"method": "activation_x_gradient"})
    rows = checked(pooled(), product, shift_px=5)
    shift = rows[rows["change"] == SHIFT]
    assert shift["spearman"].min() == pytest.approx(1)
    assert set(shift["by"]) == {(5, 0), (-5, 0), (0, 5), (0, -5)}


def test_a_constant_function_has_nothing_to_compare() -> None:
    rows = checked(weighted(scale=0.0), GRADIENT)
    assert rows[MEASURES].isna().all().all()
    image = NoiseTiles([0], side=32).images([0])[0]
    found = infidelity_and_sensitivity(weighted(scale=0.0), image, GRADIENT, Disturbance(), CPU)
    assert np.isnan(found.infidelity) and found.sensitivity == 0


def test_hidden_layers_are_shifted_by_whole_pixels_of_theirs() -> None:
    specs = [
        SaliencySpec(layer=layer, denoising="original", method="activation", samples=0)
        for layer in ("layer1", "layer3")
    ]
    tiles = NoiseTiles([0] * 2)
    rows = stability(every_model()["resnet"], tiles, specs, StabilityCheck(), CPU)
    shift = rows[rows["change"] == SHIFT]
    for layer, px in (("layer1", 4), ("layer3", 16)):
        assert {max(map(abs, by)) for by in shift.loc[shift["layer"] == layer, "by"]} == {px}
    # Activations move with the tile, but for what the border does to them.
    own = shift[shift["layer"] == "layer1"]
    assert own["spearman"].min() > 0.5


def test_the_tile_is_stained_to_either_side_for_each_dye() -> None:
    shown = GRADIENT.model_copy(update={"method": "activation"})
    tiles = NoiseTiles([0], side=32)
    rows = stability(pooled(), tiles, [shown], StabilityCheck(stain=0.3), CPU)
    rows = rows[rows["change"] == STAIN].set_index("by")
    assert set(rows.index) == {(0.7, 0.7), (0.7, 1.3), (1.3, 0.7), (1.3, 1.3)}
    card, images = pooled().card, tiles.images([0])
    mean, std = (np.reshape(v, (3, 1, 1)) for v in (card.mean, card.std))
    for by in rows.index:
        one, other = (
            ((x[0].numpy() / 255 - mean) / std).sum(0) for x in (images, stained(images, *by))
        )
        found = rows.loc[[by], MEASURES[:3]].to_numpy()[0]  # HOG minds the last digits
        assert found == pytest.approx(list(similarity(one, other)[:3]), abs=1e-3)


def test_shifted_tiles_show_the_same_elsewhere() -> None:
    images = NoiseTiles([0], side=16).images([0])
    for by in ((3, 0), (-3, 0), (0, 2), (2, -1)):
        moved = shifted(images, by)
        assert moved.shape == images.shape
        y, x = by
        assert torch.equal(moved[..., 5 + y, 6 + x], images[..., 5, 6])
    assert torch.equal(shifted(images, (3, 0))[..., 0, :], images[..., 3, :])


def test_jitter_scales_the_dyes_and_leaves_glass_alone() -> None:
    amounts = np.linspace(0, 1.2, 64, dtype=np.float32).reshape(8, 8)
    dyes = Stain(haematoxylin=(0.65, 0.70, 0.29), eosin=(0.07, 0.99, 0.11), lamp=(255.0,) * 3)

    def picture(h: float, e: float) -> torch.Tensor:
        colours = dyes.colour(h * amounts, 0.5 * e * amounts.T)
        return torch.from_numpy(np.rint(colours).astype(np.uint8)).movedim(-1, 0)[None]

    for h, e in ((1.1, 0.9), (0.9, 1.0), (1.0, 1.1)):
        close = stained(picture(1, 1), h, e).int() - picture(h, e).int()
        assert close.abs().max() <= 2
    glass = torch.full((1, 3, 4, 4), 255, dtype=torch.uint8)
    assert torch.equal(stained(glass, 1.1, 0.9), glass)


def test_dyes_left_as_they_are_leave_any_picture_as_it_is() -> None:
    tiles, _ = render_tiles(0, 1, 0.5, 64)
    tissue = torch.from_numpy(tiles).movedim(-1, 1)
    for images in (tissue, NoiseTiles([0], side=16).images([0])):
        assert torch.equal(stained(images, 1, 1), images)
    assert not torch.equal(stained(tissue, 1.1, 1.1), tissue)


def test_the_gradient_of_a_linear_network_foretells_all_and_another_map_nothing() -> None:
    image = NoiseTiles([0], side=32).images([0])[0]
    right = infidelity_and_sensitivity(weighted(), image, GRADIENT, Disturbance(), CPU)
    assert right.infidelity < 1e-3 and right.sensitivity < 1e-5
    product = GRADIENT.model_copy(update={"method": "activation_x_gradient"})
    found = infidelity_and_sensitivity(weighted(), image, product, Disturbance(), CPU)
    assert found.infidelity < 1e-3 and found.sensitivity > 1e-3
    shown = GRADIENT.model_copy(update={"method": "activation"})
    how = Disturbance(samples=200)
    assert infidelity_and_sensitivity(weighted(), image, shown, how, CPU).infidelity > 0.9


def test_measures_repeat_and_leave_the_random_numbers_of_others_alone() -> None:
    model, image = every_model()["resnet"], NoiseTiles([0]).images([0])[0]
    spec = GRADIENT.model_copy(update={"samples": 3, "target": None})
    state = torch.random.get_rng_state()
    one, again = (
        infidelity_and_sensitivity(model, image, spec, Disturbance(), CPU) for _ in range(2)
    )
    assert one == again and torch.equal(state, torch.random.get_rng_state())
    assert 0 < one.infidelity <= 1 and one.sensitivity > 0
    # The noise samples of all disturbed images are the same: none of it passes for sensitivity.
    hardly = infidelity_and_sensitivity(model, image, spec, Disturbance(radius=1e-6), CPU)
    assert hardly.sensitivity < 0.01 < one.sensitivity


def test_hidden_layers_have_no_infidelity() -> None:
    image = NoiseTiles([0]).images([0])[0]
    spec = SaliencySpec(layer="layer1")
    with pytest.raises(SettingError, match=r"'layer1'.*choose layer = 'input'"):
        infidelity_and_sensitivity(every_model()["resnet"], image, spec, Disturbance(), CPU)
