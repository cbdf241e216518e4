"""Opening napari from a script or the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import QTimer

from napari_smoothsal.viewer.class_layer import finish_class_layer
from napari_smoothsal.viewer.readers import read_slides, read_stores

LAYOUT_MS = 1500


def viewer_with(store: str | Path | None = None, slide: str | Path | None = None) -> Any:
    """A napari viewer on a slide, the maps of a store, or both, with the dock open."""
    import napari

    viewer = napari.Viewer(title="napari-smoothsal")
    viewer.window.add_plugin_dock_widget("napari-smoothsal", "Saliency")
    for path, read in ((slide, read_slides), (store, read_stores)):
        if path is not None:
            for data, options, kind in read(str(path)):
                layer = viewer.add_layer(napari.layers.Layer.create(data, options, kind))
                if kind == "labels":
                    finish_class_layer(layer)
    viewer.canvas.overlays.scale_bar.visible = True
    # The dock takes its room from the canvas once the window is laid out.
    QTimer.singleShot(LAYOUT_MS, viewer.reset_view)
    return viewer


def show_run(store: str | Path, slide: str | Path | None = None) -> None:
    """Open napari on a store, and wait until its window is closed.

    Parameters
    ----------
    store
        Folder that `explain_slide` wrote.
    slide
        The slide it was computed from; without it the store's overview is shown.
    """
    import napari

    viewer_with(store, slide)
    napari.run()
