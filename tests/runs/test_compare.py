"""compare: the same maps as one by one, in fewer passes, with what they have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_runs import ALL

from napari_smoothsal import (
    Comparison,
    Compute,
    SaliencySpec,
    SmoothsalError,
    compare,
    explain_slide,
    variants,
)
from napari_smoothsal.models.architectures import NarrowResNet18
from napari_smoothsal.runs.columns import fitting

REGION = (20, 30, 200, 150)
SPEC = SaliencySpec(layer="layer2", samples=2, sigma=0.3)
GIVEN: dict[str, Any] = {
    "region": REGION,
    "tiling": ALL,
    "compute": Compute(device="cpu", precision="fp32", batch_size=3),
}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every round is written."""
    monkeypatch.setattr("napari_smoothsal.runs.refine.ROUND_S", 0.0)


def test_columns_are_the_maps_that_runs_of_their_own_make(
    noisy, classifier, tmp_path: Path
) -> None:
    specs = variants(SPEC, "denoising", ["original", "gaussian_blur", "centred_hook"])
    rounds: list[tuple[int, float]] = []
    found = compare(
        noisy,
        classifier,
        specs,
        tmp_path / "c",
        **GIVEN,
        on_round=lambda comparison, share: rounds.append((len(comparison.columns), share)),
    )
    assert found is not None
    assert [column.map.spec.denoising for column in found.columns] == [
        spec.denoising for spec in specs
    ]
    for number, (spec, column) in enumerate(zip(specs, found.columns, strict=True)):
        out = tmp_path / f"{number}.smoothsal.zarr"
        run = explain_slide(noisy, classifier, [spec], out, **GIVEN, progress=False)
        (key,) = run.maps
        np.testing.assert_allclose(
            column.map.levels[0][:], run.maps[key].levels[0][:], rtol=1e-4, atol=1e-6
        )
        rough = run.tiles[f"tv_{key}"].mean()
        assert column.total_variation == pytest.approx(float(rough), rel=1e-4)
        assert column.standard_error is not None
    assert found.labels == ("original", "gaussian blur", "centred hook")
    assert found.unlike == ()
    # They grow together, up to the end.
    assert {count for count, _ in rounds} == {3} and rounds[-1][1] == 1
    assert len(rounds) >= 2 and [share for _, share in rounds] == sorted(s for _, s in rounds)
    # A run of several maps is one, too.
    assert Comparison.of(found.columns[0].run).labels == found.labels


def test_layers_share_their_passes(
    noisy, classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = 0
    own = NarrowResNet18.forward

    def counted(self: Any, images: Any) -> Any:
        nonlocal passes
        passes += len(images)
        return own(self, images)

    monkeypatch.setattr(NarrowResNet18, "forward", counted)
    needed = []
    for number, layers in enumerate((["layer1", "layer2"], ["layer1", "layer2", "layer3"])):
        passes = 0
        found = compare(
            noisy, classifier, variants(SPEC, "layer", layers), tmp_path / str(number), **GIVEN
        )
        assert found is not None and found.labels == tuple(layers)
        assert found.unlike == ("layer",)
        needed.append(passes)
    # Passes of their own would be half as many again.
    assert 0 < needed[1] <= needed[0]


def test_of_models_one_comes_after_the_other(noisy, classifier, positive, tmp_path: Path) -> None:
    other = positive()  # has neither layer2 nor a class called tumour
    spec = SPEC.model_copy(update={"target": "tumour", "samples": 0})
    counts: list[int] = []
    shares: list[float] = []

    def told(comparison: Comparison, share: float) -> None:
        counts.append(len(comparison.columns))
        shares.append(share)

    found = compare(noisy, [classifier, other], spec, tmp_path, **GIVEN, on_round=told)
    assert found is not None
    assert [column.model["name"] for column in found.columns] == ["random", "resnet"]
    assert counts[0] == 1 and counts[-1] == 2 and shares == sorted(shares) and shares[-1] == 1
    assert 0.5 in shares
    first, second = (column.map for column in found.columns)
    assert (first.spec.layer, first.target) == ("layer2", "tumour")
    assert second.spec.layer in {info.name for info in other.layers()} and second.target == "b"
    assert set(found.unlike) == {"model", "layer"}
    assert all("random" in a or "resnet" in a for a in found.labels)


def test_what_another_model_has_stays(classifier, positive) -> None:
    for layer, target in (("layer1", "normal"), ("input", None), ("layer1", "auto")):
        spec = SaliencySpec(layer=layer, target=target)
        assert fitting(spec, classifier) == spec
    channel = SaliencySpec(layer="layer2", reduction="channel", channel=5, target="unit:layer4:3")
    fitted = fitting(channel, positive())
    assert fitted.channel is None and fitted.reduction == "sum" and fitted.target is None
    assert fitted.layer != "layer2"
    SaliencySpec(**fitted.model_dump())


def test_maps_are_alike_in_units_only_if_they_measure_the_same(
    noisy, classifier, tmp_path: Path
) -> None:
    plain = SPEC.model_copy(update={"samples": 0})
    cases: list[tuple[list[SaliencySpec], tuple[str, ...]]] = [
        (variants(plain, "target", ["normal", "tumour"]), ()),
        (variants(plain, "method", ["gradient", "activation_x_gradient"]), ("method",)),
        ([plain, plain.model_copy(update={"reduction": "absolute"})], ("channels",)),
    ]
    for number, (specs, unlike) in enumerate(cases):
        found = compare(noisy, classifier, specs, tmp_path / str(number), **GIVEN)
        assert found is not None and found.unlike == unlike
        assert len(set(found.labels)) == 2
    same = compare(noisy, classifier, [plain, plain], tmp_path / "same", **GIVEN)
    assert same is not None and same.labels == ("column 1", "column 2") and not same.unlike


def test_it_stops_and_refuses(noisy, classifier, tmp_path: Path) -> None:
    specs = variants(SPEC, "layer", ["layer1", "layer2"])
    assert compare(noisy, classifier, specs, tmp_path, **GIVEN, stop=lambda: True) is None
    for models, asked, message in (
        (classifier, specs[:1], "1 column cannot be compared; choose 2 to 4"),
        (classifier, specs * 3, "6 columns"),
        ([classifier] * 3, specs, "3 models and 2 specs"),
    ):
        with pytest.raises(SmoothsalError, match=message):
            compare(noisy, models, asked, tmp_path, **GIVEN)
