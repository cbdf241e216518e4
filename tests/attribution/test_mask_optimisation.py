"""Optimised masks: their equations done slowly, closed forms, and what does not change them."""

from __future__ import annotations

import math

import pytest
import torch
from networks import every_model, wrapped
from torch import nn
from torch.nn import functional as F
from unets import small_segmenter

from napari_smoothsal import Compute, SaliencySpec, explain_tiles
from napari_smoothsal.attribution import METHODS, OptimisedMasks, optimise_masks
from napari_smoothsal.attribution.base import MaskMethod
from napari_smoothsal.attribution.baselines import BASELINES
from napari_smoothsal.attribution.mask_terms import total_variation
from napari_smoothsal.attribution.masking import generator_of
from napari_smoothsal.attribution.noise import place_seed
from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.models import Model


class Sharpened(nn.Module):
    """Sure of class 0 on a tile, of another on what is blurred: random networks tell neither."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network = model.module.double()
        mean, std = normalisation(model)
        colours = tiles_of(model, 1)
        with torch.no_grad():
            seen, nothing = (
                self.network((x - mean) / std)
                for x in (colours, BASELINES["blurred"].make(colours, mean))
            )
            self.register_buffer(
                "middle", (seen + nothing).reshape(*seen.shape[:2], -1).mean(2) / 2
            )
            rise = (seen - nothing)[0, 0].mean()
        self.gain = float(6 / rise)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = self.network(x)
        logits = logits - self.middle.reshape(1, -1, *[1] * (logits.ndim - 2)).to(logits)
        return torch.cat([self.gain * logits[:, :1], logits[:, 1:]], dim=1)


FAMILY = ("igos", "igos_plus", "igos_plus_plus")
EXACT = Compute(precision="fp64", device="cpu")


def normalisation(model: Model) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(
        torch.tensor(v).double().reshape(1, 3, 1, 1) for v in (model.card.mean, model.card.std)
    )


def tiles_of(model: Model, count: int = 2, seed: int = 0) -> torch.Tensor:
    side = model.card.input_size
    generator = torch.Generator().manual_seed(seed)
    rough = torch.rand(count, 3, side // 8, side // 8, generator=generator).double()
    return F.interpolate(rough, (side, side), mode="bicubic").clamp(0, 1)


def optimised(
    model: Model, images: torch.Tensor, method: str, compute: Compute = EXACT, seed: int = 0,
    target: int | str = 0, **options: object,
) -> OptimisedMasks:  # fmt: skip
    spec = SaliencySpec(
        layer="input", method=method, method_options=options, target=target, seed=seed
    )
    return optimise_masks(model, images, spec, compute)


MODELS = {
    name: Model(Sharpened(model).eval(), model.card)
    for name, model in {**every_model(), "u_net": small_segmenter()}.items()
}


class Slow:
    """The equations of iGOS++ and its kin, one image and one step at a time."""

    def __init__(self, model: Model, colours: torch.Tensor, place: int, **options: object) -> None:
        self.mean, self.std = normalisation(model)
        self.network, self.place = model.module.double().eval(), place
        self.colours = colours
        self.image = (colours - self.mean) / self.std
        blurred = BASELINES["blurred"].make(colours, self.mean)
        self.blurred = (blurred - self.mean) / self.std
        self.options = options

    def probability(self, image: torch.Tensor) -> torch.Tensor:
        """Of class 0."""
        logits = self.network(image)
        if logits.ndim == 4 and logits.shape[2:] != (1, 1):
            chosen = self.pixels(logits)
            return (logits.softmax(1)[:, 0] * chosen).sum() / max(1, int(chosen.sum()))
        logits = logits.flatten(1)
        return torch.sigmoid(logits[0, 0]) if logits.shape[1] == 1 else logits.softmax(1)[0, 0]

    def pixels(self, logits: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return self.network(self.image).argmax(1) == 0

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

    def up(self, mask: torch.Tensor) -> torch.Tensor:
        size = self.image.shape[2:]
        return nn.UpsamplingBilinear2d(size=size)(mask[None, None])[0, 0]

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
        ("u_net", "igos_plus_plus", 8),
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


@pytest.mark.parametrize("method", FAMILY)
def test_batches_change_nothing(method: str) -> None:
    model = MODELS["functional"]
    images, options = tiles_of(model, 3), {"mask_px": 8, "iterations": 3, "steps": 4}
    maps = [
        optimised(
            model, images, method,
            Compute(precision="fp64", device="cpu", batch_size=size), **options,
        ).maps
        for size in (1, 7, 64)
    ]  # fmt: skip
    assert maps[0].max() > 0.01
    for other in maps[1:]:
        assert torch.allclose(other, maps[0], atol=1e-6)


class OnePatch(nn.Module):
    """Sure of class 0 as far as a patch is bright."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = 2 * (x[:, :, 8:16, 20:28].mean((1, 2, 3)) + 0.2)
        return torch.stack([seen, -seen], dim=1)


@pytest.mark.parametrize("method", [*FAMILY, "meaningful_perturbation"])
def test_a_model_that_looks_at_one_patch_is_blamed_on_it(method: str) -> None:
    model = wrapped(OnePatch(), "a", "b", size=40)
    image = torch.full((1, 3, 40, 40), 0.3, dtype=torch.float64)
    image[..., 8:16, 20:28] = 0.9
    less = {"smoothness": 2.0}
    if method == "meaningful_perturbation":
        less = {"blur_px": 1.0, "jitter_px": 1, "sparsity": 1e-3}
    found = optimised(model, image, method, mask_px=10, fill="black", **less).maps[0, 0]
    near = torch.zeros(40, 40, dtype=torch.bool)
    near[2:22, 14:34] = True  # as far as the cells about the patch reach
    assert found[8:16, 20:28].mean() > 0.5 and found[~near].mean() < 0.05
    y, x = divmod(int(found.argmax()), 40)
    assert near[y, x]


def test_a_linear_score_has_the_mask_that_can_be_worked_out() -> None:
    """One pixel for each cell of the mask, and no roughness: a cell is hidden where its share of
    the score exceeds what hiding it costs, since dL/dM = w x - lambda / cells."""

    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            drawn = torch.randn(8, 8, generator=torch.Generator().manual_seed(1))
            self.weights = nn.Parameter(drawn / 500)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            # A logit whose sigmoid is linear in the image.
            return torch.logit(0.5 + (self.weights * x.mean(1)).sum((1, 2)))[:, None]

    card = ModelCard(
        name="linear", kind="classification", class_names=("a",), input_size=8, input_mpp=0.5,
        mean=(0.0,) * 3, std=(1.0,) * 3,
    )  # fmt: skip
    model = Model(Linear(), card)
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(2)).double()
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


@pytest.mark.parametrize("method", FAMILY)
def test_the_line_search_never_raises_the_objective(method: str) -> None:
    model = MODELS["resnet"]
    found = optimised(model, tiles_of(model), method, mask_px=8, iterations=6, steps=3)
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


@pytest.mark.parametrize("method", [*FAMILY, "meaningful_perturbation"])
def test_how_a_model_normalises_does_not_matter(method: str) -> None:
    """Noise and edges are in units of colours, so that only the function counts."""

    class Renormalised(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            mean, std = (v.to(x) for v in normalisation(one))
            return self.network(((x + 1) / 2 - mean) / std)

    one = MODELS["functional"]
    card = one.card.model_copy(update={"mean": (0.5,) * 3, "std": (0.5,) * 3})
    other = Model(Renormalised(one.module).eval(), card)
    images, options = tiles_of(one), {"mask_px": 8, "iterations": 3}
    if method != "meaningful_perturbation":
        options["steps"] = 3
    maps = [optimised(model, images, method, **options).maps for model in (one, other)]
    assert maps[0].max() > 0.01 and torch.allclose(*maps, atol=1e-5)


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
        slow = Slow(model, image[None], place)

        def score(shown: torch.Tensor, slow: Slow = slow) -> torch.Tensor:
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
            assert found.traces[place][number].objective == pytest.approx(float(loss), abs=1e-5)
        assert torch.allclose(found.masks[place, 0].double(), mask.detach(), atol=1e-4)


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
        {"fill": "tissue_mean"},
        {"mask_px": 1},
        {"mask_px": 32},
    ],
    ids=str,
)
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


@pytest.mark.parametrize("method", [*FAMILY, "meaningful_perturbation"])
@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_explained(name: str, method: str) -> None:
    model = MODELS[name]
    images, options = tiles_of(model), {"mask_px": 8, "iterations": 2}
    if method in FAMILY:
        options["steps"] = 3
    found = optimised(model, images, method, target="auto", **options)
    spec = SaliencySpec(layer="input", method=method, method_options=options, target="auto")
    maps = explain_tiles(model, images, spec, EXACT)
    assert torch.equal(maps.maps, found.maps) and maps.maps.shape == images[:, :1].shape
    assert maps.samples.tolist() == [2, 2]
    assert maps.maps.min() >= 0 and maps.maps.max() <= 1


def test_of_two_classes_each_stands_against_the_other() -> None:
    model = MODELS["plain"]
    images, options = tiles_of(model), {"mask_px": 8, "iterations": 3, "steps": 3}
    one, difference = (
        optimised(model, images, "igos_plus", target=t, **options).maps for t in ("a", "a-b")
    )
    assert torch.allclose(one, difference, atol=1e-6)


def test_a_tile_without_a_pixel_of_the_class_has_a_blank_map() -> None:
    model = small_segmenter("a", "b")
    with torch.no_grad():
        for parameter in list(model.module.parameters())[-1:]:
            parameter.copy_(torch.tensor([-100.0, 100.0]))
    with pytest.warns(UserWarning, match="nothing to explain"):
        maps = explain_tiles(
            model, tiles_of(model, 1),
            SaliencySpec(layer="input", method="igos", target=0, method_options={"mask_px": 8}),
        )  # fmt: skip
    assert maps.maps.abs().max() == 0


def test_one_step_at_a_time_ends_as_all_at_once() -> None:
    model = MODELS["functional"]
    spec = SaliencySpec(
        layer="input", method="igos_plus_plus", target=0,
        method_options={"mask_px": 8, "iterations": 4, "steps": 3},
    )  # fmt: skip
    seen: list[list[int]] = []
    whole = explain_tiles(model, tiles_of(model), spec, EXACT)
    refined = explain_tiles(
        model, tiles_of(model), spec, EXACT, on_sample=lambda m: seen.append(m.samples.tolist())
    )
    assert torch.equal(whole.maps, refined.maps)
    assert seen == [[n, n] for n in (1, 2, 3, 4)]


def test_one_cell_has_no_roughness() -> None:
    assert total_variation(torch.ones(1, 1), 2.0) == 0


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("igos_plus_plus", {"mask_px": 33}, "mask_px = 33: .* 32 or less"),
        ("meaningful_perturbation", {"mask_px": 33}, "mask_px = 33: .* 32 or less"),
        ("igos", {"mask_px": 0}, "mask_px"),
        ("igos", {"iterations": 0}, "iterations"),
        ("igos", {"steps": 0}, "steps"),
        ("igos", {"fill": "inpainted"}, "depends on what is covered"),
        ("igos_plus_plus", {"deletion": False, "insertion": False}, "nothing would be sought"),
        ("rise", {}, "optimises no masks; choose one of igos"),
    ],
)
def test_what_cannot_work_is_refused(method: str, options: dict[str, object], words: str) -> None:
    model = MODELS["functional"]
    with pytest.raises(SettingError, match=words):
        optimised(model, tiles_of(model), method, **options)


def test_it_needs_the_image_and_a_probability() -> None:
    model = MODELS["functional"]
    for fields, words in (
        ({"layer": "network.a"}, "layer = 'input'"),
        ({"layer": "input", "target": "unit:network.b:0"}, "hidden unit has none"),
    ):
        with pytest.raises(SettingError, match=words):
            explain_tiles(model, tiles_of(model), SaliencySpec(method="igos", **fields))


def test_all_of_them_are_tested() -> None:
    there = {name for name, method in METHODS.items() if isinstance(method, MaskMethod)}
    assert there == {*FAMILY, "meaningful_perturbation"}
