"""Who is to blame: linear models that look at a pen mark, and some that do not."""

import numpy as np
import pytest
import torch
from artefact_tiles import LABELS, SIDE, TILES, tiles_with
from networks import wrapped
from torch import nn

from napari_smoothsal import Compute, SaliencySpec
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.evaluation.artefacts import ARTEFACTS
from napari_smoothsal.evaluation.culprit import NONE, NOT_JUDGED, blame, culprit, under_the_map

CPU = Compute(device="cpu", precision="fp32")
PRODUCT = SaliencySpec(
    layer="input", method="activation_x_gradient", denoising="original", samples=0, target="b-a"
)
INKED = [i for i in range(TILES) if i % 4 < 2]
"""As many of either class."""


class Colour(nn.Module):
    """Adds up what is green and not red."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = (x[:, 1] - x[:, 0]).mean((1, 2))
        return torch.stack([-score, score], 1)


class Anything(nn.Module):
    """A random weight for every pixel."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(3, SIDE, SIDE, generator=generator))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = (x * self.weight).mean((1, 2, 3))
        return torch.stack([-score, score], 1)


def test_a_model_that_looks_at_ink_is_blamed_for_ink() -> None:
    images = tiles_with("ink", INKED)
    blamed = under_the_map(wrapped(Colour(), "a", "b", size=SIDE), images, LABELS, PRODUCT, CPU)
    assert culprit(blamed) == "ink"
    assert blamed.iloc[0]["excess"] > 1 and blamed.iloc[0]["area"] < 0.1


def test_one_that_does_not_is_not() -> None:
    images = tiles_with("ink", INKED)
    blamed = under_the_map(wrapped(Anything(), "a", "b", size=SIDE), images, LABELS, PRODUCT, CPU)
    assert culprit(blamed) == NONE
    assert blamed.set_index("artefact").loc["ink", "tiles"] >= len(INKED) / 2


def shares(generator: np.random.Generator) -> np.ndarray:
    """A pen mark on one tile in three, and compressed tiles."""
    result = np.zeros((60, len(ARTEFACTS), 6, 6))
    names = list(ARTEFACTS)
    result[::3, names.index("ink"), 2:4, 1:5] = generator.random((20, 2, 4))
    result[generator.random(60) < 0.3, names.index("compression")] = 1
    return result


CLASSES = [i % 2 for i in range(60)]


def test_what_was_added_is_found_again() -> None:
    generator = np.random.default_rng(0)
    shown = shares(generator)
    own = np.array([0.5, -0.2])[CLASSES][:, None, None]
    ink, blocks = (shown[:, list(ARTEFACTS).index(n)] for n in ("ink", "compression"))
    maps = own + 3 * ink - 0.7 * blocks
    blamed = blame(maps, shown, CLASSES).set_index("artefact")
    size = np.abs(maps).mean()
    assert blamed.loc["ink", "excess"] == pytest.approx(3 / size)
    assert blamed.loc["compression", "excess"] == pytest.approx(-0.7 / size)
    assert blamed.loc["tint", ["excess", "t"]].isna().all()
    assert culprit(blame(maps, shown, CLASSES)) == "ink"
    assert culprit(blame(-maps, shown, CLASSES)) == "compression"


def test_noise_of_whole_tiles_is_no_evidence() -> None:
    generator = np.random.default_rng(1)
    first = []
    for _ in range(40):
        maps = generator.normal(size=(60, 1, 1)) + 0.1 * generator.normal(size=(60, 6, 6))
        blamed = blame(maps, shares(generator), CLASSES).set_index("artefact")
        first.append(blamed.loc["compression", "t"])
    # Cells counted as independent would make this 6.
    assert np.std(first) < 2


def test_what_is_on_all_tiles_of_a_class_and_on_no_other_cannot_be_told_from_it() -> None:
    shown = np.zeros((60, len(ARTEFACTS), 6, 6))
    shown[np.array(CLASSES) == 1, list(ARTEFACTS).index("tint")] = 1
    maps = shown.sum(1) + np.random.default_rng(0).normal(size=(60, 6, 6))
    blamed = blame(maps, shown, CLASSES)
    assert blamed["t"].isna().all() and culprit(blamed) == NOT_JUDGED


def test_every_tile_is_asked_the_same() -> None:
    images = tiles_with("ink", INKED)
    model = wrapped(Colour(), "a", "b", size=SIDE)
    for target in (None, "auto"):
        spec = PRODUCT.model_copy(update={"target": target})
        with pytest.raises(SettingError, match="name one of"):
            under_the_map(model, images, LABELS, spec, CPU)
