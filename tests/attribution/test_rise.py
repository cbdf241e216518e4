"""RISE: its formula done slowly, a closed form for linear scores, and how certain it says it is."""

import math

import pytest
import torch
from networks import every_model
from perturbing import masks_of, perturbation_of, perturbed, score_of, scored, tile_of
from torch.nn import functional as F
from unets import small_segmenter

from napari_smoothsal.attribution.base import METHODS, options_of
from napari_smoothsal.attribution.masking import generator_of
from napari_smoothsal.core.errors import SettingError, UnknownNameError

MODELS = {**every_model(), "u_net": small_segmenter()}


def colours(height: int = 40, width: int = 40) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.rand(3, height, width, generator=generator, dtype=torch.float64)


def linear(shape: torch.Size):
    """Weights and the score that they make."""
    weights = torch.randn(shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    return weights, lambda images: (images * weights).flatten(1).sum(1)


def test_masks_are_grids_upsampled_and_shown_through_windows() -> None:
    tile, cells = perturbed(colours(45, 62), seed=11), 7
    masks = masks_of("rise", tile, masks=24, p1=0.3)
    windows = set()
    for number, mask in enumerate(masks):
        drawn = torch.rand(cells**2 + 2, generator=generator_of(11, number))
        grid = (drawn[:-2] < 0.3).double().reshape(1, 1, cells, cells)
        large = F.interpolate(grid, size=(8 * 7, 8 * 9), mode="bilinear")[0, 0]
        y, x = int(drawn[-2] * 7), int(drawn[-1] * 9)
        windows.add((y, x))
        assert torch.allclose(mask, large[y : y + 45, x : x + 62], atol=1e-6)
    assert len(windows) > 12


@pytest.mark.parametrize("p1", [0.1, 0.5])
def test_a_pixel_is_open_as_often_as_it_should_be(p1: float) -> None:
    masks = masks_of("rise", perturbed(colours()), masks=2000, p1=p1, cells=5)
    assert masks.min() >= 0 and masks.max() <= 1
    error = math.sqrt(p1 * (1 - p1) / len(masks))
    assert (masks.mean(0) - p1).abs().max() < 5 * error


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_it_is_the_papers_formula_on_any_network(name: str, centred: bool) -> None:
    model = MODELS[name]
    tile, score = tile_of(model, model.card.input_size, seed=5), score_of(model)
    options = {"masks": 50, "p1": 0.4, "centred": centred}
    rise = scored(perturbation_of("rise", tile, **options), score, batch=16)
    masks = masks_of("rise", tile, **options)
    # The default fill is the normalised zero, so that a mask multiplies, as in the paper.
    scores = torch.cat([score((tile.image * mask)[None]) for mask in masks])
    expected = torch.zeros(tile.image.shape[1:], dtype=torch.float64)
    for mask, value in zip(masks, scores - scores.mean() * centred, strict=True):
        expected += value * mask / (len(masks) * 0.4)
    assert expected.std() > 0
    assert torch.allclose(rise.result()[0], expected, rtol=1e-8, atol=1e-10)


def test_a_linear_score_gives_its_terms_smoothed_by_the_masks() -> None:
    """E[(f - E f) M(x)] / p1 = (1 - p1) sum over y of w_y x_y k(y, x), k the windows' overlap."""
    tile, p1, cells = perturbed(colours(), mean=0.5), 0.3, 5
    weights, score = linear(tile.image.shape)
    rise = scored(perturbation_of("rise", tile, masks=6000, p1=p1, cells=cells), score, 500)
    cell = 40 // cells
    rows = F.interpolate(torch.eye(cells)[None], size=cell * (cells + 1), mode="linear")[0].double()
    windows = torch.stack([rows[:, shift : shift + 40] for shift in range(cell)])
    overlap = (windows.mT @ windows).mean(0)
    terms = (weights * tile.image).sum(0)
    expected = (1 - p1) * overlap @ terms @ overlap
    found = rise.result()[0]
    error = (found - expected).norm() / found.norm()
    assert error < 1.5 * rise.relative_standard_error() < 0.2
    # The paper's own formula: the same and a constant.
    paper = scored(
        perturbation_of("rise", tile, masks=6000, p1=p1, cells=cells, centred=False), score, 500
    )
    offset = p1 * terms.sum()
    missed = (paper.result()[0] - expected - offset).norm() / paper.result().norm()
    assert missed < 1.5 * paper.relative_standard_error()


def test_one_cell_that_covers_all_says_nothing_of_places() -> None:
    tile = perturbed(colours())
    _, score = linear(tile.image.shape)
    found = scored(perturbation_of("rise", tile, masks=50, cells=1), score).result()
    assert found.std() <= 1e-9 * found.abs().max()


@pytest.mark.parametrize("centred", [False, True])
def test_its_standard_error_is_the_scatter_of_repetitions(centred: bool) -> None:
    model = MODELS["functional"]
    score, size = score_of(model), model.card.input_size
    fixed = tile_of(model, size, seed=2)
    maps, errors = [], []
    for seed in range(40):
        tile = type(fixed)(fixed.image, fixed.colours, fixed.normalised, fixed.mpp, seed)
        rise = scored(perturbation_of("rise", tile, masks=60, cells=4, centred=centred), score, 60)
        maps.append(rise.result())
        errors.append(rise.relative_standard_error() * float(rise.result().norm()))
    scatter = torch.stack(maps).var(0).sum().sqrt()
    assert float(scatter) == pytest.approx(sum(errors) / len(errors), rel=0.2)


def test_neither_batches_nor_the_number_of_masks_change_what_is_drawn() -> None:
    tile = perturbed(colours().float(), seed=7)
    _, score = linear(tile.image.shape)
    maps = []
    for batch in (1, 7, 64):
        rise = scored(perturbation_of("rise", tile, masks=64), lambda x: score(x.double()), batch)
        maps.append(rise.result())
    assert maps[0].dtype == torch.float32 and maps[0].shape == (1, 40, 40)
    for other in maps[1:]:
        assert torch.allclose(other, maps[0], rtol=1e-4, atol=1e-5 * float(maps[0].abs().max()))
    few = perturbation_of("rise", tile, masks=20)
    many = perturbation_of("rise", tile, masks=64)
    assert torch.equal(few.images(range(20)), many.images(range(20)))
    elsewhere = perturbation_of("rise", perturbed(tile.colours, seed=8), masks=20)
    assert not torch.equal(few.images(range(20)), elsewhere.images(range(20)))


def test_there_is_a_map_from_the_first_score_on() -> None:
    tile = perturbed(colours())
    _, score = linear(tile.image.shape)
    rise = scored(perturbation_of("rise", tile, masks=30), score, batch=1, upto=1)
    assert torch.isfinite(rise.result()).all() and math.isnan(rise.relative_standard_error())
    rise.add(range(1, 3), score(rise.images(range(1, 3))))
    assert rise.relative_standard_error() > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"masks": 0}, "masks"),
        ({"cells": 0}, "cells"),
        ({"cells": 41}, "at most 32"),
        ({"p1": 0.0}, "p1"),
        ({"p1": 1.0}, "p1"),
        ({"fill": "inpainted"}, "choose another"),
    ],
)
def test_what_cannot_work_is_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        perturbation_of("rise", perturbed(colours(32, 40)), **options)


def test_a_fill_that_there_is_not_is_named_before_there_is_a_tile() -> None:
    with pytest.raises(UnknownNameError, match="black"):
        options_of(METHODS["rise"], {"fill": "blak"})
