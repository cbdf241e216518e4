"""What is done often does no more than it must while it holds the window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QWidget

from napari_smoothsal.viewer.run_bar import RunBar
from napari_smoothsal.viewer.slide_form import SlideForm
from napari_smoothsal.viewer.spec_form import SpecForm
from napari_smoothsal.viewer.tissue_layer import hide_tissue, show_tissue
from napari_smoothsal.viewer.told import Progressed, TissueFound


class Count(QObject):
    """How often widgets got an event."""

    def __init__(self, kind: QEvent.Type, *widgets: QWidget) -> None:
        super().__init__()
        self.number = 0
        self._kind = kind
        for widget in widgets:
            widget.installEventFilter(self)

    def eventFilter(self, _watched: Any, event: Any) -> bool:  # noqa: N802 - Qt's name
        self.number += event.type() == self._kind
        return False


def test_progress_is_painted_with_the_next_frame(qtbot: Any) -> None:
    bar = RunBar()
    qtbot.addWidget(bar)
    bar.show()
    qtbot.waitExposed(bar)
    bar.begin("Looking for tissue ...")
    told = {"id": 1, "total": 10, "failed": 0, "tiles_per_s": 2.0, "seconds_left": 3.0}
    bar.progress(Progressed(done=1, **told), kept=True)
    qtbot.wait(100)
    painted = Count(QEvent.Type.Paint, bar.progress_bar)
    bar.progress(Progressed(done=7, **told), kept=True)
    assert painted.number == 0
    assert bar.progress_bar.value() == 7
    qtbot.waitUntil(lambda: painted.number > 0)


def test_a_control_keeps_its_style_while_nothing_is_new(form: SpecForm, qtbot: Any) -> None:
    form.show()
    qtbot.waitExposed(form)
    styled = Count(QEvent.Type.StyleChange, form.controls["sigma"].native)
    form.controls["sigma"].value = -1
    assert form.spec() is None and styled.number == 1
    assert form.spec() is None and styled.number == 1


def test_a_layer_that_is_no_slide_is_no_other_choice(viewer: Any, qtbot: Any) -> None:
    slides = SlideForm(viewer)
    qtbot.addWidget(slides)
    chosen: list[Any] = []
    slides.slide_chosen.connect(lambda: chosen.append(slides.layer))
    slide = viewer.add_image(np.zeros((20, 30, 3), np.uint8), rgb=True)
    assert chosen[-1] is slide
    chosen.clear()
    values = viewer.add_image(np.zeros((20, 30)))
    viewer.layers.remove(values)
    assert chosen == []
    viewer.layers.remove(slide)
    assert chosen == [None]


@pytest.mark.parametrize("deleted", [False, True])
def test_the_outline_is_hidden_and_used_again(viewer: Any, deleted: bool) -> None:
    slide = viewer.add_image(
        np.zeros((200, 300, 3), np.uint8), rgb=True, scale=(0.5, 0.5), units=("um", "um")
    )

    def found(side: int) -> TissueFound:
        from base64 import b64encode
        from io import BytesIO

        from PIL import Image

        mask = np.zeros((side, side), np.uint8)
        mask[2:-2, 2:-2] = 255
        file = BytesIO()
        Image.fromarray(mask).save(file, "png")
        return TissueFound(
            id=1,
            share=0.5,
            source="test",
            mask_png=b64encode(file.getvalue()),
            scale_um=(100 / side, 100 / side),
            translate_um=(0.0, 0.0),
        )

    first = show_tissue(viewer, slide, (0.5, 0.5), found(10))
    hide_tissue(viewer)
    assert list(viewer.layers) == [slide, first] and not first.visible
    if deleted:
        viewer.layers.remove(first)
    second = show_tissue(viewer, slide, (0.5, 0.5), found(20))
    assert (second is first) != deleted
    assert list(viewer.layers) == [slide, second] and second.visible
    np.testing.assert_allclose(second.scale, (5, 5))
