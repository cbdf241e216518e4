"""What outputs say: of whole tiles and of pixels, with one logit and with several."""

import pytest
import torch

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models import Readout, Target


def readout(kind: str, *names: str, background: str | None = None) -> Readout:
    return Readout(
        ModelCard(
            name="m",
            kind=kind,
            class_names=names,
            background=background,
            input_size=64,
            mean=(0.0,),
            std=(1.0,),
        )
    )


def of_labels(*tiles: list[list[int]], classes: int = 3) -> torch.Tensor:
    """Logits (B, classes, H, W) whose largest is that of the given labels."""
    labels = torch.tensor(tiles)
    return 4.0 * torch.nn.functional.one_hot(labels, classes).permute(0, 3, 1, 2).float()


def test_one_decision_per_tile() -> None:
    reads = readout("classification", "a", "b")
    output = reads.read(torch.tensor([[1.0, 3.0], [5.0, 2.0]]), 2)
    decision = reads.decide(output)
    assert decision.predicted.tolist() == [1, 0]
    assert decision.logits.tolist() == [[1, 3], [5, 2]]
    assert decision.probabilities.sum(1).tolist() == pytest.approx([1, 1])
    assert decision.dense_probabilities is None
    scores = [
        reads.ask(decision, Target(c, "")).scores(output).tolist() for c in (None, (0,), (1, 0))
    ]
    assert scores == [[3, 5], [1, 5], [2, -3]]
    # A class that is not predicted can be explained all the same.
    assert reads.ask(decision, Target((1,), "")).explained_px.tolist() == [1, 1]


def test_a_single_logit_stands_against_its_background() -> None:
    reads = readout("classification", "tumour", background="normal")
    assert reads.outcomes == ("tumour", "normal") and reads.background == "normal"
    output = reads.read(torch.tensor([[2.0], [-1.0]])[:, :, None, None], 2)
    decision = reads.decide(output)
    assert decision.probabilities[:, 0].tolist() == pytest.approx(
        torch.sigmoid(torch.tensor([2.0, -1.0])).tolist()
    )
    assert decision.predicted.tolist() == [0, 1]
    assert reads.ask(decision, Target(None, "auto")).scores(output).tolist() == [2, -1]
    assert readout("classification", "t").outcomes == ("t", "not t")


def test_a_tile_is_its_majority_other_than_the_background() -> None:
    reads = readout("segmentation", "bg", "n", "t", background="bg")
    nothing = [[0, 0], [0, 0]]
    output = of_labels([[0, 0], [0, 1]], [[2, 2], [1, 0]], nothing)
    assert reads.decide(output).predicted.tolist() == [1, 2, 0]
    # Without a background every class counts.
    assert readout("segmentation", "bg", "n", "t").decide(output).predicted.tolist() == [0, 2, 0]


def test_the_score_is_summed_over_the_pixels_predicted_as_the_class() -> None:
    reads = readout("segmentation", "bg", "n", "t", background="bg")
    labels = of_labels([[0, 2], [2, 1]], [[0, 0], [1, 0]])
    decision = reads.decide(labels)
    assert decision.dense_probabilities.shape == (2, 3, 2, 2)
    assert decision.labels.tolist() == [[[0, 2], [2, 1]], [[0, 0], [1, 0]]]
    values = torch.arange(24.0).reshape(2, 3, 2, 2)  # another pass than the one that decided
    tumour = reads.ask(decision, Target((2,), "t"))
    assert tumour.explained_px.tolist() == [2, 0]
    assert tumour.scores(values).tolist() == [float(values[0, 2, 0, 1] + values[0, 2, 1, 0]), 0]
    everywhere = reads.ask(decision, Target((2,), "t", pixels="all"))
    assert everywhere.scores(values).tolist() == values[:, 2].sum((1, 2)).tolist()
    there = reads.ask(decision, Target((2, 1), "t-n")).scores(values)
    back = reads.ask(decision, Target((1, 2), "n-t")).scores(values)
    assert there[0] != 0 and torch.equal(there, -back)
    # "auto": the majority class of each tile, where it is predicted.
    auto = reads.ask(decision, Target(None, "auto"))
    assert auto.classes.tolist() == [[2], [1]]
    assert auto.scores(values).tolist() == [tumour.scores(values)[0], values[1, 1, 1, 0]]


def test_a_single_logit_per_pixel() -> None:
    reads = readout("segmentation", "t")
    output = torch.tensor([[[[3.0, -1.0], [-2.0, -5.0]]]])
    decision = reads.decide(output)
    assert decision.labels.tolist() == [[[0, 1], [1, 1]]]
    assert decision.predicted.tolist() == [0]
    assert reads.ask(decision, Target((0,), "t")).scores(output).tolist() == [3]


def test_pixels_outside_the_question_get_no_gradient() -> None:
    reads = readout("segmentation", "bg", "t")
    output = of_labels([[0, 1], [1, 0]], classes=2).requires_grad_()
    question = reads.ask(reads.decide(output.detach()), Target((1,), "t"))
    (gradient,) = torch.autograd.grad(question.scores(output).sum(), output)
    assert gradient[0, 0].abs().sum() == 0
    assert gradient[0, 1].tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("kind", "output"),
    [
        ("classification", torch.zeros(2, 3)),
        ("classification", torch.zeros(1, 2)),
        ("classification", torch.zeros(2, 2, 8, 8)),
        ("segmentation", torch.zeros(2, 2)),
        ("segmentation", torch.zeros(2, 3, 8, 8)),
        ("segmentation", (torch.zeros(2, 2, 8, 8),)),
    ],
)
def test_an_output_of_another_shape_than_the_card_says(kind, output) -> None:
    with pytest.raises(ModelError, match="into 2 classes"):
        readout(kind, "a", "b").read(output, 2)
