"""I-GOS, iGOS+ and iGOS++: their equations done slowly, closed forms, and their ablations."""

from __future__ import annotations

import math
from copy import deepcopy

import pytest
import torch
from optimising import FAMILY, MODELS, OneImage, optimised, tiles_of
from torch import nn

from napari_smoothsal.attribution.mask_terms import total_variation
from napari_smoothsal.attribution.noise import place_seed
from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.models import Model


class Slow(OneImage):
    """The equations of iGOS++ and its kin, one image and one step at a time."""

    def __init__(self, model: Model, colours: torch.Tensor, place: int, **options: object) -> None:
        super().__init__(model, colours, place)
        self.options = options

    def noise(self, number: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(place_seed(0, number, (self.place,)))
        drawn = torch.randn(self.image.shape[1:], generator=generator)
        return 0.2 * 0.226 * drawn[None] / self.std

    def score(
        self, front: torch.Tensor, back: torch.Tensor, mask: torch.Tensor, iteration: int
    ) -> torch.Tensor:
        steps = self.options["steps"]
        total = torch.zeros((), dtype=torch.float64)
        for k in range(1, steps + 1):
            shown = k / steps * mask
            mixed = front * shown + back * (1 - shown)
            total = total + self.probability(mixed + self.noise(iteration * steps + k - 1))
        return total / steps

    def rough(self, mask: torch.Tensor) -> torch.Tensor:
        low = (mask.diff(dim=0) ** 2).mean() + (mask.diff(dim=1) ** 2).mean()
        if not self.options["bilateral"]:
            return low
        # In units of ImageNet's colours.
        seen = self.colours[0] / 0.226
        up = self.up(mask)
        down = torch.exp(-(seen.diff(dim=1) ** 2) / 0.01).mean(0) * up.diff(dim=0) ** 2
        across = torch.exp(-(seen.diff(dim=2) ** 2) / 0.01).mean(0) * up.diff(dim=1) ** 2
        return (low + down.mean() + across.mean()) / 2

    def objective(self, masks: list[torch.Tensor], iteration: int) -> torch.Tensor:
        x, b = self.image, self.blurred
        ups = [self.up(mask) for mask in masks]
        product, small = math.prod(ups), math.prod(masks)
        total = self.score(x, b, product, iteration)
        if self.options["insertion"]:
            total = total - self.score(b, x, product, iteration)
        if len(masks) == 2:
            total = total + self.score(x, b, ups[0], iteration)
            total = (total - self.score(b, x, ups[1], iteration)) / 2
        return total + (1 - small).abs().mean() + 20 * self.rough(small)

    def run(self, count: int, cells: int, iterations: int) -> list[torch.Tensor]:
        masks = [torch.ones(cells, cells, dtype=torch.float64) for _ in range(count)]
        self.steps_taken = []
        for iteration in range(iterations):
            leaves = [mask.clone().requires_grad_() for mask in masks]
            before = self.objective(leaves, iteration)
            gradients = torch.autograd.grad(before, leaves)
            squared = sum(float((g**2).sum()) for g in gradients)
            step = 1000.0
            while step >= 1e-5:
                tried = [(m - step * g).clamp(0, 1) for m, g in zip(masks, gradients, strict=True)]
                with torch.no_grad():
                    after = self.objective(tried, iteration)
                if after <= before - 1e-4 * step * squared:
                    masks = tried
                    break
                step *= 0.2
            self.steps_taken.append(step if step >= 1e-5 else 0.0)
        return masks


@pytest.mark.parametrize(
    ("name", "method", "cells"),
    [
        ("functional", "igos_plus_plus", 7),
        ("functional", "igos_plus", 5),
        ("functional", "igos", 32),
        ("resnet", "igos_plus_plus", 14),
        ("single_logit", "igos_plus_plus", 4),
        pytest.param("u_net", "igos_plus_plus", 8, marks=pytest.mark.slow),
    ],
)
def test_many_at_once_are_the_equations_one_by_one(name: str, method: str, cells: int) -> None:
    model = MODELS[name]
    images = tiles_of(model)
    found = optimised(model, images, method, mask_px=cells, iterations=4, steps=3)
    moved = 0.0
    for place, image in enumerate(images):
        slow = Slow(
            model, image[None], place,
            steps=3, bilateral=method != "igos", insertion=method != "igos",
        )  # fmt: skip
        masks = slow.run(2 if method == "igos_plus_plus" else 1, cells, iterations=4)
        assert torch.allclose(found.masks[place].double(), torch.stack(masks), atol=1e-5)
        assert [i.step for i in found.traces[place]] == pytest.approx(slow.steps_taken)
        moved = max(moved, float(1 - torch.stack(masks).min()))
        expected = 1 - slow.up(math.prod(masks))
        assert torch.allclose(found.maps[place, 0].double(), expected, atol=1e-5)
    assert moved > 0.01


class Linear(nn.Module):
    """A weight for each of 8 x 8 px, ``gain`` * (w + ``shift``), w of the same normal draw.

    Its one score is the weighted sum of the colours' means less 7 * ``gain``; or the logit whose
    sigmoid is half more than that sum (``sigmoid``).
    """

    def __init__(self, gain: float, shift: float = 0.0, *, sigmoid: bool = False) -> None:
        super().__init__()
        drawn = torch.randn(8, 8, generator=torch.Generator().manual_seed(1))
        self.weights = nn.Parameter(gain * (drawn + shift))
        self.gain, self.sigmoid = gain, sigmoid

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total = (self.weights * x.mean(1)).sum((1, 2))[:, None]
        return torch.logit(0.5 + total) if self.sigmoid else total - 7 * self.gain


def linear(network: Linear) -> tuple[Model, torch.Tensor]:
    """A model of it, and a tile."""
    card = ModelCard(
        name="linear", kind="classification", class_names=("a",), input_size=8, input_mpp=0.5,
        mean=(0.0,) * 3, std=(1.0,) * 3,
    )  # fmt: skip
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(2)).double()
    return Model(network, card), image


def test_a_linear_score_has_the_mask_that_can_be_worked_out() -> None:
    """One pixel for each cell of the mask, and no roughness: a cell is hidden where its share of
    the score exceeds what hiding it costs, since dL/dM = w x - lambda / cells."""

    model, image = linear(Linear(1 / 500, sigmoid=True))
    found = optimised(
        model, image, "igos", mask_px=8, steps=1, noise=0.0, smoothness=0.0, sparsity=0.01,
        fill="black", iterations=10, step=1e6,
    )  # fmt: skip
    worth = model.module.weights.detach().double() * image[0].mean(0)
    hidden = worth > 0.01 / 64
    assert 10 < hidden.sum() < 50
    clear = (worth - 0.01 / 64).abs() > 1e-5
    assert torch.equal(found.maps[0, 0][clear] == 1, hidden[clear])
    assert torch.equal(found.maps[0, 0][clear] == 0, ~hidden[clear])
    # What a mask of zeros and ones does not say: how much each cell is worth.
    # Where it is wholly shown its price has a kink, whose slope is taken to be 0.
    assert torch.allclose(
        found.slopes[0, 0].double()[clear], (worth - 0.01 / 64 * hidden)[clear], atol=1e-8
    )


@pytest.mark.parametrize("gain", [0.0, 0.01, -1.0])
def test_where_the_score_does_not_fall_nothing_is_hidden_and_told(gain: float) -> None:
    model = MODELS["functional"]
    image = tiles_of(model, 1)
    network = deepcopy(model.module)
    network.gain *= gain
    with pytest.warns(UserWarning, match="nothing to look for, and their maps are blank"):
        found = optimised(
            Model(network, model.card), image, "igos_plus_plus", mask_px=4, iterations=3, steps=2,
            explained="score",
        )  # fmt: skip
    assert not found.maps.any() and len(found.traces[0]) == 3


def test_a_mask_that_hides_nearly_all_is_told() -> None:
    """Every pixel is worth more than it costs to hide it."""
    model, image = linear(Linear(1 / 2000, 5, sigmoid=True))
    with pytest.warns(UserWarning, match="hide nearly all of them after 10 iterations"):
        found = optimised(
            model, image, "igos", mask_px=8, steps=1, noise=0.0, smoothness=0.0, sparsity=0.001,
            fill="black", iterations=10, step=1e6,
        )  # fmt: skip
    assert found.maps.mean() > 0.9


@pytest.mark.parametrize("gain", [1.0, 1000.0])
def test_scores_count_as_shares_of_their_fall_however_sure_the_model_is(gain: float) -> None:
    model, image = linear(Linear(gain, 0.3))
    found = optimised(
        model, image, "igos", mask_px=8, steps=3, noise=0.0, smoothness=0.0, sparsity=1.0,
        fill="black", iterations=10, step=1e6, explained="score",
    )  # fmt: skip
    trace = found.traces[0]
    assert trace[0].terms["deletion"] == pytest.approx((1 + 2 + 3) / 9, abs=1e-6)
    worth = model.module.weights.detach().double() * image[0].mean(0)
    # Of three images on the way the gradients are 1/3, 2/3 and 1 of the whole mask's.
    worth = worth / worth.sum() * 2 / 3
    assert torch.equal(found.maps[0, 0] == 1, worth > 1 / 64)
    assert torch.equal(found.maps[0, 0] == 0, worth <= 1 / 64)


@pytest.mark.parametrize("method", FAMILY)
@pytest.mark.parametrize("explained", ["probability", "score"])
def test_the_line_search_never_raises_the_objective(method: str, explained: str) -> None:
    model = MODELS["resnet"]
    found = optimised(
        model, tiles_of(model), method, mask_px=8, iterations=6, steps=3, explained=explained
    )
    steps = [i for trace in found.traces for i in trace]
    assert len(steps) == 12
    assert all(i.after <= i.objective + 1e-12 for i in steps)
    assert any(i.after < i.objective for i in steps)


def test_seeds_reproduce() -> None:
    model = MODELS["functional"]
    images, options = tiles_of(model), {"mask_px": 8, "iterations": 3, "steps": 3}
    one, same, other = (
        optimised(model, images, "igos_plus_plus", seed=seed, **options).maps for seed in (3, 3, 4)
    )
    assert torch.equal(one, same) and not torch.allclose(one, other, atol=1e-4)
    without = [
        optimised(model, images, "igos_plus_plus", seed=seed, noise=0.0, **options).maps
        for seed in (3, 4)
    ]
    assert torch.equal(*without)


@pytest.mark.parametrize(
    "options",
    [
        {"deletion": False},
        {"insertion": False},
        {"separate_masks": False},
        {"bilateral": False},
        {"noise": 0.0},
        {"steps": 1},
        {"optimiser": "nesterov", "step": 5.0},
        {"variant": "published"},
        {"explained": "score"},
        {"fill": "tissue_mean"},
        {"mask_px": 1},
        {"mask_px": 32},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:masks of some tiles hide nearly all")
def test_each_part_can_be_left_out_and_says_so_in_the_trace(options: dict[str, object]) -> None:
    model = MODELS["functional"]
    settings = {"mask_px": 8, "iterations": 3, "steps": 3}
    images = tiles_of(model)
    whole = optimised(model, images, "igos_plus_plus", **settings)
    other = optimised(model, images, "igos_plus_plus", **{**settings, **options})
    assert torch.isfinite(other.maps).all() and not torch.equal(whole.maps, other.maps)
    terms = set(other.traces[0][0].terms)
    assert any("deletion" in t for t in terms) == options.get("deletion", True)
    assert any("insertion" in t for t in terms) == options.get("insertion", True)
    assert ("deletion_alone" in terms) == (
        options.get("separate_masks", True) and options.get("deletion", True)
    )


def test_the_ablations_of_one_method_are_the_others() -> None:
    model = MODELS["functional"]
    images, options = tiles_of(model), {"mask_px": 8, "iterations": 3, "steps": 3}
    plain = {"separate_masks": False, "insertion": False, "bilateral": False}
    assert torch.equal(
        optimised(model, images, "igos", **options).maps,
        optimised(model, images, "igos_plus_plus", **options, **plain).maps,
    )
    assert torch.equal(
        optimised(model, images, "igos_plus", **options).maps,
        optimised(model, images, "igos_plus_plus", separate_masks=False, **options).maps,
    )


def test_one_cell_has_no_roughness() -> None:
    assert total_variation(torch.ones(1, 1), 2.0) == 0
