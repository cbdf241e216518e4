"""Scenes of the gallery: compare, trust, annotate, judge, share, and ask what if."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from gallery_mouse import (
    CENTRE,
    NEST_UM,
    NORMAL,
    NORMAL_UM,
    by_deeplift,
    click,
    dock_in_front,
    draw_around,
    fill_in,
    grab,
    pick,
    whole_slide,
)
from qtpy.QtGui import QGuiApplication
from screenshot import draw, wait


def compared(viewer: Any, dock: Any) -> None:
    """A view in three ways beside each other: a window of its own."""
    other = compare_view(viewer, dock, "original", "backward_hook", "centred_hook")
    grab(other.window_of_columns, "compared")


def compare_dock(viewer: Any, dock: Any) -> None:
    """The dock with what it measured of three layers."""
    fill_in(dock.form.controls["samples"].native, "4")
    other = dock_in_front(viewer, "Compare")
    pick(other.form.varied, "layer")
    compare_by(other, "layer1", "layer2", "layer3")
    grab(other.window_of_columns, "compared_layers")


def compare_view(viewer: Any, dock: Any, *values: str) -> Any:
    """The Compare dock in front, with some denoisings compared."""
    fill_in(dock.form.controls["samples"].native, "4")
    other = dock_in_front(viewer, "Compare")
    compare_by(other, *values)
    return other


def compare_by(dock: Any, *values: str) -> None:
    """Check values and nothing else, click, and wait."""
    dock.form.check(*values)
    click(dock.compare)
    wait(lambda: not dock.busy)
    draw(2.0)


def trust(viewer: Any, dock: Any) -> None:
    """The trust card of a view, beside its map."""
    click(dock.bar.explain_view)
    wait(lambda: dock.bar.status.startswith("Done"))
    other = dock_in_front(viewer, "Trust")
    click(other.test)
    wait(lambda: not other.busy)
    draw(1.0)


def own_limits(viewer: Any, dock: Any) -> None:
    """A view under limits that were measured on a drawn region of normal tissue."""
    viewer.scene.camera.center = (0.0, 1150.0, 880.0)
    viewer.scene.camera.zoom = viewer.canvas.size[1] / 1650
    fill_in(dock.form.controls["samples"].native, "4")
    down, right = np.divide(NORMAL_UM, 2)
    corners = np.array([(-down, -right), (-down, right), (down, right), (down, -right)])
    viewer.add_shapes(
        [corners + NORMAL],
        shape_type="polygon",
        edge_width=10,
        edge_color="#00e5ff",
        face_color="transparent",
        units=("um", "um"),
        name="normal tissue",
    )
    other = dock_in_front(viewer, "Trust")
    click(other.limits.calibrate)
    wait(lambda: not other.busy)
    click(dock.bar.explain_view)
    wait(lambda: dock.bar.status.startswith("Done"))
    draw(1.0)


def annotations(viewer: Any, dock: Any) -> None:
    """Annotations of QuPath on the slide, with holes and classes, over a map."""
    from napari_smoothsal.annotations import Annotation, Annotations, write_annotations

    click(dock.bar.explain_view)
    wait(lambda: dock.bar.status.startswith("Done"))
    y, x = (2 * at for at in CENTRE)
    round_ = (
        shapely.Point(x + 30, y - 40)
        .buffer(190)
        .difference(shapely.Point(x + 80, y - 60).buffer(60))
    )
    other = shapely.box(x - 480, y + 40, x - 240, y + 260)
    marked = Annotations(
        (
            Annotation(round_, "Tumor", (200, 0, 0)),
            Annotation(other, "Stroma", (0, 130, 60)),
            Annotation(
                shapely.MultiPoint([(x - 30, y - 130), (x, y + 60)]), "Mitosis", (0, 0, 200)
            ),
        )
    )
    with tempfile.TemporaryDirectory() as folder:
        path = write_annotations(Path(folder) / "case.geojson", marked)
        viewer.open(str(path), plugin="napari-smoothsal")
    draw(0.5)


def verdicts(viewer: Any, dock: Any) -> None:
    """Hotspots of the slide's map, some of them judged."""
    whole_slide(viewer, dock)
    other = dock_in_front(viewer, "Verdicts")
    click(other.search)
    wait(lambda: not other.busy)
    notes = (("agree", "tumour nuclei"), ("wrong", "stroma"), ("agree", "tumour nuclei"))
    for row, (said, note) in enumerate(notes):
        rows = [place.verdict is None for place in other.table.places]
        other.table.choose(rows.index(True))
        fill_in(other.note, note)
        click(other.said[said])
        wait(lambda row=row: sum(p.verdict is not None for p in other.table.places) == row + 1)
    other.table.choose(0)
    viewer.scene.camera.zoom *= 0.25
    draw(0.5)


def shared_view(viewer: Any, dock: Any) -> None:
    """A link to this place, opened somewhere else on the slide."""
    by_deeplift(dock)
    click(dock.bar.explain_view)
    wait(lambda: dock.bar.status.startswith("Done"))
    other = dock_in_front(viewer, "Shared view")
    click(other.copy)
    link = QGuiApplication.clipboard().text()
    viewer.reset_view()
    fill_in(other.link, link)
    draw(0.5)


def what_if(viewer: Any, dock: Any) -> None:
    """A nest of tumour removed, by three fills, and revealed alone; the last removal is on show."""
    fill_in(dock.form.controls["samples"].native, "4")
    other = dock_in_front(viewer, "What if")
    wait(lambda: other.fill.count() > 0)
    click(other.draw)
    draw_around(viewer, NEST_UM)
    for fill, press in (
        ("tissue mean", other.reveal),
        ("tissue mean", other.remove),
        ("blurred", other.remove),
        ("inpainted", other.remove),
    ):
        pick(other.fill, fill)
        click(press)
        wait(lambda: not other.busy)
    viewer.layers.selection.active = None
