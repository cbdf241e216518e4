"""How good a map is. No name here needs torch to be imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_smoothsal.core.lazy import lazy_names
from napari_smoothsal.core.total_variation import total_variation

__all__ = ["calibrate", "localisation", "total_variation"]

if TYPE_CHECKING:
    from napari_smoothsal.evaluation.calibration import calibrate as calibrate
    from napari_smoothsal.evaluation.localised_run import localisation as localisation

__getattr__ = lazy_names(__name__, {"calibrate": "calibration", "localisation": "localised_run"})
