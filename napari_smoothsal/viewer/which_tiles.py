"""Which tiles of a slide are explained once all are predicted: the setting, and its form."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from qtpy.QtWidgets import QWidget

from napari_smoothsal.core.errors import SmoothsalError
from napari_smoothsal.core.settings import Settings
from napari_smoothsal.runs.choice import EXAMPLE, Choice
from napari_smoothsal.viewer.offered import ModelDescribed
from napari_smoothsal.viewer.settings_form import SettingsForm

LABELS = {"where": "explain only where", "top": "at most N tiles"}
ALL = "all tiles"
"""Stands in empty lines."""


class WhichTiles(Settings):
    """Which tiles are explained; all of them unless something is set."""

    where: str | None = Field(
        None,
        min_length=1,
        description="Of Explain slide and Explain region: predict all tiles first, then explain "
        f"those of which this is true, e.g. {EXAMPLE}. The rest is dotted: predicted, not "
        "explained. Empty: all.",
    )
    top: int | None = Field(
        None,
        ge=1,
        description="Of Explain slide and Explain region: predict all tiles first, then explain "
        "so many of them at most, those with the highest probability of the class that is "
        "explained. Empty: all.",
    )

    @property
    def all(self) -> bool:
        """Whether nothing is left out."""
        return self.where is None and self.top is None

    def given(self) -> dict[str, Any]:
        """What is set, by name."""
        return {k: v for k, v in (("where", self.where), ("top", self.top)) if v is not None}


class WhichTilesForm(SettingsForm[WhichTiles]):
    """Its controls; an expression must mean something for the model that is chosen."""

    def __init__(self, parent: QWidget | None = None) -> None:
        self._model: ModelDescribed | None = None
        super().__init__(WhichTiles, "", parent, labels=LABELS)
        for control in self.controls.values():
            control.native.setPlaceholderText(ALL)

    def describe_model(self, model: ModelDescribed | None) -> None:
        """Another model is chosen, or none: look at the expression again."""
        self._model = model
        self.settings()

    def refusals(self, settings: WhichTiles) -> dict[str, str]:
        """What of settings that are well formed cannot work with the model, by field."""
        if self._model is None or settings.where is None:
            return {}
        try:
            Choice(settings.where, None).check(self._model.classes, self._model.outcomes)
        except SmoothsalError as error:
            return {"where": str(error)}
        return {}
