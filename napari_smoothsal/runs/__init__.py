"""A slide from start to end: plan, stitch, store, resume."""

from napari_smoothsal.runs.batch import SlideResult, explain_slides
from napari_smoothsal.runs.explain import explain_slide
from napari_smoothsal.runs.plan import RunPlan, plan_tiles
from napari_smoothsal.runs.progress import Progress
from napari_smoothsal.runs.run import Run, RunMap, open_run

__all__ = [
    "Progress",
    "Run",
    "RunMap",
    "RunPlan",
    "SlideResult",
    "explain_slide",
    "explain_slides",
    "open_run",
    "plan_tiles",
]
