"""Hidden-layer saliency for whole-slide images: ``import napari_smoothsal as ss``.

The public names are imported when they are first used, so that neither torch nor
napari is loaded by ``import napari_smoothsal`` (napari reads the package at start).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_smoothsal.core.lazy import lazy_names

__version__ = "0.1.0"

_HOMES = {
    "Annotation": "annotations",
    "Annotations": "annotations",
    "read_annotations": "annotations",
    "write_annotations": "annotations",
    "CalibrationCheck": "core.calibration",
    "Comparison": "runs",
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
    "calibrate_on_region": "runs",
    "trust_of_region": "runs",
    "Run": "runs",
    "columns_figure": "render.columns_figure",
    "compare": "runs",
    "variants": "core.variants",
    "explain_slide": "runs",
    "explain_slides": "runs",
    "open_run": "runs",
    "plan_tiles": "runs",
    "Hotspot": "core.hotspot",
    "hotspot_at": "runs.hotspots",
    "hotspots": "runs.hotspots",
    "measured_place": "runs.hotspots",
    "Verdict": "runs.verdicts",
    "Verdicts": "runs.verdicts",
    "add_verdict": "runs.verdicts",
    "change_verdict": "runs.verdicts",
    "export_verdicts": "runs.verdicts",
    "read_verdicts": "runs.verdicts",
    "remove_verdict": "runs.verdicts",
    "SharedView": "runs.shared_view",
    "read_shared_view": "runs.shared_view",
    "view_as_link": "runs.shared_view",
    "view_of_link": "runs.shared_view",
    "write_shared_view": "runs.shared_view",
    "WhatIf": "runs",
    "WhatIfView": "runs",
    "what_if": "runs",
}

__all__ = ["__version__", *sorted(_HOMES)]

if TYPE_CHECKING:
    from napari_smoothsal.annotations import Annotation as Annotation
    from napari_smoothsal.annotations import Annotations as Annotations
    from napari_smoothsal.annotations import read_annotations as read_annotations
    from napari_smoothsal.annotations import write_annotations as write_annotations
    from napari_smoothsal.attribution import TileMaps as TileMaps
    from napari_smoothsal.attribution import explain_tiles as explain_tiles
    from napari_smoothsal.attribution import optimise_masks as optimise_masks
    from napari_smoothsal.core.calibration import CalibrationCheck as CalibrationCheck
    from napari_smoothsal.core.card import ModelCard as ModelCard
    from napari_smoothsal.core.checks import TrustCheck as TrustCheck
    from napari_smoothsal.core.errors import SmoothsalError as SmoothsalError
    from napari_smoothsal.core.hotspot import Hotspot as Hotspot
    from napari_smoothsal.core.perturbation import Perturbation as Perturbation
    from napari_smoothsal.core.specs import Compute as Compute
    from napari_smoothsal.core.specs import SaliencySpec as SaliencySpec
    from napari_smoothsal.core.specs import Tiling as Tiling
    from napari_smoothsal.core.variants import variants as variants
    from napari_smoothsal.evaluation import TrustCard as TrustCard
    from napari_smoothsal.evaluation import calibrate as calibrate
    from napari_smoothsal.evaluation import localisation as localisation
    from napari_smoothsal.evaluation import total_variation as total_variation
    from napari_smoothsal.evaluation import trust_card as trust_card
    from napari_smoothsal.models import LayerInfo as LayerInfo
    from napari_smoothsal.models import Model as Model
    from napari_smoothsal.models import load_model as load_model
    from napari_smoothsal.render.columns_figure import columns_figure as columns_figure
    from napari_smoothsal.runs import Comparison as Comparison
    from napari_smoothsal.runs import Run as Run
    from napari_smoothsal.runs import WhatIf as WhatIf
    from napari_smoothsal.runs import WhatIfView as WhatIfView
    from napari_smoothsal.runs import calibrate_on_region as calibrate_on_region
    from napari_smoothsal.runs import compare as compare
    from napari_smoothsal.runs import explain_slide as explain_slide
    from napari_smoothsal.runs import explain_slides as explain_slides
    from napari_smoothsal.runs import open_run as open_run
    from napari_smoothsal.runs import plan_tiles as plan_tiles
    from napari_smoothsal.runs import trust_of_region as trust_of_region
    from napari_smoothsal.runs import what_if as what_if
    from napari_smoothsal.runs.hotspots import hotspot_at as hotspot_at
    from napari_smoothsal.runs.hotspots import hotspots as hotspots
    from napari_smoothsal.runs.hotspots import measured_place as measured_place
    from napari_smoothsal.runs.shared_view import SharedView as SharedView
    from napari_smoothsal.runs.shared_view import read_shared_view as read_shared_view
    from napari_smoothsal.runs.shared_view import view_as_link as view_as_link
    from napari_smoothsal.runs.shared_view import view_of_link as view_of_link
    from napari_smoothsal.runs.shared_view import write_shared_view as write_shared_view
    from napari_smoothsal.runs.verdicts import Verdict as Verdict
    from napari_smoothsal.runs.verdicts import Verdicts as Verdicts
    from napari_smoothsal.runs.verdicts import add_verdict as add_verdict
    from napari_smoothsal.runs.verdicts import change_verdict as change_verdict
    from napari_smoothsal.runs.verdicts import export_verdicts as export_verdicts
    from napari_smoothsal.runs.verdicts import read_verdicts as read_verdicts
    from napari_smoothsal.runs.verdicts import remove_verdict as remove_verdict
    from napari_smoothsal.slides import open_slide as open_slide

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
