"""Insertion and deletion: closed forms on a model that looks at known places."""

import numpy as np
import pandas as pd
import pytest
import torch
from networks import every_model
from noise_tiles import NoiseTiles
from torch.nn import functional as F

from napari_smoothsal import Compute, total_variation
from napari_smoothsal.core.perturbation import Perturbation
from napari_smoothsal.denoise.gaussian_blur import blurred_to
from napari_smoothsal.evaluation.faithfulness import (
    CONTROL,
    LAID_BACK,
    comparison,
    faithfulness,
)
from napari_smoothsal.evaluation.insertion_deletion import (
    RANDOM,
    Pieces,
    area_under,
    cells_of,
    curves,
)
from napari_smoothsal.evaluation.paper import Wanted

QUARTERS = Perturbation(cells=2, steps=4, deletion="black", insertion="black")
WHITE = Pieces.of(torch.ones(3, 8, 8), torch.zeros(3), QUARTERS)


def weighted(*weights: float):
    """Predicts the weighted means of a 2 x 2 image's quarters."""

    def predict(images: torch.Tensor) -> torch.Tensor:
        means = F.adaptive_avg_pool2d(images[:, :1], 2).flatten(1)
        return means @ torch.tensor(weights)

    return predict


def test_curves_follow_the_cells_in_their_order() -> None:
    predict = weighted(0.4, 0.3, 0.2, 0.1)
    importance = torch.tensor([[4.0, 3.0], [2.0, 1.0]])
    taken = curves(predict, WHITE, importance, QUARTERS)
    assert torch.allclose(taken.deletion, torch.tensor([1.0, 0.6, 0.3, 0.1, 0.0]), atol=1e-6)
    assert torch.allclose(taken.insertion, torch.tensor([0.0, 0.4, 0.7, 0.9, 1.0]), atol=1e-6)
    best = area_under(taken.insertion)
    assert best == pytest.approx((0 / 2 + 0.4 + 0.7 + 0.9 + 1 / 2) / 4)
    worst = curves(predict, WHITE, -importance, QUARTERS)
    assert area_under(worst.insertion) == pytest.approx(1 - best)


def test_equal_cells_are_taken_in_the_order_of_their_place() -> None:
    predict = weighted(0.4, 0.3, 0.2, 0.1)
    taken = curves(predict, WHITE, torch.zeros(2, 2), QUARTERS)
    assert torch.allclose(taken.deletion, torch.tensor([1.0, 0.6, 0.3, 0.1, 0.0]), atol=1e-6)


def test_the_last_chunk_of_igos_code_counts_as_one() -> None:
    """Its metric adds ``(pixels left) * 1`` in place of the last score times them.

    METHODS: bias = w (1 - last score), w the share of the last chunk; nearly w for deletion.
    """
    scores = torch.linspace(0.9, 0.1, 11, dtype=torch.float64)
    weights = torch.full((10,), 0.1, dtype=torch.float64)
    right_sum = float((scores[1:] * weights).sum())
    with_error = right_sum - float(scores[-1] * weights[-1]) + float(weights[-1])
    assert with_error - right_sum == pytest.approx(0.1 * (1 - 0.1))
    # By trapezoids there is neither that error nor the offset of a one-sided sum.
    assert area_under(scores) == pytest.approx(0.5)
    assert right_sum == pytest.approx(0.46) and with_error == pytest.approx(0.55)


@pytest.mark.parametrize("edges", ["nearest", "bilinear"])
def test_the_first_and_last_image_are_whole(edges: str) -> None:
    seen = []
    how = Perturbation(cells=4, steps=5, edges=edges, deletion="white", insertion="black")

    def predict(images: torch.Tensor) -> torch.Tensor:
        seen.append(images)
        return images.mean((1, 2, 3))

    image = torch.rand(3, 16, 16)
    curves(predict, Pieces.of(image, torch.zeros(3), how), torch.rand(4, 4), how)
    deleted, inserted = seen
    assert len(deleted) == 6
    assert torch.allclose(deleted[0], image) and torch.allclose(deleted[-1], torch.ones(3, 16, 16))
    assert torch.allclose(inserted[0], torch.zeros(3, 16, 16))
    assert torch.allclose(inserted[-1], image)
    grey = (inserted[2] - image).abs().amin(0) > 1e-6
    partial = (inserted[2] > 1e-6).any(0) & grey
    assert bool(partial.any()) == (edges == "bilinear")


@pytest.mark.parametrize("edges", ["nearest", "bilinear"])
def test_a_cell_is_taken_where_it_lies(edges: str) -> None:
    seen = []
    how = Perturbation(cells=8, steps=64, edges=edges, deletion="black", insertion="black")

    def predict(images: torch.Tensor) -> torch.Tensor:
        seen.append(images[1, 0])
        return images.mean((1, 2, 3))

    importance = torch.zeros(8, 8)
    importance[1, 6] = 1
    curves(predict, Pieces.of(torch.ones(3, 64, 64), torch.zeros(3), how), importance, how)
    gone = 1 - seen[0]
    places = torch.arange(64)
    assert float((gone.sum(1) * places).sum() / gone.sum()) == pytest.approx(11.5, abs=1e-4)
    assert float((gone.sum(0) * places).sum() / gone.sum()) == pytest.approx(51.5, abs=1e-4)


def test_maps_of_any_layer_meet_on_the_same_cells() -> None:
    """A ramp over the tile, sampled at each layer's own places, has the same cells."""
    for stride, centre, size in ((4, 1.5, 16), (8, 3.5, 8), (4, 0.0, 16), (2, -3.0, 36)):
        places = torch.arange(size) * stride + centre
        ramp = places[:, None].expand(size, size)[None].float()
        cells = cells_of(ramp, (stride, stride), (centre, centre), 64, 8)[0]
        expected = torch.arange(8) * 8 + 3.5
        assert torch.allclose(cells[2:6, 3].float(), expected[2:6], atol=1e-4)
        assert torch.allclose(cells[:, 0], cells[:, 7])


def test_the_control_is_as_smooth_as_asked() -> None:
    maps = torch.randn(3, 2, 28, 28, generator=torch.Generator().manual_seed(0))
    wanted = torch.tensor([1.2, 0.7, 9.0])
    smooth, sigma = blurred_to(maps, wanted)
    faint, as_wide = blurred_to(1e-7 * maps, wanted)
    assert torch.allclose(1e7 * faint, smooth, atol=1e-5) and torch.allclose(as_wide, sigma)
    assert torch.allclose(total_variation(smooth)[:2], wanted[:2].double(), atol=1e-3)
    assert torch.equal(smooth[2], maps[2]) and sigma[2] == 0 < sigma[0] < sigma[1]


@pytest.mark.parametrize("name", ["resnet", "single_logit"])
def test_every_denoising_its_control_and_the_floor_are_scored(name: str) -> None:
    model = every_model()[name]
    layer = "layer1" if name == "resnet" else "features.0"
    wanted = Wanted(layers=(layer,), methods=("gradient",), samples=2)
    how = Perturbation(cells=4, steps=4)
    compute = Compute(device="cpu", precision="fp32")
    areas, courses = faithfulness(model, NoiseTiles([0, 1, 1]), wanted, how, compute)
    names = {"original", "backward_hook", "forward_hook", "centred_hook"}
    controls = {CONTROL + n for n in names - {"original"}}
    assert set(areas["denoising"]) == names | controls | {RANDOM}
    assert areas[["insertion", "deletion"]].to_numpy().min() >= 0
    # What moves is scored where it lies and laid back; behind an activation nothing moves alike.
    placed = areas[areas["placed"]]
    assert set(placed["denoising"]) == ({"backward_hook"} if name == "resnet" else set())
    smooth = areas[areas["denoising"] == CONTROL + "centred_hook"].set_index("tile")["tv"]
    hooked = areas[areas["denoising"] == "centred_hook"].set_index("tile")["tv"]
    assert np.allclose(smooth, hooked, rtol=1e-2)
    assert (courses.groupby(["denoising", "placed"]).size() == 5).all()


def test_comparisons_are_paired() -> None:
    generator = np.random.default_rng(0)
    tiles = [f"t{i}" for i in range(30)]
    level = generator.uniform(0, 1, 30)
    rows = []
    for name, better in (("a", 0.05), ("b", 0.0)):
        for tile, value in zip(tiles, level, strict=True):
            noise = generator.normal(0, 0.01)
            rows.append((tile, "x", "gradient", name, False, value + better + noise, 1 - value))
    columns = ["tile", "layer", "method", "denoising", "placed", "insertion", "deletion"]
    frame = comparison(pd.DataFrame(rows, columns=columns), [("a", "b")])
    insertion = frame[frame["score"] == "insertion"].iloc[0]
    assert insertion["low"] > 0.03 and insertion["high"] < 0.07 and insertion["p"] < 1e-4
    deletion = frame[frame["score"] == "deletion"].iloc[0]
    assert deletion["difference"] == pytest.approx(0, abs=1e-12) and deletion["p"] == 1


def test_what_is_laid_back_and_the_floor_are_compared_as_well() -> None:
    rows = []
    for i in range(12):
        about = (f"t{i}", "x", "gradient")
        rows += [(*about, "a", False, 0.5, 0.5), (*about, "a", True, 0.6, 0.5)]
        rows += [(f"t{i}", "", "", RANDOM, False, 0.1 + 0.2 * k, 0.5) for k in range(2)]
    columns = ["tile", "layer", "method", "denoising", "placed", "insertion", "deletion"]
    pairs = [("a" + LAID_BACK, "a"), ("a", RANDOM)]
    frame = comparison(pd.DataFrame(rows, columns=columns), pairs)
    found = frame[frame["score"] == "insertion"]["difference"].tolist()
    assert found == pytest.approx([0.1, 0.3])
    assert (frame["layer"] == "x").all()
