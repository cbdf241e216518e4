"""Hidden-layer saliency for whole-slide images: ``import napari_smoothsal as ss``.

The public names are imported when they are first used, so that neither torch nor
napari is loaded by ``import napari_smoothsal`` (napari reads the package at start).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_smoothsal.core.lazy import lazy_names

__version__ = "0.1.0"

_HOMES = {
    "CalibrationCheck": "core.calibration",
    "Compute": "core.specs",
    "ModelCard": "core.card",
    "SaliencySpec": "core.specs",
    "Perturbation": "core.perturbation",
    "SmoothsalError": "core.errors",
    "Tiling": "core.specs",
    "TrustCheck": "core.checks",
    "open_slide": "slides",
    "LayerInfo": "models",
    "Model": "models",
    "load_model": "models",
    "TileMaps": "attribution",
    "explain_tiles": "attribution",
    "optimise_masks": "attribution",
    "calibrate": "evaluation",
    "localisation": "evaluation",
    "total_variation": "evaluation",
    "TrustCard": "evaluation",
    "trust_card": "evaluation",
    "Run": "runs",
    "explain_slide": "runs",
    "explain_slides": "runs",
    "open_run": "runs",
    "plan_tiles": "runs",
    "WhatIf": "runs",
    "WhatIfView": "runs",
    "what_if": "runs",
}

__all__ = ["__version__", *sorted(_HOMES)]

if TYPE_CHECKING:
    from napari_smoothsal.attribution import TileMaps as TileMaps
    from napari_smoothsal.attribution import explain_tiles as explain_tiles
    from napari_smoothsal.attribution import optimise_masks as optimise_masks
    from napari_smoothsal.core.calibration import CalibrationCheck as CalibrationCheck
    from napari_smoothsal.core.card import ModelCard as ModelCard
    from napari_smoothsal.core.checks import TrustCheck as TrustCheck
    from napari_smoothsal.core.errors import SmoothsalError as SmoothsalError
    from napari_smoothsal.core.perturbation import Perturbation as Perturbation
    from napari_smoothsal.core.specs import Compute as Compute
    from napari_smoothsal.core.specs import SaliencySpec as SaliencySpec
    from napari_smoothsal.core.specs import Tiling as Tiling
    from napari_smoothsal.evaluation import TrustCard as TrustCard
    from napari_smoothsal.evaluation import calibrate as calibrate
    from napari_smoothsal.evaluation import localisation as localisation
    from napari_smoothsal.evaluation import total_variation as total_variation
    from napari_smoothsal.evaluation import trust_card as trust_card
    from napari_smoothsal.models import LayerInfo as LayerInfo
    from napari_smoothsal.models import Model as Model
    from napari_smoothsal.models import load_model as load_model
    from napari_smoothsal.runs import Run as Run
    from napari_smoothsal.runs import WhatIf as WhatIf
    from napari_smoothsal.runs import WhatIfView as WhatIfView
    from napari_smoothsal.runs import explain_slide as explain_slide
    from napari_smoothsal.runs import explain_slides as explain_slides
    from napari_smoothsal.runs import open_run as open_run
    from napari_smoothsal.runs import plan_tiles as plan_tiles
    from napari_smoothsal.runs import what_if as what_if
    from napari_smoothsal.slides import open_slide as open_slide

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
