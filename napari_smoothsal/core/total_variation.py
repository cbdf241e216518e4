"""Total variation: how rough a map is, independent of its scale.

Here, below all that uses it: the blur that is as smooth as a denoising, and the measures of a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def total_variation(maps: torch.Tensor) -> torch.Tensor:
    """Total variation per pixel of standardised maps.

    Each channel is centred and divided by its mean absolute deviation; the absolute differences
    between neighbours, down and across, are summed and divided by C H W.

    Parameters
    ----------
    maps
        (B, C, h, w), or (B, h, w) for reduced maps.

    Returns
    -------
    torch.Tensor
        (B,) float64. White Gaussian noise gives 2.83 (1 - 1/h) on square maps, a checkerboard
        3.9; 0.9 is noise blurred at sigma 1.5 px. Only maps of equal size compare.

    Notes
    -----
    As the published code of Herdt et al., Smooth Deep Saliency, computes it
    (``evaluate_tv``: torchmetrics' anisotropic total variation, summed, over C H W).
    """
    if maps.ndim == 3:
        maps = maps[:, None]
    z = maps.double()
    z = z - z.mean((2, 3), keepdim=True)
    z = z / z.abs().mean((2, 3), keepdim=True).clamp(min=1e-6)
    down = (z[:, :, 1:] - z[:, :, :-1]).abs().sum((1, 2, 3))
    across = (z[:, :, :, 1:] - z[:, :, :, :-1]).abs().sum((1, 2, 3))
    return (down + across) / (z.shape[1] * z.shape[2] * z.shape[3])
