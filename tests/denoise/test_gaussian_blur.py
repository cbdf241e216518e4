"""The control: a plain blur of the finished map."""

import numpy as np
import pytest
import torch
from networks import every_model
from scipy.ndimage import gaussian_filter

from napari_smoothsal import Compute, SaliencySpec, explain_tiles, total_variation
from napari_smoothsal.attribution import Explainer
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.denoise.gaussian_blur import blurred_to


def test_it_is_the_originals_map_blurred() -> None:
    model = every_model()["resnet"]
    images = torch.rand(2, 3, 64, 64)
    given = {"layer": "layer1", "samples": 3}
    plain = explain_tiles(model, images, SaliencySpec(denoising="original", **given))
    spec = SaliencySpec(denoising="gaussian_blur", denoising_options={"sigma": 1.5}, **given)
    blurred = explain_tiles(model, images, spec, Compute())
    for tile in range(2):
        for channel in range(4):
            expected = gaussian_filter(plain.maps[tile, channel].numpy(), 1.5, mode="mirror")
            assert np.allclose(blurred.maps[tile, channel].numpy(), expected, atol=1e-7)
    assert torch.equal(blurred.standard_error, plain.standard_error)


@pytest.mark.parametrize("sigma", [0, -1, "wide"])
def test_sigma_is_a_width(sigma: object) -> None:
    spec = SaliencySpec(
        layer="layer1", denoising="gaussian_blur", denoising_options={"sigma": sigma}
    )
    with pytest.raises(SettingError, match="sigma = "):
        explain_tiles(every_model()["resnet"], torch.rand(1, 3, 64, 64), spec)


@pytest.fixture
def noise() -> torch.Tensor:
    return torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def matching(other: str, **changes: object) -> SaliencySpec:
    options = {"match": other}
    fields = {"layer": "layer1", "samples": 3, **changes}
    return SaliencySpec(denoising="gaussian_blur", denoising_options=options, **fields)


@pytest.mark.parametrize("other", ["backward_hook", "centred_hook", "forward_hook"])
def test_it_is_as_smooth_as_what_it_matches(other: str, noise: torch.Tensor) -> None:
    model = every_model()["resnet"]
    given = {"layer": "layer1", "samples": 3, "method": "activation_x_gradient"}
    wanted = explain_tiles(model, noise, SaliencySpec(denoising=other, **given))
    plain = explain_tiles(model, noise, SaliencySpec(denoising="original", **given))
    found = explain_tiles(model, noise, matching(other, **given))
    tv, rough = total_variation(wanted.maps), total_variation(plain.maps)
    assert (tv < rough).any()
    assert torch.allclose(total_variation(found.maps), tv.minimum(rough), rtol=0.01)
    by_hand, sigma = blurred_to(plain.maps, tv)
    assert len(set(sigma.tolist())) > 1
    assert torch.allclose(found.maps, by_hand, rtol=1e-3, atol=1e-3 * float(by_hand.abs().max()))
    # It stays a map of the model as it is, and as sure as the original's.
    assert torch.equal(found.probabilities, plain.probabilities)
    assert torch.equal(found.standard_error, plain.standard_error)


def test_what_is_smoother_already_stays(noise: torch.Tensor) -> None:
    """Above layer4 no convolution is strided: the matched map is the original's."""
    model = every_model()["resnet"]
    given = {"layer": "layer4", "samples": 3, "method": "activation_x_gradient"}
    with pytest.warns(UserWarning, match="backward_hook.* has nothing to do"):
        found = explain_tiles(model, noise, matching("backward_hook", **given))
    plain = explain_tiles(model, noise, SaliencySpec(denoising="original", **given))
    assert (total_variation(plain.maps) > 0).all() and torch.equal(found.maps, plain.maps)


def test_what_is_matched_is_seen_by_neither_batches_nor_results(noise: torch.Tensor) -> None:
    model = every_model()["resnet"]
    spec = matching("backward_hook")
    together = explain_tiles(model, noise, spec, Compute(batch_size=5)).maps
    apart = explain_tiles(model, noise, spec, Compute(batch_size=2)).maps
    assert torch.allclose(together, apart, rtol=1e-3, atol=1e-3 * float(together.abs().max()))
    # Its matched map is given out only where it was asked for, and is then not computed twice.
    places = [(i,) for i in range(5)]
    alone = Explainer(model, [spec], Compute(), scope="tiles")
    both = [spec, SaliencySpec(layer="layer1", samples=3, denoising="backward_hook")]
    shared = Explainer(model, both, Compute(), scope="tiles")
    assert len(alone.plans) == len(shared.plans) == 2
    (only,) = alone.explain(noise, places).specs
    first, second = shared.explain(noise, places).specs
    assert torch.equal(only.maps, first.maps)
    assert torch.equal(second.maps, explain_tiles(model, noise, both[1]).maps)


def test_a_matched_map_that_is_not_finite_leaves_none(noise: torch.Tensor) -> None:
    smooth, sigma = blurred_to(noise, torch.tensor([0.5, torch.nan, 0.5, torch.inf, 9]))
    assert torch.isfinite(smooth).flatten(1).all(1).tolist() == [True, False, True, False, True]
    assert torch.isfinite(sigma).tolist() == [True, False, True, False, True]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"match": "gaussian_blur"}, r"match = 'gaussian_blur'.*leaves the gradient.*centred_hook"),
        ({"match": "original"}, r"match = 'original'.*leaves the gradient"),
        ({"match": "centered"}, r"match = 'centered'.*is no denoising; give one of backward_hook"),
        ({"match": "backward_hook", "sigma": 1}, r"sigma = 1 and match = 'backward_hook'.*leave"),
        ({"match": "bilinear_surrogate"}, r"match = 'bilinear_surrogate'.*train-surrogate"),
    ],
)
def test_what_cannot_be_matched_is_refused(options: dict[str, object], message: str) -> None:
    spec = SaliencySpec(layer="layer1", denoising="gaussian_blur", denoising_options=options)
    with pytest.raises(SettingError, match=message):
        explain_tiles(every_model()["resnet"], torch.rand(1, 3, 64, 64), spec)
