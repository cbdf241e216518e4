"""A slide from start to end: plan, stitch, store, resume.

Imported lazily, as the package's own names are: reading a store needs zarr, but not torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_smoothsal.core.lazy import lazy_names

_HOMES = {
    "ComparedMap": "comparison",
    "Comparison": "comparison",
    "Progress": "progress",
    "RunEstimate": "estimate",
    "compare": "columns",
    "estimate_run": "estimate",
    "Run": "run",
    "RunMap": "run",
    "RunPlan": "plan",
    "SlideResult": "batch",
    "explain_slide": "explain",
    "explain_slides": "batch",
    "open_run": "run",
    "plan_tiles": "plan",
    "refine_region": "refine",
    "RegionTrust": "region_trust",
    "calibrate_on_region": "region_calibration",
    "trust_of_region": "region_trust",
    "MapsOfBoth": "what_if_result",
    "WhatIf": "what_if_result",
    "WhatIfView": "what_if_view",
    "what_if": "what_if_once",
}

__all__ = sorted(_HOMES)

if TYPE_CHECKING:
    from napari_smoothsal.runs.batch import SlideResult as SlideResult
    from napari_smoothsal.runs.batch import explain_slides as explain_slides
    from napari_smoothsal.runs.columns import compare as compare
    from napari_smoothsal.runs.comparison import ComparedMap as ComparedMap
    from napari_smoothsal.runs.comparison import Comparison as Comparison
    from napari_smoothsal.runs.estimate import RunEstimate as RunEstimate
    from napari_smoothsal.runs.estimate import estimate_run as estimate_run
    from napari_smoothsal.runs.explain import explain_slide as explain_slide
    from napari_smoothsal.runs.plan import RunPlan as RunPlan
    from napari_smoothsal.runs.plan import plan_tiles as plan_tiles
    from napari_smoothsal.runs.progress import Progress as Progress
    from napari_smoothsal.runs.refine import refine_region as refine_region
    from napari_smoothsal.runs.region_calibration import calibrate_on_region as calibrate_on_region
    from napari_smoothsal.runs.region_trust import RegionTrust as RegionTrust
    from napari_smoothsal.runs.region_trust import trust_of_region as trust_of_region
    from napari_smoothsal.runs.run import Run as Run
    from napari_smoothsal.runs.run import RunMap as RunMap
    from napari_smoothsal.runs.run import open_run as open_run
    from napari_smoothsal.runs.what_if_once import what_if as what_if
    from napari_smoothsal.runs.what_if_result import MapsOfBoth as MapsOfBoth
    from napari_smoothsal.runs.what_if_result import WhatIf as WhatIf
    from napari_smoothsal.runs.what_if_view import WhatIfView as WhatIfView

__getattr__ = lazy_names(__name__, _HOMES)
