"""Maps of models that decide per pixel: against Captum, on tiles of any size, on empty tiles."""

import warnings

import numpy as np
import pytest
import torch
from captum.attr import LayerGradientXActivation
from torch.nn import functional as F
from unets import PositiveUNet, segmenter, small_segmenter

from napari_smoothsal import Compute, SaliencySpec, explain_tiles
from napari_smoothsal.core.errors import ModelError, SettingError
from napari_smoothsal.models.traced_network import OUTPUT

FP64 = Compute(precision="fp64", device="cpu")
LAYERS = ("input", "stem", "deep.0", "deep", "decode.0", "decode", "head")


def tiles(count: int = 2, size: int = 64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(count, 3, 8, 8, generator=generator)
    fine = 0.1 * torch.rand(count, 3, size, size, generator=generator)
    return 0.9 * F.interpolate(coarse, (size, size), mode="bilinear") + fine


def normalised(images: torch.Tensor) -> torch.Tensor:
    return (images.double() - 0.5) / 0.25


@pytest.mark.parametrize("pixels", ["predicted", "all"])
@pytest.mark.parametrize("layer", [x for x in LAYERS if x not in ("deep", "decode", "input")])
def test_it_agrees_with_captum_on_the_masked_sum(layer: str, pixels: str) -> None:
    model = small_segmenter()
    images = tiles()
    network = model.module.double()
    with torch.no_grad():
        mask = network(normalised(images)).argmax(1) == 2
    assert 0 < mask.float().mean() < 1
    if pixels == "all":
        mask = torch.ones_like(mask)

    def score(x: torch.Tensor) -> torch.Tensor:
        return (network(x)[:, 2] * mask).sum((1, 2))

    # Captum sees a layer's output after an in-place ReLU has overwritten it; gradients are right.
    oracle = LayerGradientXActivation(score, network.get_submodule(layer), multiply_by_inputs=False)
    expected = oracle.attribute(normalised(images)).float()
    spec = SaliencySpec(
        layer=layer,
        method="gradient",
        samples=0,
        target="t",
        denoising="original",
        method_options={"target_pixels": pixels},
    )
    result = explain_tiles(small_segmenter(), images, spec, FP64)
    assert result.maps.shape == expected.shape
    assert (result.maps - expected).abs().max() <= 1e-6 * expected.abs().max()
    assert result.explained_px.tolist() == mask.sum((1, 2)).tolist()


def test_tiles_of_any_size_are_padded_and_cropped_back() -> None:
    model = small_segmenter()
    images = tiles(size=61)
    with pytest.raises(RuntimeError, match="size"):
        model.module(images)  # the network itself does not take them
    padded = F.pad(normalised(images), (0, 3, 0, 3), mode="reflect")
    network = small_segmenter().module.double()
    with torch.no_grad():
        output = network(padded)[:, :, :61, :61]
    padded.requires_grad_()
    score = (network(padded)[:, 2, :61, :61] * (output.argmax(1) == 2)).sum()
    (expected,) = torch.autograd.grad(score, padded)
    spec = SaliencySpec(
        layer="input", method="gradient", samples=0, target="t", denoising="original"
    )
    result = explain_tiles(model, images, spec, FP64, dense=True)
    assert result.maps.shape == (2, 3, 61, 61)
    expected = expected[:, :, :61, :61].float()
    assert (result.maps - expected).abs().max() <= 1e-6 * expected.abs().max()
    assert result.dense_probabilities.shape == (2, 3, 61, 61)
    assert torch.allclose(result.dense_probabilities, output.softmax(1).float(), atol=1e-6)
    assert torch.allclose(result.probabilities, output.softmax(1).mean((2, 3)).float(), atol=1e-6)
    # Layer pixels whose centre lies outside the tile are cropped: 61 / 2 and 61 / 4, rounded up.
    for layer, side in (("stem", 31), ("deep", 16), ("decode", 31)):
        spec = SaliencySpec(layer=layer, samples=0, target="t", denoising="original")
        maps = explain_tiles(model, images, spec, FP64).maps
        assert maps.shape[2:] == (side, side) == model.map_size(layer, 61)
    assert model.map_size(OUTPUT, 61) == (61, 61)


@pytest.mark.parametrize("size", [5, 1, (5, 70)])
def test_tiles_smaller_than_the_padding(size) -> None:
    h, w = size if isinstance(size, tuple) else (size, size)
    images = tiles(1, 70)[:, :, :h, :w]
    spec = SaliencySpec(layer="decode", samples=2, target="t", denoising="original")
    spec = spec.model_copy(update={"method_options": {"target_pixels": "all"}})
    result = explain_tiles(small_segmenter(), images, spec, dense=True)
    assert result.dense_probabilities.shape == (1, 3, h, w)
    assert torch.isfinite(result.maps).all()


def test_a_tile_without_the_class_gives_zeros_and_says_so() -> None:
    model = segmenter(PositiveUNet(), "a", "b")
    images = np.zeros((3, 3, 64, 64), np.uint8)
    images[1, :, 30, 30] = 255
    spec = SaliencySpec(layer="stem", target="b", samples=0, method="activation_x_gradient")
    with pytest.warns(UserWarning, match=r"tile\(s\) 0, 2: no pixel is predicted as 'b'"):
        result = explain_tiles(model, images, spec)
    assert result.explained_px.tolist()[::2] == [0, 0] and result.explained_px[1] > 0
    assert result.maps[0].abs().max() == 0 < result.maps[1].abs().max()
    with pytest.warns(UserWarning, match="zero"):
        alone = explain_tiles(model, images[:1], spec.model_copy(update={"samples": 3}))
    assert alone.maps.shape == (1, 4, 32, 32) and alone.maps.abs().max() == 0


def test_activity_is_there_whatever_the_class_is() -> None:
    model = segmenter(PositiveUNet(), "a", "b")
    images = torch.zeros(2, 3, 64, 64)
    images[1, :, 30, 30] = 1
    spec = SaliencySpec(layer="stem", target="b", samples=5, method="activation")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*nothing to explain")
        found = [
            explain_tiles(model, images, spec, Compute(device="cpu", batch_size=rows))
            for rows in (1, 2, 20)
        ]
    for other in found:
        assert (other.samples == 5).all() and (other.explained_px == 64 * 64).all()
        assert torch.allclose(other.maps, found[0].maps, atol=1e-6)


def test_the_predicted_class_of_a_tile_is_its_majority_other_than_the_background() -> None:
    result = explain_tiles(small_segmenter(), tiles(4), SaliencySpec(layer="stem", samples=0))
    labels = explain_tiles(
        small_segmenter(), tiles(4), SaliencySpec(layer="stem", samples=0), dense=True
    ).dense_probabilities.argmax(1)
    for target, label in zip(result.target, labels, strict=True):
        counts = torch.bincount(label.flatten(), minlength=3)
        assert counts[0] > 0 and target == 1 + counts[1:].argmax()


def test_what_does_not_fit_is_refused() -> None:
    model = small_segmenter()
    with pytest.raises(SettingError, match="target_pixels"):
        explain_tiles(
            model, tiles(), SaliencySpec(layer="stem", method_options={"target_pixels": "some"})
        )
    with pytest.raises(SettingError, match="has no option 'relu'; its options: target_pixels"):
        explain_tiles(model, tiles(), SaliencySpec(layer="stem", method_options={"relu": True}))
    wrong = segmenter(model.module, "a", "b")
    with pytest.raises(ModelError, match="segmentation into 2 classes"):
        explain_tiles(wrong, tiles(), SaliencySpec(layer="stem"))


def test_a_classifier_has_no_pixels(classifier) -> None:
    with pytest.raises(SettingError, match="decides once per tile"):
        explain_tiles(classifier, tiles(), SaliencySpec(layer="layer1"), dense=True)
    spec = SaliencySpec(layer="layer1", method_options={"target_pixels": "all"})
    with pytest.raises(SettingError, match="decides once per tile"):
        explain_tiles(classifier, tiles(), spec)
