"""The centred hook: no alias of the stride is left, nothing moves, borders are as the middle."""

import pytest
import torch
from scipy.ndimage import convolve1d

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.denoise import DENOISINGS, options_of
from napari_smoothsal.denoise.filters import zero_phase


@pytest.mark.parametrize(
    ("stride", "taps"),
    [(1, [1.0]), (2, [0.25, 0.5, 0.25]), (3, [1 / 9, 2 / 9, 3 / 9, 2 / 9, 1 / 9])],
)
def test_its_filter_is_the_triangle_reflected_at_borders(stride: int, taps: list[float]) -> None:
    values = torch.randn(2, 3, 7, 9, dtype=torch.float64)
    plain = convolve1d(values.numpy(), taps, axis=2, mode="mirror")
    plain = convolve1d(plain, taps, axis=3, mode="mirror")
    assert torch.allclose(zero_phase(values, (stride, stride)), torch.from_numpy(plain), atol=1e-14)


def test_axes_have_strides_of_their_own() -> None:
    values = torch.randn(1, 1, 8, 8, dtype=torch.float64)
    plain = convolve1d(values.numpy(), [0.25, 0.5, 0.25], axis=3, mode="mirror")
    assert torch.allclose(zero_phase(values, (1, 2)), torch.from_numpy(plain), atol=1e-14)


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_the_response_is_a_double_zero_at_each_alias(stride: int) -> None:
    impulse = torch.zeros(1, 1, 48, 48, dtype=torch.float64)
    impulse[0, 0, 24, 24] = 1
    spectrum = torch.fft.fft(zero_phase(impulse, (stride, stride))[0, 0].sum(0)).abs()
    for alias in range(1, stride):
        at = alias * 48 // stride
        # Double: what leaks one bin beside the alias falls with the square of the distance.
        assert spectrum[at] < 1e-14 and spectrum[at - 1] < 0.02
    assert spectrum[0] == pytest.approx(1)


@pytest.mark.parametrize(("kernel", "padding"), [(1, 0), (3, 1), (7, 3), (2, 0), (4, 1), (4, 0)])
@pytest.mark.parametrize("stride", [2, 3, 4])
def test_no_period_of_the_stride_is_left(gradient_of, strided, kernel, padding, stride) -> None:
    net = strided(kernel, stride, padding)
    ones = torch.ones(1, 4, 60, 60, dtype=torch.float64)
    inner = slice(16, 40)
    smooth = gradient_of(net, ones, ["0"], "centred_hook")[:, :, inner, inner]
    assert smooth.std((2, 3)).max() < 1e-12
    raw = gradient_of(net, ones, ["0"], "original")[:, :, inner, inner]
    assert raw.std((2, 3)).max() > 0.01
    assert torch.allclose(smooth.mean((2, 3)), raw.mean((2, 3)), atol=1e-12)


def test_at_the_border_it_is_as_smooth_as_within(gradient_of, strided) -> None:
    """Of a 2 x 2 kernel without padding, every pixel is in a period, those of the border too."""
    net = strided(2, 2, 0)
    ones = torch.ones(1, 4, 16, 16, dtype=torch.float64)
    assert gradient_of(net, ones, ["0"], "centred_hook").std((2, 3)).max() < 1e-12


def test_an_impulse_stays_where_it_is() -> None:
    impulse = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    impulse[0, 0, 4, 5] = 1
    smooth = zero_phase(impulse, (2, 2))[0, 0]
    places = torch.arange(9)
    assert (smooth.sum(1) * places).sum().item() == pytest.approx(4, abs=1e-14)
    assert (smooth.sum(0) * places).sum().item() == pytest.approx(5, abs=1e-14)


def test_strength_mixes_it_with_the_original(gradient_of, strided) -> None:
    net, image = strided(3, 2), torch.randn(1, 4, 12, 12, dtype=torch.float64)
    weight = torch.randn(1, 4, 6, 6, dtype=torch.float64)
    raw = gradient_of(net, image, ["0"], "original", weight)
    full = gradient_of(net, image, ["0"], "centred_hook", weight)
    third = gradient_of(net, image, ["0"], "centred_hook", weight, strength=0.3)
    assert torch.allclose(third, 0.7 * raw + 0.3 * full, atol=1e-13)
    assert torch.equal(gradient_of(net, image, ["0"], "centred_hook", weight, strength=0), raw)


@pytest.mark.parametrize("strength", [-0.1, 1.5, "much"])
def test_strength_is_a_share(strength: object) -> None:
    with pytest.raises(SettingError, match=r"strength = "):
        options_of(DENOISINGS["centred_hook"], {"strength": strength})


@pytest.mark.parametrize("size", [1, 2, 3])
def test_maps_smaller_than_the_filter(gradient_of, strided, size: int) -> None:
    image = torch.randn(1, 4, size, size, dtype=torch.float64)
    assert torch.isfinite(gradient_of(strided(3, 4), image, ["0"], "centred_hook")).all()


def test_the_forward_pass_is_untouched(strided) -> None:
    from napari_smoothsal.denoise import denoised

    net, image = strided(3, 2), torch.randn(1, 4, 12, 12, dtype=torch.float64)
    entry = DENOISINGS["centred_hook"]
    expected = net(image)
    with denoised(net, entry, ["0"], options_of(entry, {})):
        assert torch.equal(net(image.requires_grad_()), expected)
