"""what_if: what a model says of a view once a part of it is replaced by something neutral."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from napari_smoothsal.core.specs import Compute, SaliencySpec, Tiling
from napari_smoothsal.models import Model
from napari_smoothsal.runs.plan import Region
from napari_smoothsal.runs.what_if_result import Change, WhatIf, maps_of
from napari_smoothsal.runs.what_if_view import WhatIfView
from napari_smoothsal.slides import Slide
from napari_smoothsal.slides.view_pixels import Shape


def what_if(
    slide: Slide,
    model: Model,
    *,
    region: Region,
    shape: Shape,
    change: Change = "remove",
    fill: str = "tissue_mean",
    spec: SaliencySpec | None = None,
    tiling: Tiling | None = None,
    compute: Compute | None = None,
) -> WhatIf:
    """Replace a part of a view, and ask the model again.

    Parameters
    ----------
    slide, model
        From `open_slide` and `load_model`.
    region
        (x, y, w, h) in level-0 px: the view, whose tiles with tissue are asked about.
    shape
        What is drawn: a shapely Polygon or MultiPolygon, or a list of polygons, each (corners, 2)
        of x, y in level-0 px.
    change
        ``"remove"``: what lies in the shape is replaced; ``"reveal"``: all that does not.
    fill
        By what: ``"tissue_mean"``, ``"blurred"`` or ``"inpainted"``; see `REGION_FILLS`. Each of
        them is something that the model was never trained on: compare several.
    spec
        A map to compute of both, before and after; None: probabilities only.
    tiling, compute
        How the view is cut and on what it is computed. Probabilities are in fp32.

    Returns
    -------
    WhatIf
        Probabilities of each tile and of the view, before and after, and the maps.

    Raises
    ------
    SmoothsalError
        Where there is no such fill or change, the view has no tissue or is too large, the shape
        lies beside it, or nothing, or everything, would be replaced.

    Examples
    --------
    Does the model need this gland, whatever stands in its place?::

        for fill in ("tissue_mean", "blurred", "inpainted"):
            print(ss.what_if(slide, model, region=view, shape=[gland], fill=fill).difference)
    """
    view = WhatIfView(slide, model, region, spec=spec, tiling=tiling, compute=compute)
    changed = view.change(shape, change, fill)
    found = view.predict(changed)
    if spec is None:
        return found
    with tempfile.TemporaryDirectory(prefix="smoothsal-what-if-") as folder:
        before = view.explain(None, Path(folder) / "before")
        after = view.explain(changed, Path(folder) / "after")
        assert before is not None and after is not None, "nobody stops it"
        return replace(found, maps=maps_of(before, after))
