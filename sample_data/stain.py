"""Haematoxylin and eosin as light absorbers: amounts of dye to colours (Beer-Lambert)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.sample_data.noise import Field


@dataclass(frozen=True)
class Stain:
    """Colour of the two dyes and of the lamp, for one slide.

    Parameters
    ----------
    haematoxylin, eosin
        Optical density (R, G, B) of one unit of dye.
    lamp
        Colour (R, G, B) of clear glass, from 0 to 255.
    """

    haematoxylin: tuple[float, float, float] = (0.62, 0.72, 0.33)
    eosin: tuple[float, float, float] = (0.10, 0.90, 0.42)
    lamp: tuple[float, float, float] = (243.0, 242.0, 244.0)

    def colour(self, haematoxylin: Field, eosin: Field) -> NDArray[np.float32]:
        """Colours (H, W, 3) from 0 to 255 of amounts of dye (H, W).

        Each colour channel is ``lamp * 10 ** -(h * density_h + e * density_e)``
        (Ruifrok and Johnston, Anal Quant Cytol Histol 2001).
        """
        rgb = np.empty((*haematoxylin.shape, 3), np.float32)
        for channel in range(3):
            density = haematoxylin * np.float32(self.haematoxylin[channel])
            density += eosin * np.float32(self.eosin[channel])
            density *= np.float32(-np.log(10.0))
            np.exp(density, out=density)
            rgb[..., channel] = density * np.float32(self.lamp[channel])
        return rgb


def random_stain(rng: np.random.Generator) -> Stain:
    """A plausible laboratory: from brownish to violet haematoxylin, from orange to pink eosin."""
    # The two ends are close to the stains of Camelyon16's two hospitals.
    mix = rng.uniform(0.0, 1.0)
    brown, violet = np.array([0.56, 0.72, 0.45]), np.array([0.68, 0.72, 0.16])
    orange, pink = np.array([0.10, 0.75, 0.55]), np.array([0.14, 0.90, 0.28])
    h = (1 - mix) * brown + mix * violet + rng.normal(0, 0.03, 3)
    e = (1 - mix) * orange + mix * pink + rng.normal(0, 0.03, 3)
    lamp = rng.uniform(232, 252) + rng.normal(0, 2.0, 3)
    gain_h, gain_e = rng.uniform(0.75, 1.2), rng.uniform(0.7, 1.35)
    return Stain(_channels(h * gain_h), _channels(e * gain_e), _channels(np.clip(lamp, 225, 254)))


def _channels(values: NDArray[np.float64]) -> tuple[float, float, float]:
    red, green, blue = values.tolist()
    return red, green, blue
