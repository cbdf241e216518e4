"""Choice: what the Saliency dock is set to, for the docks beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_smoothsal.core.specs import Compute, SaliencySpec, Tiling
from napari_smoothsal.viewer.offered import ModelDescribed
from napari_smoothsal.viewer.requests import ExplainedSlide, NotExplainableError
from napari_smoothsal.viewer.told import TileRow
from napari_smoothsal.viewer.which_tiles import WhichTiles

if TYPE_CHECKING:
    from napari_smoothsal.runs.shared_view import SharedSettings
    from napari_smoothsal.viewer.shared_settings import DockSettings

NO_DOCK = "open the Saliency dock, then the view again, to take over its settings"


@dataclass(frozen=True)
class Chosen:
    """What is to be explained, how, and of which model.

    Attributes
    ----------
    slide, spec, model, tiling, compute
        As the dock is set; the model's resolution is known.
    which
        Of the tiles, where not a view is explained.
    limits
        Tells the limits that the user measured of the model from those before; empty: none.
    """

    slide: ExplainedSlide
    spec: SaliencySpec
    model: ModelDescribed
    tiling: Tiling
    compute: Compute
    which: WhichTiles
    limits: str = ""

    @property
    def settings(self) -> object:
        """What makes one map another than the next, but for the place."""
        rest = (self.compute.precision, self.model.source, self.slide.mpp, self.limits)
        return (self.spec, self.tiling, *rest)


class Choice(QObject):
    """Slide, spec and model.

    Signals
    -------
    settled()
        What is chosen, or what is in view, has changed and come to rest.
    explained(object, object)
        An `ExplainedSlide`, and the `TileRow` of each of its tiles that was explained.
    limits_changed()
        Maps are shown by other limits from now on.
    """

    settled = Signal()
    limits_changed = Signal()
    explained = Signal(object, object)

    def __init__(self) -> None:
        super().__init__()
        self._make: Callable[[], Chosen] | None = None
        self._settings: DockSettings | None = None
        self.last_explained: tuple[ExplainedSlide, tuple[TileRow, ...]] | None = None

    def tell_explained(self, slide: ExplainedSlide, rows: tuple[TileRow, ...]) -> None:
        """Something that is kept was explained; a dock that opens later hears of it, too."""
        self.last_explained = (slide, rows)
        self.explained.emit(slide, rows)

    def made_by(self, make: Callable[[], Chosen]) -> None:
        """Whoever knows it."""
        self._make = make

    def left_by(self, make: Callable[[], Chosen]) -> None:
        """Whoever knows it no more."""
        if self._make == make:
            self._make = None

    def settings_of(self, settings: DockSettings | None) -> None:
        """Whoever can be set to what a shared view says; None: nobody any more."""
        self._settings = settings

    def shared(self) -> SharedSettings | None:
        """What is chosen, as a shared view says it; None where nothing could be computed."""
        return None if self._settings is None else self._settings.told()

    def take_over(self, shared: SharedSettings) -> tuple[str, ...]:
        """Choose what a shared view says; what could not be chosen, in words."""
        if self._settings is None:
            return (NO_DOCK,)
        return self._settings.take_over(shared)

    def key(self, viewer: Any) -> object:
        """Changes where what is chosen, or the part of it that is in view, does.

        Raises
        ------
        NotExplainableError
            As `now`, or where the slide is out of sight.
        """
        chosen = self.now()
        slide, settings = chosen.slide, (chosen.spec, chosen.tiling, chosen.compute)
        view = slide.view(viewer)
        about = (str(slide.layer.unique_id), slide.mpp, chosen.model.source, chosen.limits)
        return (*about, view, settings)

    def now(self) -> Chosen:
        """What is chosen.

        Raises
        ------
        NotExplainableError
            Where something is missing; the message says what.
        """
        if self._make is None:
            raise NotExplainableError(
                "open the Saliency dock: slide, model and settings are chosen there"
            )
        return self._make()
