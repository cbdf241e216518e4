"""Variants of a spec: one thing changes, and what belonged to it."""

from __future__ import annotations

import pytest

from napari_smoothsal import SaliencySpec, SmoothsalError, variants
from napari_smoothsal.core.variants import check_columns

SPEC = SaliencySpec(
    layer="layer2",
    denoising="centred_hook",
    denoising_options={"strength": 0.5},
    method="deeplift",
    method_options={"baseline": "white"},
    samples=7,
    reduction="channel",
    channel=3,
)


@pytest.mark.parametrize(
    ("varied", "values"),
    [
        ("denoising", ["original", "centred_hook"]),
        ("layer", ["layer1", "layer2"]),
        ("method", ["gradient", "deeplift"]),
        ("target", ["normal", "tumour"]),
    ],
)
def test_one_thing_changes_with_what_belongs_to_it(varied: str, values: list[str]) -> None:
    other, same = variants(SPEC, varied, values)
    assert [getattr(one, varied) for one in (other, same)] == values
    belongs = {
        "denoising": {"denoising_options"},
        "method": {"method_options"},
        "layer": {"reduction", "channel"},
        "target": set(),
    }[varied]
    for name in SaliencySpec.model_fields:
        if name != varied and name not in belongs:
            assert getattr(other, name) == getattr(same, name) == getattr(SPEC, name)
    # What it has now keeps its options; another one has its defaults.
    defaults = SaliencySpec(layer="x")
    for name in belongs:
        assert getattr(same, name) == getattr(SPEC, name)
        assert getattr(other, name) == getattr(defaults, name)
    SaliencySpec(**other.model_dump())  # still one that could be written down


def test_what_cannot_be_varied_and_too_few_or_many_columns_are_refused() -> None:
    with pytest.raises(SmoothsalError, match="sigma"):
        variants(SPEC, "sigma", ["1"])
    for count in (0, 1, 5):
        with pytest.raises(SmoothsalError, match=f"{count} column.*choose 2 to 4"):
            check_columns(count)
    for count in (2, 3, 4):
        check_columns(count)
