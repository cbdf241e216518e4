"""What a Saliency dock is set to, for a shared view, and a dock set to what a view says."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from napari_smoothsal.core.errors import SmoothsalError

if TYPE_CHECKING:
    from napari_smoothsal.runs.shared_view import SharedSettings
    from napari_smoothsal.viewer.choice import Chosen
    from napari_smoothsal.viewer.map_display import MapDisplay
    from napari_smoothsal.viewer.slide_form import SlideForm
    from napari_smoothsal.viewer.spec_form import SpecForm


class DockSettings:
    """The forms of a dock, read and filled in as a whole.

    Parameters
    ----------
    dock
        A Saliency dock.
    """

    def __init__(self, dock: Any) -> None:
        self._dock = dock

    def told(self) -> SharedSettings | None:
        """What is set; None where something is missing, so that nothing could be computed."""
        from napari_smoothsal.runs.shared_view import SharedSettings

        colours: MapDisplay = self._dock.colours
        with contextlib.suppress(SmoothsalError):
            chosen: Chosen = self._dock.session.choice.now()
            return SharedSettings(
                model=chosen.model.name,
                model_mpp=chosen.model.given_mpp,
                spec=chosen.spec,
                tiling=chosen.tiling,
                precision=chosen.compute.precision,
                way=colours.way.currentText(),
                stretched=colours.stretched.isChecked(),
                calibrated=colours.calibrated.isChecked(),
            )
        return None

    def take_over(self, shared: SharedSettings) -> tuple[str, ...]:
        """Enter what a view says; what cannot be entered, in words."""
        slides: SlideForm = self._dock.slides
        form: SpecForm = self._dock.form
        colours: MapDisplay = self._dock.colours
        colours.stretched.setChecked(shared.stretched)
        colours.calibrated.setChecked(shared.calibrated)
        if colours.way.findText(shared.way) >= 0:
            colours.way.setCurrentText(shared.way)
        now = self._dock.model_name
        if now != shared.model:
            return (
                f"the view is of model {shared.model!r}, and here "
                + (f"{now!r} is chosen" if now else "none is chosen")
                + "; choose it in the Saliency dock, then open the view again",
            )
        if shared.model_mpp is not None:
            slides.models.mpp.value = shared.model_mpp
        computing = form.compute.values() | {"precision": shared.precision}
        form.restore(_values(shared) | {"compute": computing})
        found = form.spec()
        if found == shared.spec:
            return ()
        why = form.problem or "this version computes it in another way"
        return (f"not all settings could be entered: {why}",)


def _values(shared: SharedSettings) -> dict[str, Any]:
    """As a form takes them: without what is unset."""
    spec = {k: v for k, v in dict(shared.spec).items() if v is not None and k != "schema_version"}
    tiling = {k: v for k, v in dict(shared.tiling).items() if v is not None}
    return spec | {"tiling": tiling}
