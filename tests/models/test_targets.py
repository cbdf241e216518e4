"""Which scalar is explained."""

import pytest

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import SettingError, UnknownNameError
from napari_smoothsal.models.targets import resolve_target


def card(*names: str, **more: object) -> ModelCard:
    return ModelCard(
        name="m",
        kind="classification",
        class_names=names,
        input_size=64,
        mean=(0.0,),
        std=(1.0,),
        **more,
    )


@pytest.mark.parametrize(
    ("card", "target", "scope", "classes", "label"),
    [
        (card("n", "t", default_target="t"), None, "slide", (1,), "t"),
        (card("n", "t", background="n"), None, "slide", (1,), "t"),
        (card("n", "t", background="t"), None, "slide", (0,), "n"),
        (card("n", "t"), None, "slide", None, "auto"),
        (card("t"), None, "slide", (0,), "t"),
        (card("a", "b", "c", background="a"), None, "slide", None, "auto"),
        (card("n", "t", default_target="t"), None, "tiles", None, "auto"),
        (card("n", "t"), "auto", "slide", None, "auto"),
        (card("n", "t"), 0, "slide", (0,), "n"),
        (card("n", "t"), "t", "tiles", (1,), "t"),
        (card("n", "t"), "t-n", "tiles", (1, 0), "t-n"),
        (card("a-b", "a", "b"), "a-b", "tiles", (0,), "a-b"),  # exact names win
        (card("a-b", "c"), "a-b-c", "tiles", (0, 1), "a-b-c"),
        (card("auto", "b"), "auto", "tiles", (0,), "auto"),
    ],
)
def test_resolving(card, target, scope, classes, label) -> None:
    resolved = resolve_target(card, target, scope)
    assert (resolved.classes, resolved.label) == (classes, label)


@pytest.mark.parametrize("target", ["tumor", "t-x", "-", "t-t", ""])
def test_an_unknown_class_offers_the_nearest(target: str) -> None:
    with pytest.raises(UnknownNameError):
        resolve_target(card("n", "t"), target, "tiles")


@pytest.mark.parametrize("index", [2, -1])
def test_an_index_out_of_range(index: int) -> None:
    with pytest.raises(SettingError, match="0 to 1"):
        resolve_target(card("n", "t"), index, "tiles")


def test_pixels_are_chosen_of_models_that_have_some() -> None:
    with pytest.raises(SettingError, match="once per tile"):
        resolve_target(card("n", "t"), "t", "tiles", "all")
    dense = card("n", "t").model_copy(update={"kind": "segmentation"})
    assert resolve_target(dense, "t", "tiles", "all").pixels == "all"
    assert resolve_target(dense, "t", "tiles").pixels == "predicted"
