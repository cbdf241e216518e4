"""The control: a plain blur of the finished map."""

import numpy as np
import pytest
import torch
from networks import every_model
from scipy.ndimage import gaussian_filter

from napari_smoothsal import Compute, SaliencySpec, explain_tiles
from napari_smoothsal.core.errors import SettingError


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
