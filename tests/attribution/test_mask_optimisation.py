"""Whatever optimises masks: what its maps are, and what does not change them."""

from __future__ import annotations

import pytest
import torch
from networks import wrapped
from optimising import EXACT, FAMILY, MODELS, normalisation, optimised, tiles_of
from torch import nn
from unets import small_segmenter

from napari_smoothsal import Compute, SaliencySpec, explain_tiles
from napari_smoothsal.attribution import METHODS
from napari_smoothsal.attribution.base import MaskMethod
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.models import Model

# Few iterations suffice to see that they run, and not for the area.
pytestmark = pytest.mark.filterwarnings("ignore:.*have the area asked for")

EVERY = (*FAMILY, "meaningful_perturbation", "extremal_perturbation")


@pytest.mark.parametrize("method", EVERY)
def test_batches_change_nothing(method: str) -> None:
    model = MODELS["functional"]
    images, options = tiles_of(model, 3), {"mask_px": 8, "iterations": 2}
    if method in FAMILY:
        options["steps"] = 2
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


@pytest.mark.parametrize("method", EVERY)
def test_a_model_that_looks_at_one_patch_is_blamed_on_it(method: str) -> None:
    model = wrapped(OnePatch(), "a", "b", size=40)
    image = torch.full((1, 3, 40, 40), 0.3, dtype=torch.float64)
    image[..., 8:16, 20:28] = 0.9
    less = {"smoothness": 2.0}
    if method == "meaningful_perturbation":
        less = {"blur_px": 1.0, "jitter_px": 1, "sparsity": 1e-3}
    if method == "extremal_perturbation":
        less = {"radius_px": 3.0, "area": 0.05, "iterations": 200, "step": 0.05}
        less |= {"mirror": False}  # the model looks at a place, not at what lies there
    found = optimised(model, image, method, mask_px=10, fill="black", **less).maps[0, 0]
    near = torch.zeros(40, 40, dtype=torch.bool)
    near[2:22, 14:34] = True  # as far as the cells about the patch reach
    assert found[8:16, 20:28].mean() > 0.5 and found[~near].mean() < 0.05
    y, x = divmod(int(found.argmax()), 40)
    assert near[y, x]


@pytest.mark.parametrize("method", EVERY)
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
    if method in FAMILY:
        options["steps"] = 3
    maps = [optimised(model, images, method, **options).maps for model in (one, other)]
    assert maps[0].max() > 0.01 and torch.allclose(*maps, atol=1e-5)


@pytest.mark.parametrize("method", EVERY)
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore:masks of some tiles hide nearly all")
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


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("igos_plus_plus", {"mask_px": 33}, "mask_px = 33: .* 32 or less"),
        ("meaningful_perturbation", {"mask_px": 33}, "mask_px = 33: .* 32 or less"),
        ("igos", {"mask_px": 0}, "mask_px"),
        ("igos", {"iterations": 0}, "iterations"),
        ("igos", {"steps": 0}, "steps"),
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
    assert there == set(EVERY)
