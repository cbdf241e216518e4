"""``smoothsal layers``: what is listed, measured, and said where the probe disagrees."""

import json
from pathlib import Path

import pytest
from command_line import smoothsal


@pytest.fixture
def model(model_folder_of_classifier: Path) -> Path:
    return model_folder_of_classifier


def test_layers(model: Path) -> None:
    result = smoothsal("layers", model)
    assert result.exit_code == 0 and "layer3" in result.output
    listed = json.loads(smoothsal("layers", model, "--json").output)
    assert listed[0]["name"] == "input"
    by_name = {info["name"]: info for info in listed}
    assert by_name["layer3"]["stride"] == [16, 16]
    suggested = [name for name, info in by_name.items() if info["suggested"]]
    assert suggested == ["relu", "layer1", "layer2", "layer3", "layer4"]
    assert by_name["layer1"]["receptive_field"] == [43, 43]
    assert by_name["layer1"]["layout"] == {"order": "BCHW", "prefix": 0}
    marked = [line.split()[1] for line in result.output.splitlines() if line.startswith(" * ")]
    assert marked == suggested
    short = json.loads(smoothsal("layers", model, "--json", "--suggested").output)
    assert [info["name"] for info in short] == suggested


def test_layers_measured(model: Path) -> None:
    result = smoothsal("layers", model, "--check", "--cost")
    assert result.exit_code == 0, result.output
    assert (
        "relu: probe agrees: stride 2.00 (to 0.4), centre 0.00 (to 0.5) px, sees 7 px\n"
        in result.output
    )
    assert "20 noise samples" in result.output and "on cpu" in result.output
    table = result.output[: result.output.index("relu: probe")].splitlines()
    assert [line for line in table if len(line) > 80] == []
    listed = json.loads(smoothsal("layers", model, "--check", "--cost", "--json").output)
    (layer2,) = (info for info in listed if info["name"] == "layer2")
    assert layer2["probe"]["contradictions"] == [] and layer2["probe"]["tight"]
    assert 0 < layer2["cost"]["seconds"] < 60
    assert all(("probe" in info) == info["suggested"] for info in listed)


def test_layers_that_the_probe_contradicts(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_smoothsal.models import impulse

    monkeypatch.setattr(impulse.Impulse, "contradictions", lambda _self, _info: ["stride y: no"])
    result = smoothsal("layers", model, "--check")
    assert result.exit_code == 1
    assert "layer2: probe disagrees: stride y: no" in result.output
