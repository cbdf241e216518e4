"""Every method, chosen in the Saliency dock of one real window: a map, its title, its legend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import napari.settings
import numpy as np
import pytest
from viewer_listening import PATIENCE_MS, finish
from viewer_pictures import tissue, write_tiff

from napari_smoothsal.attribution import METHODS
from napari_smoothsal.attribution.base import ImageMethod

pytestmark = pytest.mark.gl

FREE = {"mask_px": 8, "iterations": 2, "sparsity": 0.0, "smoothness": 0.0}
"""Of a mask that nothing holds: a random network's probability is hardly worth one."""
QUICK: dict[str, dict[str, Any]] = {
    "integrated_gradients": {"steps": 3},
    "gradient_shap": {"baseline": "white", "draws": 2},  # the models bring no normal tissue
    "rise": {"masks": 12, "cells": 3},
    "occlusion": {"size_px": 32},
    "lime": {"samples": 12, "size_px": 32},
    "kernel_shap": {"samples": 12, "size_px": 32},
    "shapley_sampling": {"permutations": 2, "size_px": 32},
    **dict.fromkeys(("igos", "igos_plus", "igos_plus_plus"), FREE | {"steps": 2}),
    "meaningful_perturbation": FREE,
    "extremal_perturbation": {"mask_px": 8, "iterations": 2},
}
"""Enough to see something."""
HIDDEN = {"model_folder": "layer2", "segmenter_folder": "encoder.layer2"}
"""Where each model is looked at, as the dock proposes."""


@pytest.fixture(scope="module")
def window(qapp: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The window that all of them are tried in."""
    folder = tmp_path_factory.mktemp("window")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(napari.settings, "_CFG_PATH", folder / "settings.yaml")
        patch.setattr(napari.settings, "_PLUGIN_SETTINGS", {})
        viewer = napari.Viewer(show_welcome_screen=False)
        viewer.window.resize(800, 500)
        path = write_tiff(folder / "case.tif", tissue(512, 512))
        viewer.open(path, plugin="napari-smoothsal")
        yield viewer
        viewer.close()


# A classifier is enough for words and legends; what methods do of a segmentation model is tested
# without a window.
PARAMS = ["model_folder", pytest.param("segmenter_folder", marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=PARAMS)
def dock(window: Any, request: pytest.FixtureRequest) -> Iterator[tuple[Any, str]]:
    """A dock with a model, and the layer it looks at."""
    frame, dock = window.window.add_plugin_dock_widget("napari-smoothsal", "Saliency")
    dock.slides.add_model(str(request.getfixturevalue(request.param)))
    dock.form.tiling.controls["tile_px"].value = "64"
    yield dock, HIDDEN[request.param]
    window.window.remove_dock_widget(frame)


@pytest.mark.parametrize("name", METHODS)
def test_it_shows_its_map_under_its_own_words(
    name: str, dock: tuple[Any, str], window: Any, qtbot: Any
) -> None:
    (saliency, hidden), method = dock, METHODS[name]
    controls, at_the_image = saliency.form.controls, isinstance(method, ImageMethod)
    qtbot.waitUntil(lambda: bool(controls["layer"].value), timeout=PATIENCE_MS)
    window.scene.camera.center, window.scene.camera.zoom = (0.0, 128.0, 128.0), 16.0
    controls["samples"].value, controls["method"].value = "2", name
    told = {"target_pixels": "all"} if hidden.startswith("encoder") else {}
    for option, value in (QUICK.get(name, {}) | told).items():
        saliency.form.options["method_options"].controls[option].value = value
    saliency.bar.explain_view.click()
    finish(saliency, qtbot)
    assert saliency.bar.status.startswith("Done."), saliency.bar.status
    spec = saliency.form.spec()
    layer = "input" if at_the_image else hidden
    denoising = "centred hook" if method.uses_gradients else "original"
    assert (spec.layer, spec.denoising.replace("_", " "), spec.method) == (layer, denoising, name)
    (shown,) = (x for x in window.layers if "|" in x.name and x.visible)
    positive = f"{method.positive} tumour" if method.of_the_target else method.positive
    both, negative = positive, "no influence"
    if method.negative:
        both = f"{positive} / {method.negative}"
        negative = f"{method.negative} tumour" if method.of_the_target else method.negative
    assert shown.name == (
        f"{layer} | {denoising} | {spec.method_label.replace('_', ' ')} | {both} (view)"
    )
    assert f"<td>{negative}</td>" in saliency.colours.text
    assert f"<td align='right'>{positive}</td>" in saliency.colours.text
    values = np.asarray(shown.data)
    there = values[np.isfinite(values)]
    assert there.size > values.size / 2 and np.abs(there).max() > 0 and np.ptp(there) > 0
