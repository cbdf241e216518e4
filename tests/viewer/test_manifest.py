"""The manifest: valid, and everything it names is there."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from napari.components import ViewerModel
from napari.errors import MultipleReaderError, ReaderPluginError
from napari.settings import get_settings
from npe2 import PluginManager, PluginManifest
from npe2.cli import app
from typer.testing import CliRunner

import napari_smoothsal
from napari_smoothsal.core.errors import StoreError

MANIFEST = Path(napari_smoothsal.__file__).with_name("napari.yaml")
COMMANDS = [c.id for c in PluginManifest.from_file(MANIFEST).contributions.commands or ()]


def test_npe2_validates_it() -> None:
    result = CliRunner().invoke(app, ["validate", str(MANIFEST)])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_can_be_imported(command: str) -> None:
    manifest = PluginManifest.from_file(MANIFEST)
    assert manifest.contributions.commands is not None
    contribution = next(c for c in manifest.contributions.commands if c.id == command)
    module, _, name = str(contribution.python_name).partition(":")
    assert callable(getattr(__import__(module, fromlist=[name]), name))


def test_slides_and_stores_find_their_readers() -> None:
    manager = PluginManager()
    manager.register(PluginManifest.from_file(MANIFEST))
    for name in ("a.svs", "a.ndpi", "a.mrxs", "a.tiff", "a.dcm"):
        (reader,) = manager.iter_compatible_readers([name])
        assert reader.command == "napari-smoothsal.get_slide_reader"


def test_the_pattern_that_the_readme_gives_opens_stores_without_a_question(
    npe2pm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pattern = "*.smoothsal.zarr/"
    assert f"`{pattern}`" in (MANIFEST.parents[1] / "README.md").read_text(encoding="utf-8")
    store = tmp_path / "a.smoothsal.zarr"
    store.mkdir()
    (store / "zarr.json").write_text("{}")
    viewer = ViewerModel()
    with ExitStack() as registered:
        for manifest in (
            PluginManifest.from_file(MANIFEST),
            PluginManifest.from_distribution("napari"),
        ):
            registered.enter_context(npe2pm.tmp_plugin(manifest=manifest))
        with pytest.raises(MultipleReaderError):
            viewer.open(store, plugin=None)
        monkeypatch.setattr(
            get_settings().plugins, "extension2reader", {pattern: "napari-smoothsal"}
        )
        with pytest.raises(ReaderPluginError) as found:
            viewer.open(store, plugin=None)
    assert isinstance(found.value.original_error, StoreError)  # ours has looked at it


def test_no_torch_in_naparis_process_until_a_result_is_there() -> None:
    code = """
import sys
import napari_smoothsal.viewer.readers, napari_smoothsal.viewer.slide_layer
import napari_smoothsal.viewer.samples, napari_smoothsal.viewer.saliency_dock
import napari_smoothsal.viewer.map_layer, napari_smoothsal.viewer.overlay
import napari_smoothsal.viewer.verdicts_dock, napari_smoothsal.viewer.shared_view_dock
import napari_smoothsal.viewer.annotation_files, napari_smoothsal.viewer.annotation_layers
import napari_smoothsal.runs.verdicts, napari_smoothsal.runs.shared_view
import napari_smoothsal.viewer.trust_dock
import napari_smoothsal.viewer.what_if_dock
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
