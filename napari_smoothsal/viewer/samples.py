"""File > Open Sample: the synthetic slide, alone or with its saliency."""

from __future__ import annotations

import atexit
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from napari_smoothsal.slides.sample import sample_slide_path
from napari_smoothsal.viewer.slide_layer import LayerData, open_slide_layer

_FILES = ExitStack()

PART_UM = ((1270.0, 1290.0), 560.0)
"""Centre (y, x) and width of the part that is explained: tumour beside normal tissue."""

LAYOUT_MS = 150


def sample_slide() -> list[LayerData]:
    """The synthetic slide that is shipped with the package."""
    return [open_slide_layer(_path(), "sample slide (synthetic)")]


def sample_saliency() -> list[LayerData]:
    """The synthetic slide; the dock opens beside it and explains a part of it, here and now.

    A part, since the whole slide takes minutes on a small machine; and nothing precomputed,
    since it would be there without the model having looked.
    """
    import napari
    from qtpy.QtCore import QTimer

    viewer = napari.current_viewer()
    if viewer is not None:
        # After napari has added the layer that is returned here.
        QTimer.singleShot(0, lambda: _explain_part(viewer))
    return sample_slide()


def _explain_part(viewer: Any) -> None:
    from qtpy.QtCore import QTimer

    _, dock = viewer.window.add_plugin_dock_widget("napari-smoothsal", "Saliency")

    def look_and_explain() -> None:
        centre, width = PART_UM
        viewer.scene.camera.center = (0.0, *centre)
        viewer.scene.camera.zoom = viewer.canvas.size[1] / width
        dock.explain_view_when_ready(method="activation_x_gradient")

    # The dock takes its room from the canvas once the window is laid out.
    timer = QTimer(dock)
    timer.setSingleShot(True)
    timer.timeout.connect(look_and_explain)
    timer.start(LAYOUT_MS)


def _path() -> Path:
    # A zipped installation unpacks the file; it is needed as long as the layer.
    if not hasattr(_path, "found"):
        atexit.register(_FILES.close)
        _path.found = _FILES.enter_context(sample_slide_path())  # type: ignore[attr-defined]
    return Path(_path.found)  # type: ignore[attr-defined]
