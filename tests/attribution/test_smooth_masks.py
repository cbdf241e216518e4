"""Meaningful and extremal perturbation: their equations done slowly."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from networks import wrapped
from optimising import MODELS, OneImage, optimised, tiles_of
from torch import nn
from torch.nn import functional as F

from napari_smoothsal.attribution.baselines import blurred
from napari_smoothsal.attribution.masking import generator_of
from napari_smoothsal.attribution.noise import place_seed
from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.models import Model


def test_meaningful_perturbation_is_its_own_equations() -> None:
    model = MODELS["functional"]
    images, cells = tiles_of(model), 8
    found = optimised(
        model, images, "meaningful_perturbation", mask_px=cells, iterations=6, blur_px=2.0
    )
    offsets = torch.arange(-8, 9)
    kernel = torch.exp(-(offsets.double() ** 2) / 8)
    kernel /= kernel.sum()

    def blurred(mask: torch.Tensor) -> torch.Tensor:
        for axis in (0, 1):
            at = torch.arange(mask.shape[axis])
            mask = sum(
                weight * mask.index_select(axis, (at + by).clamp(0, mask.shape[axis] - 1))
                for weight, by in zip(kernel, offsets.tolist(), strict=True)
            )
        return mask

    for place, image in enumerate(images):
        slow = OneImage(model, image[None], place)

        def score(shown: torch.Tensor, slow: OneImage = slow) -> torch.Tensor:
            return slow.probability(slow.image * shown + slow.blurred * (1 - shown))

        at = (torch.arange(cells).double() + 0.5) / cells - 0.5
        distance = (at[:, None] ** 2 + at**2).sqrt()
        with torch.no_grad():
            seen, nothing = (score(torch.full((32, 32), v).double()) for v in (1.0, 0.0))
            for radius in torch.linspace(0, math.sqrt(0.5), 24).double():
                mask = (distance >= radius - 1e-9).double()
                if seen - score(blurred(slow.up(mask))) >= 0.99 * (seen - nothing):
                    break
        mask.requires_grad_()
        adam = torch.optim.Adam([mask], lr=0.1)
        for number in range(6):
            generator = generator_of(place_seed(0, 0, (place,)), number)
            y, x = torch.randint(4, (2,), generator=generator).tolist()
            shown = F.pad(blurred(slow.up(mask))[None, None], (x, 0, y, 0), mode="replicate")
            rough = (mask.diff(dim=0).abs() ** 3).sum() + (mask.diff(dim=1).abs() ** 3).sum()
            loss = score(shown[0, 0, :32, :32]) + 1e-4 * (1 - mask).abs().sum() + 1e-2 * rough
            adam.zero_grad()
            loss.backward()
            adam.step()
            with torch.no_grad():
                mask.clamp_(0, 1)
            assert found.traces[place][number].objective == pytest.approx(loss.item(), abs=1e-5)
        assert torch.allclose(found.masks[place, 0].double(), mask.detach(), atol=1e-4)


@pytest.mark.filterwarnings("ignore:.*have the area asked for")
@pytest.mark.parametrize("game", ["preserve", "delete", "dual"])
def test_extremal_perturbation_is_its_own_equations(game: str) -> None:
    model, cells, iterations, levels = MODELS["functional"], 8, 6, 4
    images = tiles_of(model)
    found = optimised(
        model, images, "extremal_perturbation",
        mask_px=cells, iterations=iterations, levels=levels, area=0.25, radius_px=6.0, game=game,
    )  # fmt: skip
    radius, reach = 6 * cells / 32, 3
    near = [(y, x) for y in range(-reach, reach + 1) for x in range(-reach, reach + 1)]
    wanted = torch.tensor([0.0] * 48 + [1.0] * 16, dtype=torch.float64)

    def smooth(parameters: torch.Tensor) -> torch.Tensor:
        beyond = F.pad(parameters[None, None], [reach] * 4, mode="replicate")[0, 0]
        discs = [
            math.exp(-2 * max(0.0, math.hypot(y, x) / radius - 0.5) ** 2)
            * beyond[reach + y : reach + y + cells, reach + x : reach + x + cells]
            for y, x in near
        ]
        weights = sum((20 * disc).exp() for disc in discs)
        return sum(disc * (20 * disc).exp() / weights for disc in discs)

    for place, image in enumerate(images):
        slow = OneImage(model, image[None], place)
        blurs = [
            (blurred(image[None], 50 * (1 - k / (levels - 1))) - slow.mean) / slow.std
            for k in range(levels - 1)
        ] + [slow.image]

        def score(
            shown: torch.Tensor, mirrored: bool, slow: OneImage = slow, blurs: list = blurs
        ) -> torch.Tensor:
            at = shown * (levels - 1)
            image = sum((1 - (at - k).abs()).clamp_min(0) * blur for k, blur in enumerate(blurs))
            return slow.network(image.flip(-1) if mirrored else image)[0, 0]

        start = torch.full((cells, cells), 0.5, dtype=torch.float64)
        with torch.no_grad():
            ends = [
                float(score(torch.full((32, 32), v, dtype=torch.float64), False)) for v in (0, 1)
            ]
        scale, weight = 15 / abs(ends[1] - ends[0]), 300.0
        parameters = start.clone().requires_grad_()
        momentum = torch.zeros_like(parameters)
        for number in range(iterations):
            mask, mirrored = smooth(parameters), number % 2 == 0
            shown = slow.up(mask)
            gain = {
                "preserve": lambda s, m: score(s, m),
                "delete": lambda s, m: -score(1 - s, m),
                "dual": lambda s, m: score(s, m) - score(1 - s, m),
            }[game](shown, mirrored)
            order = mask.detach().flatten().sort()
            values = order.values.round(decimals=6)
            same = [values == value for value in values]
            asked = torch.stack([wanted[alike].mean() for alike in same])
            area = weight * ((mask.flatten()[order.indices] - asked) ** 2).mean()
            loss = area - scale * gain
            (gradient,) = torch.autograd.grad(loss, parameters)
            momentum = gradient if not number else 0.9 * momentum + 0.1 * gradient
            with torch.no_grad():
                parameters -= 0.01 * cells**2 / 1024 * momentum
                parameters.clamp_(0, 1)
            assert found.traces[place][number].objective == pytest.approx(float(loss), rel=1e-5)
            weight *= 1.0035
        assert torch.allclose(found.masks[place, 0].double(), smooth(parameters), atol=1e-5)
        assert (parameters - start).abs().max() > 0.01


def test_of_a_linear_score_the_best_region_of_its_area_is_found() -> None:
    """Sixteen of 64 equal patches are bright, and the score is how much of them shows."""
    bright = torch.zeros(8, 8, dtype=torch.bool)
    bright[1:5, 3:7] = True

    class Brightness(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((1, 2, 3))[:, None]

    model = wrapped(Brightness(), "a", size=64)
    image = bright.double().kron(torch.ones(8, 8, dtype=torch.float64)).expand(1, 3, 64, 64)
    found = optimised(
        model, image, "extremal_perturbation",
        mask_px=16, area=0.25, radius_px=4.0, fill="black", iterations=300,
    ).maps[0, 0]  # fmt: skip
    inside = image[0, 0] == 1
    assert found[inside].mean() > 0.8 and found[~inside].mean() < 0.15


def test_nuclei_give_way_to_what_surrounds_them() -> None:
    """A score that counts dark pixels falls where a nucleus is, and nowhere else."""
    colours = torch.empty(1, 3, 64, 64, dtype=torch.float64)
    colours[:] = torch.tensor([0.9, 0.7, 0.85], dtype=torch.float64).reshape(3, 1, 1)
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    nucleus = torch.hypot(y - 40.0, x - 20.0) < 7
    colours[0, :, nucleus] = torch.tensor([0.35, 0.2, 0.55], dtype=torch.float64)[:, None]

    class Darkness(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return -x.mean((1, 2, 3))[:, None]

    model = wrapped(Darkness(), "a", size=64)
    found = optimised(
        model, colours, "extremal_perturbation",
        mask_px=16, area=0.05, radius_px=6.0, fill="inpainted", iterations=150,
    ).maps[0, 0]  # fmt: skip
    assert found[nucleus].mean() > 0.7 and nucleus[divmod(int(found.argmax()), 64)]


def test_nuclei_are_known_by_their_size() -> None:
    model = MODELS["functional"]
    without = Model(model.module, model.card.model_copy(update={"input_mpp": None}))
    with pytest.raises(SettingError, match="set input_mpp, or choose another fill"):
        optimised(without, tiles_of(model), "igos", fill="inpainted", mask_px=8)


def test_pixels_that_are_asked_about_are_mirrored_with_the_tile() -> None:
    class Brightness(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            bright = 4 * x.mean(1, keepdim=True) - 2
            return torch.cat([bright, -bright], 1)

    card = {"name": "pixels", "kind": "segmentation", "class_names": ("a", "b"), "input_size": 32}
    card |= {"input_mpp": 0.5, "mean": (0.0,) * 3, "std": (1.0,) * 3}
    image = torch.full((1, 3, 32, 32), 0.1, dtype=torch.float64)
    image[..., 4:14] = 0.9
    found = optimised(
        Model(Brightness(), ModelCard(**card)), image, "extremal_perturbation",
        mask_px=8, area=0.3, radius_px=4.0, fill="black", iterations=200, step=0.05,
    ).maps[0, 0]  # fmt: skip
    assert found[:, 4:14].mean() > 0.6 and found[:, 18:].mean() < 0.1


def test_an_area_that_is_not_reached_is_told_once_and_kept() -> None:
    model, told = MODELS["functional"], {"mask_px": 8, "radius_px": 6.0, "area": 0.25}
    images = tiles_of(model, 3)
    with pytest.warns(UserWarning, match="area asked for, 0.25 of the tile, after 2 ite") as said:
        short = optimised(model, images, "extremal_perturbation", iterations=2, **told)
    assert len(said) == 1
    assert torch.equal(short.shown_share, (short.product > 0.5).double().mean((1, 2)).float())
    assert ((short.shown_share - 0.25).abs() > 0.125).any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        long = optimised(model, images, "extremal_perturbation", iterations=60, step=0.1, **told)
    assert ((long.shown_share - 0.25).abs() <= 0.125).all()
