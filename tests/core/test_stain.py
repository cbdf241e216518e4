"""What a card says of stain: complete, of its method, and in words where a slide is outside."""

import pytest

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.stain import Stain, StainNormalisation, StainRange

LAB = {"lab_means": (60, 20, -10), "lab_stds": (15, 7, 6)}
DYES = {
    "stain_matrix": ((0.56, 0.22), (0.72, 0.80), (0.41, 0.56)),
    "max_concentrations": (1.97, 1.03),
}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"method": "vahadane"}, "reinhard"),
        ({"method": "reinhard"}, "needs lab_means"),
        ({"method": "reinhard", **LAB, **DYES}, "no use for stain_matrix"),
        ({"method": "macenko", "stain_matrix": DYES["stain_matrix"]}, "max_concentrations"),
        ({"method": "reinhard", **LAB, "lab_stds": (15, 0, 6)}, "above 0"),
        ({"method": "macenko", **DYES, "stain_matrix": ((1, 2), (1, 2), (1, 2))}, "different dyes"),
    ],
)
def test_a_target_that_is_none_is_named(fields: dict, named: str) -> None:
    with pytest.raises(SettingError, match=named):
        StainNormalisation(**fields)


def card(**fields) -> ModelCard:
    return ModelCard(
        name="m",
        kind="classification",
        class_names=("a", "b"),
        input_size=64,
        mean=fields.pop("mean", (0.5,) * 3),
        std=fields.pop("std", (0.2,) * 3),
        **fields,
    )


def test_a_card_keeps_them_through_json() -> None:
    one = card(
        resampling="bicubic",
        stain_normalisation={"method": "macenko", **DYES},
        stain_range={"haematoxylin": (0.1, 0.4), "eosin": (0.05, 0.2)},
    )
    assert ModelCard(**one.model_dump(mode="json")) == one
    assert card().resampling == "area" and card().stain_normalisation is None


def test_a_card_refuses_stain_of_one_channel_and_filters_that_there_are_not() -> None:
    with pytest.raises(SettingError, match="red, green and blue"):
        card(mean=(0.5,), std=(0.2,), stain_normalisation={"method": "reinhard", **LAB})
    with pytest.raises(SettingError, match="lanczos"):
        card(resampling="cubic")


def test_a_range_says_what_lies_outside_and_what_it_is() -> None:
    wanted = StainRange(haematoxylin=(0.1, 0.4), eosin=(0.05, 0.2), residual=(0, 0.3))
    assert wanted.outside(Stain(0.1, 0.2, 0.15)) == []
    (one,) = wanted.outside(Stain(0.55, 0.1, 0.1))
    assert "haematoxylin 0.55" in one and "0.1 to 0.4" in one
    assert len(wanted.outside(Stain(0, 0, 1))) == 3
    assert StainRange(haematoxylin=(0, 1), eosin=(0, 1)).outside(Stain(0.5, 0.5, 99)) == []
    with pytest.raises(SettingError, match="lowest, highest"):
        StainRange(haematoxylin=(0.4, 0.1), eosin=(0, 1))
