"""What may be said about a slide: sizes and resolution, nothing from its label or properties."""

from __future__ import annotations

from typing import Any

from napari_smoothsal.slides.base import Slide
from napari_smoothsal.slides.tissue import TissueMask


def describe(slide: Slide, tissue: TissueMask | None = None) -> dict[str, Any]:
    """Describe a slide in JSON-able values, for ``smoothsal info``.

    An allow-list: the format's own properties name users, dates, serial numbers and files, so
    none of them is passed on.

    Parameters
    ----------
    slide
        An open slide.
    tissue
        Its tissue mask, to add the share of the slide that is tissue.

    Returns
    -------
    dict
        ``name``, ``vendor``, ``width`` and ``height`` (level-0 px), ``mpp`` ([y, x] or None),
        ``bounds`` ([x, y, w, h]), ``levels`` (a list of ``width``, ``height``,
        ``downsample``), ``fingerprint``; and ``tissue_share``, ``tissue_source``.
    """
    described: dict[str, Any] = {
        "name": slide.name,
        "vendor": slide.vendor,
        "width": slide.width,
        "height": slide.height,
        "mpp": None if slide.mpp is None else list(slide.mpp),
        "bounds": list(slide.bounds),
        "levels": [
            {"width": width, "height": height, "downsample": downsample}
            for (width, height), downsample in zip(
                slide.level_dimensions, slide.level_downsamples, strict=True
            )
        ],
        "fingerprint": slide.fingerprint,
    }
    if tissue is not None:
        described["tissue_share"] = round(tissue.share, 6)
        described["tissue_source"] = tissue.source
    return described
