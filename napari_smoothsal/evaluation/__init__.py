"""How good a map is. No name here needs torch to be imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_smoothsal.core.lazy import lazy_names
from napari_smoothsal.core.total_variation import total_variation

__all__ = ["TrustCard", "calibrate", "localisation", "total_variation", "trust_card"]

if TYPE_CHECKING:
    from napari_smoothsal.evaluation.localised_run import localisation as localisation
    from napari_smoothsal.evaluation.measured_limits import calibrate as calibrate
    from napari_smoothsal.evaluation.trust import TrustCard as TrustCard
    from napari_smoothsal.evaluation.trust import trust_card as trust_card

__getattr__ = lazy_names(
    __name__,
    {
        "calibrate": "measured_limits",
        "localisation": "localised_run",
        "TrustCard": "trust",
        "trust_card": "trust",
    },
)
