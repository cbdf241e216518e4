"""The CAM family and activations: their formulas, Captum's Grad-CAM, units that are kept."""

import pytest
import torch
from captum.attr import LayerGradCam
from networks import LAYERS, every_model
from unets import small_segmenter

from napari_smoothsal import Compute, SaliencySpec, explain_tiles
from napari_smoothsal.attribution import TileMaps
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.models import Model

FP64 = Compute(precision="fp64", device="cpu")
MODELS = {**every_model(), "unet": small_segmenter()}
LAYERS = {**LAYERS, "unet": ("input", "stem", "deep", "decode")}
CASES = [(name, layer) for name in MODELS for layer in LAYERS[name]]


def tiles(n: int, size: int) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(n))


def explained(model: Model, images: torch.Tensor, layer: str, method: str, **fields) -> TileMaps:
    fields = {"samples": 0, "denoising": "original", "target": 0, **fields}
    return explain_tiles(model, images, SaliencySpec(layer=layer, method=method, **fields), FP64)


@pytest.mark.parametrize(("name", "layer"), CASES)
def test_each_is_its_formula(name: str, layer: str) -> None:
    model = MODELS[name]
    images = tiles(2, model.card.input_size)
    gradient, activation, *cams = (
        explained(model, images, layer, method).maps.double()
        for method in ("gradient", "activation", "grad_cam", "layer_cam", "hires_cam")
    )
    expected = (
        activation * gradient.mean((2, 3), keepdim=True),
        activation * gradient.clamp(min=0),
        activation * gradient,
    )
    for found, wanted in zip(cams, expected, strict=True):
        assert torch.allclose(found, wanted, atol=1e-6 * float(wanted.abs().max()) + 1e-12)
    clipped = explained(model, images, layer, "grad_cam", method_options={"relu": True})
    wanted = expected[0].sum(1, keepdim=True).clamp(min=0)
    assert clipped.maps.shape[1] == 1
    assert torch.allclose(clipped.maps.double(), wanted, atol=1e-6 * float(wanted.max()) + 1e-12)


@pytest.mark.parametrize(
    ("name", "layer"), [("plain", "3"), ("resnet", "layer3"), ("functional", "c")]
)
@pytest.mark.parametrize("relu", [False, True])
def test_grad_cam_is_captums(name: str, layer: str, relu: bool) -> None:
    model = MODELS[name]
    images = tiles(2, model.card.input_size)
    ours = explained(model, images, layer, "grad_cam", method_options={"relu": relu})
    network = model.module.double()
    mean, std = (
        torch.tensor(v).double().reshape(1, 3, 1, 1) for v in (model.card.mean, model.card.std)
    )
    oracle = LayerGradCam(lambda x: network(x).flatten(1), network.get_submodule(layer))
    expected = oracle.attribute((images.double() - mean) / std, target=0, relu_attributions=relu)
    found = ours.maps.double().sum(1, keepdim=True)
    assert torch.allclose(found, expected, atol=1e-6 * float(expected.abs().max()))


@pytest.mark.parametrize("method", ["grad_cam", "layer_cam", "hires_cam", "activation"])
def test_a_tile_alone_has_the_map_that_it_has_among_others(method: str) -> None:
    """Nothing is scaled to the largest value of a tile or of a batch."""
    model, images = MODELS["resnet"], tiles(3, 64)
    together = explained(model, images, "layer2", method).maps
    for row in range(3):
        alone = explained(model, images[row : row + 1], "layer2", method).maps[0]
        assert torch.allclose(alone, together[row], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("layer", ["stem", "deep"])
def test_grad_cam_weighs_by_the_mean_over_the_tile_and_not_its_padding(layer: str) -> None:
    model, images = MODELS["unet"], tiles(1, 61)
    fields = {"target": "t", "method_options": {"target_pixels": "all"}}
    gradient, activation, ours = (
        explained(model, images, layer, method, **fields).maps
        for method in ("gradient", "activation", "grad_cam")
    )
    expected = activation * gradient.mean((2, 3), keepdim=True)
    assert torch.allclose(ours, expected, atol=1e-6 * float(expected.abs().max()))


def test_activations_are_the_layers_own_whatever_is_asked() -> None:
    model, images = MODELS["functional"], tiles(2, 32)
    first = explained(model, images, "c", "activation", target=0, denoising="centred_hook")
    second = explained(model, images, "c", "activation", target=1)
    assert torch.equal(first.maps, second.maps)
    assert first.spec.denoising == "original"  # there is no gradient to smooth, and it says so
    seen = []
    handle = model.module.c.register_forward_hook(lambda _m, _i, o: seen.append(o.clone()))
    mean, std = (
        torch.tensor(v).double().reshape(1, 3, 1, 1) for v in (model.card.mean, model.card.std)
    )
    with torch.no_grad():
        model.module.double()((images.double() - mean) / std)
    handle.remove()
    assert torch.allclose(first.maps.double(), seen[0], atol=1e-6)


def test_one_map_has_no_channels_to_choose() -> None:
    fields = {"reduction": "channel", "channel": 0, "method_options": {"relu": True}}
    with pytest.raises(SettingError, match="one map of all channels"):
        explained(MODELS["plain"], tiles(1, 32), "3", "grad_cam", **fields)
    fields["method_options"] = {}
    assert explained(MODELS["plain"], tiles(1, 32), "3", "grad_cam", **fields).maps.shape[1] == 1
