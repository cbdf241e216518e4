"""Names of maps: what differs is said, on every system, and old stores keep theirs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from small_runs import assert_same_bits, explained

from napari_smoothsal import Compute, SaliencySpec, open_run
from napari_smoothsal.models import Model
from napari_smoothsal.runs.keys import map_keys
from napari_smoothsal.slides import ArraySlide


def keys_of(*fields: dict[str, Any], **same: Any) -> list[str]:
    specs = [SaliencySpec(**{"layer": "layer1", **same, **one}) for one in fields]
    return map_keys(specs, ["tumour"] * len(specs))


def test_a_spec_alone_or_beside_others_is_named_by_what_it_is_of() -> None:
    told = {"method_options": {"masks": 500}, "denoising_options": {"strength": 0.5}, "seed": 3}
    assert keys_of(told) == ["layer1.centred_hook.activation_x_gradient.tumour"]
    assert keys_of({"method": "rise", **told}, {"layer": "layer2", **told}) == [
        "layer1.centred_hook.rise.tumour",
        "layer2.centred_hook.activation_x_gradient.tumour",
    ]


def test_specs_that_differ_in_options_or_settings_say_in_which() -> None:
    options = [{"masks": 100, "fill": "white"}, {"masks": 500, "fill": "white"}]
    assert keys_of(*({"method_options": one} for one in options), method="rise") == [
        "layer1.centred_hook.rise+masks=100.tumour",
        "layer1.centred_hook.rise+masks=500.tumour",
    ]
    strengths = [{}, {"strength": 0.5}]
    assert keys_of(*({"denoising_options": one} for one in strengths), jitter=True) == [
        "layer1.centred_hook+jitter.activation_x_gradient.tumour",
        "layer1.centred_hook+strength=0.5+jitter.activation_x_gradient.tumour",
    ]
    assert keys_of({"samples": 5}, {"samples": 5, "reduction": "mean"}, {"samples": 9}) == [
        "layer1.centred_hook.activation_x_gradient.tumour+samples=5+reduction=sum",
        "layer1.centred_hook.activation_x_gradient.tumour+samples=5+reduction=mean",
        "layer1.centred_hook.activation_x_gradient.tumour+samples=9+reduction=sum",
    ]


def test_equal_specs_and_values_that_look_alike_are_counted() -> None:
    assert keys_of({}, {}, {}) == [
        f"layer1.centred_hook.activation_x_gradient.tumour{n}" for n in ("", "~2", "~3")
    ]
    fills = [{"method_options": {"fill": fill}} for fill in ("a b", "a_b", "a/b")]
    keys = keys_of(*fills)
    assert len(set(keys)) == 3
    # What Windows, macOS and Linux take as a file's name, and none reads as a formula or a folder.
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+=~-]*[A-Za-z0-9]", key) for key in keys)


@pytest.fixture
def specs() -> list[SaliencySpec]:
    return [
        SaliencySpec(layer="layer2", samples=0, denoising_options={"strength": strength})
        for strength in (1.0, 0.25)
    ]


def test_a_run_names_its_maps_and_goes_on_with_them(
    specs: list[SaliencySpec], noisy: ArraySlide, classifier: Model, tmp_path: Path
) -> None:
    compute = Compute(batch_size=3, device="cpu")
    whole = explained(noisy, classifier, tmp_path / "whole.zarr", specs, compute=compute)
    assert [key.split(".", 1)[1] for key in whole.maps] == [
        "centred_hook+strength=1.0.activation_x_gradient.tumour",
        "centred_hook+strength=0.25.activation_x_gradient.tumour",
    ]
    assert {f"tv_{key}" for key in whole.maps} <= set(whole.tiles.columns)
    path = tmp_path / "part.zarr"
    stop = iter((False, True)).__next__
    part = explained(noisy, classifier, path, specs, compute=compute, stop=stop)
    assert part.status == "running"
    assert_same_bits(whole, explained(noisy, classifier, path, specs, compute=compute))


def test_a_store_of_before_options_were_named_keeps_its_names(
    specs: list[SaliencySpec], noisy: ArraySlide, classifier: Model, tmp_path: Path
) -> None:
    compute = Compute(batch_size=3, device="cpu")
    whole = explained(noisy, classifier, tmp_path / "whole.zarr", specs, compute=compute)
    path = tmp_path / "old.zarr"
    stop = iter((False, True)).__next__
    explained(noisy, classifier, path, specs, compute=compute, stop=stop)
    base = "layer2.centred_hook.activation_x_gradient.tumour"
    old = dict(zip(open_run(path).maps, (base, f"{base}~2"), strict=True))
    for new, name in old.items():
        (path / "maps" / new).rename(path / "maps" / name)
    about = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
    about["attributes"]["smoothsal"]["maps"] = list(old.values())
    (path / "zarr.json").write_text(json.dumps(about), encoding="utf-8")
    resumed = explained(noisy, classifier, path, specs, compute=compute)
    assert resumed.status == "complete" and list(resumed.maps) == list(old.values())
    for new, name in old.items():
        assert (resumed.maps[name].levels[0][:] == whole.maps[new].levels[0][:]).mean() > 0.5
