"""Fixtures of the viewer's tests: a small model folder, painted slides, an engine that ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import napari.settings
import psutil
import pytest

# Before Qt: on Windows torch's libraries cannot be loaded once Qt's are.
import torch
from forked_engine import COMMAND as FORKED
from forked_engine import forking_engines
from napari.components import ViewerModel
from qtpy.QtCore import QCoreApplication, QEvent
from viewer_listening import PATIENCE_MS, described
from viewer_pictures import tissue, write_tiff

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.kept_calibrations import ELSEWHERE
from napari_smoothsal.viewer import engine as engine_process
from napari_smoothsal.viewer.asked import Describe
from napari_smoothsal.viewer.engine_work import Engine
from napari_smoothsal.viewer.map_display import MapDisplay
from napari_smoothsal.viewer.messages import answer_of, line_of
from napari_smoothsal.viewer.offered import Described
from napari_smoothsal.viewer.readers import read_slides
from napari_smoothsal.viewer.saliency_dock import SaliencyDock
from napari_smoothsal.viewer.session import session_of
from napari_smoothsal.viewer.spec_form import SpecForm

STARTED_ANEW = engine_process.COMMAND

CARD = ModelCard(
    name="tiny",
    kind="classification",
    class_names=("normal", "tumour"),
    default_target="tumour",
    background="normal",
    input_size=64,
    input_mpp=0.5,
    mean=(0.7, 0.5, 0.7),
    std=(0.2, 0.2, 0.2),
    architecture={
        "library": "napari_smoothsal",
        "name": "narrow_resnet18",
        "width": 4,
        "num_classes": 2,
    },
)


@pytest.fixture(autouse=True)
def remembered_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What docks remember stays in the test's folder."""
    monkeypatch.setattr(napari.settings, "_CFG_PATH", tmp_path / "napari" / "settings.yaml")
    monkeypatch.setattr(napari.settings, "_PLUGIN_SETTINGS", {})
    monkeypatch.setenv(ELSEWHERE, str(tmp_path / "calibrations"))


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A narrow ResNet-18 with random weights on 64 px tiles."""
    from safetensors.torch import save_file

    from napari_smoothsal.models.architectures import NarrowResNet18

    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    torch.manual_seed(0)
    save_file(NarrowResNet18(4, 2).state_dict(), folder / "model.safetensors")
    card = CARD.model_dump(mode="json")
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    return folder


@pytest.fixture
def tiff_slide(tmp_path: Path) -> Path:
    """A tiled pyramidal TIFF of tissue, 0.5 um per pixel, that OpenSlide opens."""
    return write_tiff(tmp_path / "case.tif", tissue(700, 900))


@pytest.fixture(scope="module")
def engine(qapp: Any) -> Iterator[Any]:
    """An engine process that the tests of a module share: starting one takes seconds."""
    yield from _ending_engine()


@pytest.fixture
def own_engine(qapp: Any) -> Iterator[Any]:
    """An engine process for a test that ends it."""
    yield from _ending_engine()


def _ending_engine() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(engine_process, "COMMAND", STARTED_ANEW)
        process = engine_process.EngineProcess()
        yield process
        process.close()


@pytest.fixture(scope="session", autouse=True)
def quick_engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The docks' engines are forked where that can be done; `own_engine` is started anew."""
    if sys.platform != "linux":
        yield
        return
    with (
        forking_engines(tmp_path_factory.mktemp("engines")),
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setattr(engine_process, "COMMAND", FORKED)
        yield


@pytest.fixture
def viewer() -> Any:
    model = ViewerModel()
    model.canvas.size = (200, 300)
    return model


@pytest.fixture
def display(viewer: Any, qtbot: Any) -> Iterator[MapDisplay]:
    widget = MapDisplay(viewer)
    qtbot.addWidget(widget)
    yield widget
    widget.disconnect_viewer()


@pytest.fixture
def dock(viewer: Any, qtbot: Any) -> Iterator[SaliencyDock]:
    widget = SaliencyDock(viewer)
    session = session_of(viewer)
    yield widget
    folder, engine = session.folder, session.engine.process_id
    widget.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    # Nothing is left of it: no process, no folder.
    assert not folder.exists()
    assert engine == 0 or not psutil.pid_exists(engine)


@pytest.fixture
def slide(viewer: Any, tiff_slide: Path) -> Any:
    ((data, options, _),) = read_slides(str(tiff_slide))
    layer = viewer.add_image(data, **options)
    viewer.scene.camera.center = (0.0, 100.0, 100.0)
    viewer.scene.camera.zoom = 2.0  # one screen pixel per slide pixel
    return layer


@pytest.fixture
def ready(dock: SaliencyDock, slide: Any, model_folder: Path, qtbot: Any) -> SaliencyDock:
    dock.slides.add_model(str(model_folder))
    qtbot.waitUntil(lambda: bool(dock.form.controls["layer"].value), timeout=PATIENCE_MS)
    dock.form.controls["samples"].value = 0
    return dock


@pytest.fixture
def form(model_folder: Path, qtbot: Any) -> SpecForm:
    """A form with what the engine says of the denoisings, as it comes out of the pipe."""
    said: list[Any] = []
    Engine(said.append, lambda _: False).describe(Describe(id=1))
    answer = answer_of(line_of(said[0]))
    assert isinstance(answer, Described)
    made = SpecForm()
    qtbot.addWidget(made)
    made.describe(answer)
    made.describe_model(described(model_folder))
    made.controls["samples"].value = 0
    return made


@pytest.fixture
def window_of_its_own(
    tiff_slide: Path, model_folder: Path, tmp_path: Path
) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a scene of `scripted_window.py`; temporary files and settings stay in the test's
    folder."""
    script = Path(__file__).with_name("scripted_window.py")
    (tmp_path / "temp").mkdir()
    own = {
        **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(tmp_path / "temp")),
        "NAPARI_CONFIG": str(tmp_path / "settings" / "settings.yaml"),
    }
    started: list[subprocess.Popen[bytes]] = []

    def start(scene: str, **environment: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(script), scene, str(tiff_slide), str(model_folder)]
        surroundings = {**os.environ, **own, **environment}
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, env=surroundings))
        return started[-1]

    yield start
    for window in started:
        window.kill()
        window.communicate()
