"""The tables of iGOS++: their metric against a plain loop, their rows, and what is marked."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from networks import every_model, wrapped
from noise_tiles import NoiseTiles
from torch import nn

from napari_smoothsal import Compute
from napari_smoothsal.attribution import OptimisedMasks
from napari_smoothsal.core.checks import UNSURE, WRONG
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.evaluation.igos_measuring import (
    STILL_SEEN,
    IgosFound,
    IgosSettings,
    grad_cam_layer,
    igos_measured,
)
from napari_smoothsal.evaluation.igos_summary import (
    counted,
    igos_compared,
    igos_table,
    marks_told,
)
from napari_smoothsal.evaluation.igos_tables import OURS, TABLES, Entry
from napari_smoothsal.evaluation.insertion_deletion import RANDOM
from napari_smoothsal.evaluation.mask_curves import MaskCurves, mask_curves

COMPUTE = Compute(device="cpu", precision="fp32")
BRIEF = {
    "igos": {"iterations": 1, "steps": 2},
    "igos_plus": {"iterations": 1, "steps": 2},
    "igos_plus_plus": {"iterations": 1, "steps": 2},
    "meaningful_perturbation": {"iterations": 2},
    "rise": {"masks": 8},
}


class Bright(nn.Module):
    """Knows a tile by its red middle, and nothing else."""

    def __init__(self, sure: float = 0.8) -> None:
        super().__init__()
        self.seen = nn.Conv2d(3, 1, 8, stride=8, bias=False)
        nn.init.zeros_(self.seen.weight)
        self.seen.weight.data[0, 0] = 1 / 64
        self.sure = sure

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        middle = self.seen(x)[:, 0, 1:3, 1:3].mean((1, 2))
        return torch.stack([-self.sure * middle, self.sure * middle], 1)


class Shown:
    """Dark tiles with bright middles: the first clearly, the second faintly, the third nowhere."""

    def __init__(self) -> None:
        self._images = torch.full((3, 3, 32, 32), 60, dtype=torch.uint8)
        self._images[0, 0, 8:24, 8:24] = 255
        self._images[1, 0, 8:24, 8:24] = 130

    def __len__(self) -> int:
        return 3

    def name(self, index: int) -> str:
        return f"t{index}"

    def images(self, indices: list[int]) -> torch.Tensor:
        return self._images[list(indices)]


def slowly(
    predict, image, background, mask, slopes=None
) -> tuple[list[int], list[float], list[float]]:
    """METHODS 1.4: cells one by one into a mask, upsampled, and scores of both images."""
    side, cells = len(mask), mask.numel()
    step = max(1, cells // 50)
    slopes = torch.zeros_like(mask) if slopes is None else slopes
    order = sorted(range(cells), key=lambda i: (mask.flatten()[i], -slopes.flatten()[i]))
    upsample = nn.UpsamplingBilinear2d(size=tuple(image.shape[1:]))
    kept = torch.ones(1, 1, side, side)
    counts, deletion, insertion = [0], [], []
    for done in range(0, cells + step, step):
        for i in order[done - step : done] if done else []:
            kept[0, 0, i // side, i % side] = 0
        up = upsample(kept)
        deletion.append(float(predict(image * up + background * (1 - up))))
        insertion.append(float(predict(background * up + image * (1 - up))))
        if done:
            counts.append(min(done, cells))
        if done >= cells:
            break
    return counts, deletion, insertion


@pytest.mark.parametrize("slopes", ["slopes", ""])
@pytest.mark.parametrize("side", [3, 7, 10, 28])
def test_curves_are_those_of_a_plain_loop(side: int, slopes: str) -> None:
    generator = torch.Generator().manual_seed(side)
    image, background = torch.rand(2, 3, 32, 32, generator=generator)
    mask = torch.rand(side, side, generator=generator)
    steep = (torch.rand(side, side, generator=generator),) if slopes else ()
    if slopes:
        mask = (3 * mask - 1).clamp(0, 1)  # a third is wholly hidden, a third wholly shown
    weights = torch.rand(3, 32, 32, generator=generator)

    def predict(images: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid((images * weights).mean((1, 2, 3)) * 9 - 2)

    found = mask_curves(predict, image, background, mask, *steep)
    counts, deletion, insertion = slowly(predict, image, background, mask, *steep)
    assert torch.allclose(found.deletion, torch.tensor(deletion), atol=1e-5)
    assert torch.allclose(found.insertion, torch.tensor(insertion), atol=1e-5)
    shares = np.asarray(counts) / side**2
    assert np.allclose(found.shares, shares)
    # The last step is shorter where cells do not divide evenly: 28 x 28 are 52 steps of 15 and 4.
    assert found.areas.deletion == pytest.approx(np.trapezoid(deletion, shares), abs=1e-5)
    assert found.areas.insertion == pytest.approx(np.trapezoid(insertion, shares), abs=1e-5)


@pytest.mark.parametrize(("side", "last"), [(7, 1 / 49), (28, 4 / 784)])
def test_the_authors_sum_has_one_for_the_last_score(side: int, last: float) -> None:
    image, background = torch.ones(3, 32, 32), torch.zeros(3, 32, 32)

    def predict(images: torch.Tensor) -> torch.Tensor:
        return 0.2 + 0 * images.sum((1, 2, 3))

    found = mask_curves(predict, image, background, torch.rand(side, side))
    assert found.areas.deletion == pytest.approx(0.2)
    assert found.published_areas.deletion == pytest.approx(0.2 + last * 0.8)


def test_equal_cells_go_in_the_order_of_their_place() -> None:
    seen = []

    def predict(images: torch.Tensor) -> torch.Tensor:
        seen.append(images[:, 0])
        return images.mean((1, 2, 3))

    mask_curves(predict, torch.ones(3, 4, 4), torch.zeros(3, 4, 4), torch.ones(4, 4))
    inserted = seen[1].flatten(1)
    assert all(torch.equal(inserted[n], (torch.arange(16) < n).float()) for n in range(17))


def test_a_curve_has_settled_where_it_no_longer_falls_below_its_share() -> None:
    def settled(*insertion: float, share: float = 0.5) -> float:
        shares = torch.linspace(0, 1, len(insertion), dtype=torch.float64)
        return MaskCurves(shares, torch.ones(len(shares)), torch.tensor(insertion)).settled_at(
            share
        )

    assert settled(0.1, 0.7, 0.2, 0.5, 0.9, 0.8) == pytest.approx(3 / 5)
    assert settled(0.1, 0.7, 0.2, 0.5, 0.9, 0.8, share=1.0) == pytest.approx(4 / 5)
    assert settled(0.1, 0.7, 0.2, 0.5, 0.9, 0.8, share=0.1) == 0
    assert settled(0.0, 0.0, 0.0, 1.0) == 1
    assert settled(0.9, 0.9, 0.9) == 0


def rows_of(name: str, **more) -> tuple[IgosFound, pd.DataFrame]:
    settings = IgosSettings({m: BRIEF[m] for m in BRIEF}, **more)
    model, table = every_model()["resnet"], TABLES[name]
    (found,) = igos_measured(model, NoiseTiles([0]), table, COMPUTE, settings, labels=[0])
    return found, found.frame()


@pytest.mark.parametrize(
    ("name", "rows", "papers"),
    [
        ("igos1", 3 * 7, 12),
        pytest.param("igos3", 2 * 9, 14, marks=pytest.mark.slow),
        ("igos6", 2 * 4, 6),
        ("igos12", 7, 0),
    ],
)
@pytest.mark.filterwarnings("ignore:masks of some tiles hide nearly all")
def test_every_row_of_a_table_is_there(name: str, rows: int, papers: int) -> None:
    found, frame = rows_of(name)
    assert len(frame) == rows + 2 * len(TABLES[name].sizes)  # random orders are three
    # Cells of 224 px are at most as many as the tile has px.
    assert set(frame["mask_px"]) == {min(size, 64) for size in TABLES[name].sizes}
    assert frame[["deletion", "insertion"]].to_numpy().min() > 0
    assert (frame["method"] == RANDOM).sum() == 3 * len(TABLES[name].sizes)
    summary = igos_table(TABLES[name], frame)
    assert len(summary) == rows
    if papers:
        assert summary["paper_deletion"].notna().sum() == papers
        assert summary["paper_insertion"].notna().sum() == papers
    assert bool(found.pictures) == (name == "igos12")


@pytest.mark.filterwarnings("ignore:masks of some tiles hide nearly all")
@pytest.mark.slow
def test_losses_are_those_of_the_objective_and_times_are_positive() -> None:
    _, losses = rows_of("igos4")
    summary = igos_table(TABLES["igos4"], losses)
    assert len(summary) == 8 and summary["paper_loss"].notna().all()
    # Nothing but the probabilities can be below zero, and they are at most 1.
    assert (summary["loss"] > -1).all()
    _, times = rows_of("igos7")
    summary = igos_table(TABLES["igos7"], times)
    assert len(summary) == 10 and (summary["seconds"] > 0).all()
    assert summary["paper_seconds"].notna().sum() == 7


def test_a_first_tile_that_takes_long_does_not_spoil_the_times() -> None:
    rows = pd.DataFrame({"tile": ["a", "b", "c"], "seconds": [30.0, 1.0, 1.2], "mark": ""})
    summary = igos_table(TABLES["igos7"], rows.assign(method=OURS, mask_size=28, mask_px=28))
    assert summary["seconds"].tolist() == [1.2] and summary["tiles"].tolist() == [3]


def test_rows_have_the_areas_as_they_are_and_as_they_were_published() -> None:
    found, frame = rows_of("igos6")
    for one, row in zip(found.ordered, frame.itertuples(), strict=True):
        right, published = one.curves.areas, one.curves.published_areas
        for name in ("deletion", "insertion"):
            assert getattr(row, name) == getattr(right, name) != getattr(published, name)
            assert getattr(row, f"{name}_published") == getattr(published, name)
        assert row.settled_at == one.curves.settled_at()
        assert (row.method, row.mask_px) == (one.method, len(one.mask))


def test_what_is_left_out_of_a_loss_costs_nothing() -> None:
    """Without steps of any length the mask stays: nothing is hidden, and the price is zero."""
    still = {"iterations": 1, "steps": 1, "noise": 0.0, "optimiser": "nesterov", "step": 1e-30}
    settings = IgosSettings({"igos_plus": still, "igos_plus_plus": still})
    model, tiles = wrapped(Bright(), "dark", "bright"), Shown()
    (found,) = igos_measured(model, tiles, TABLES["igos4"], COMPUTE, settings, chosen=[0])
    frame = found.frame()
    expected = frame["probability"] - frame["without_the_tile"]
    assert np.allclose(frame["loss"], expected, atol=1e-4)


def test_optimised_masks_beat_a_random_order_and_marks_say_what_cannot_be_told() -> None:
    model, table = wrapped(Bright(), "dark", "bright"), replace(TABLES["igos6"], sizes=(7,))
    settings = IgosSettings({"igos_plus_plus": {"iterations": 6, "steps": 5}})
    (found,) = igos_measured(model, Shown(), table, COMPUTE, settings, labels=[1, 0, 0])
    frame = found.frame()
    marks = frame.drop_duplicates("tile").set_index("tile")["mark"]
    assert marks["t0"] == ""
    assert WRONG in marks["t1"] and UNSURE in marks["t1"]
    assert marks["t2"] == STILL_SEEN
    kept = counted(frame)
    assert set(kept["tile"]) == {"t0", "t1"}
    clear = frame[frame["tile"] == "t0"]
    means = clear.groupby("method")[["insertion", "deletion"]].mean()
    assert means.loc[OURS, "insertion"] > means.loc[RANDOM, "insertion"] + 0.05
    assert means.loc[OURS, "deletion"] < means.loc[RANDOM, "deletion"] - 0.05
    compared = igos_compared(frame)
    row = compared.set_index(["mask_size", "against", "score"]).loc[(7, RANDOM, "insertion")]
    wide = kept.pivot_table("insertion", "tile", "method")
    assert row["difference"] == pytest.approx((wide[OURS] - wide[RANDOM]).mean())
    told = marks_told(frame)
    assert len(told) == 3 and all(said.startswith("1 of 3 tiles") for said in told)
    only = frame[frame["tile"] == "t2"]
    assert len(counted(only)) == len(only) and "no others" in marks_told(only)[-1]


def test_cells_that_a_mask_shows_alike_go_by_its_slopes_if_asked() -> None:
    entries = (Entry("place", "igos"), Entry("slope", "igos", by_slope=True))
    table = replace(TABLES["igos6"], entries=entries, sizes=(7,))
    settings = IgosSettings({"igos": BRIEF["igos"]})
    (found,) = igos_measured(every_model()["resnet"], NoiseTiles([0]), table, COMPUTE, settings)
    place, slope = found.ordered[:2]
    assert torch.equal(place.mask, slope.mask) and len(place.mask.unique()) < 49
    assert not torch.equal(place.curves.insertion, slope.curves.insertion)


def test_slopes_are_of_each_mask_and_of_their_product() -> None:
    masks, slopes = torch.ones(3, 2, 4, 4), torch.rand(3, 2, 4, 4)
    found = OptimisedMasks(torch.zeros(3, 1, 8, 8), masks, slopes, [])
    assert torch.equal(found.slopes_of("deletion"), slopes[:, 0])
    assert torch.equal(found.slopes_of("insertion"), slopes[:, 1])
    assert torch.equal(found.slopes_of("product"), slopes[:, 0] + slopes[:, 1])


def test_of_a_single_logit_its_class_is_explained() -> None:
    model = every_model()["single_logit"]
    settings = IgosSettings({"igos_plus_plus": BRIEF["igos_plus_plus"]})
    (found,) = igos_measured(model, NoiseTiles([0, 1], 32), TABLES["igos6"], COMPUTE, settings)
    assert set(found.frame()["explained"]) == {"t"}


@pytest.mark.slow
def test_a_tile_is_the_same_whatever_else_is_chosen() -> None:
    model, tiles = every_model()["resnet"], NoiseTiles([0] * 6)
    settings = IgosSettings({"igos_plus_plus": BRIEF["igos_plus_plus"]})
    table = replace(TABLES["igos6"], sizes=(7,))

    def of(chosen: list[int]) -> pd.DataFrame:
        *_, found = igos_measured(model, tiles, table, COMPUTE, settings, chosen=chosen)
        frame = found.frame()
        return frame[frame["tile"] == "folder/tile5"].reset_index(drop=True)

    pd.testing.assert_frame_equal(of([5]), of([0, 1, 5]), atol=1e-4)


def test_grad_cam_looks_where_maps_are_as_fine_as_the_smallest_mask() -> None:
    model = every_model()["resnet"]
    assert grad_cam_layer(model, TABLES["igos1"]) == "layer4"
    assert grad_cam_layer(model, TABLES["igos2"]) == "layer3"


def test_bad_options_are_told_before_anything_is_computed() -> None:
    table = TABLES["igos1"]
    with pytest.raises(SettingError, match=r"mask_px = 500 .* its own sizes, 224, 28, 7"):
        table.checked({"igos": {"mask_px": 500}})
    with pytest.raises(SettingError, match="iterations"):
        table.checked({"igos": {"iterations": 0}})
    with pytest.raises(SettingError, match=r"sparsity = 0 .* fixed step"):
        TABLES["igos3"].checked({"igos_plus_plus": {"sparsity": 0}})
    with pytest.raises(SettingError, match=r"deletion = False .* sum of both"):
        TABLES["igos4"].checked({"igos_plus_plus": {"deletion": False}})


@pytest.mark.parametrize("name", ["igos1", "igos2", "igos3", "igos4", "igos6", "igos7"])
def test_the_papers_rows_are_called_as_ours(name: str) -> None:
    table = TABLES[name]
    papers = table.published()
    assert set(papers["method"]) <= {entry.name for entry in table.entries}
    if "mask_size" in papers:
        assert set(papers["mask_size"]) == set(table.sizes)
