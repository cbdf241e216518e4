"""What is asked of a slide, as a hash: another one is tried again where the slide failed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from napari_smoothsal.core.specs import Compute, SaliencySpec
from napari_smoothsal.models import Model
from napari_smoothsal.runs.slide_list import SlideJob

TALKING = ("progress", "stop", "on_plan", "crew")
"""Settings of `explain_slide` that are the calling process's own."""
_NO_PART = (*TALKING, "pack")
"""Those that change nothing of whether a slide fails."""


def asked_of(
    job: SlideJob,
    model: Model | None,
    specs: Sequence[SaliencySpec],
    settings: Mapping[str, Any],
    *given: object,
) -> str:
    """Hash of a slide's file and of all that decides whether it fails.

    Parameters
    ----------
    job
        The slide, with what a manifest says of it.
    model
        None where it could not be loaded.
    specs
        Those of this model, where they depend on it.
    settings
        Further arguments of `explain_slide`.
    *given
        What else was given: resolution, reader.
    """
    settings = {n: v for n, v in settings.items() if n not in _NO_PART}
    # Which device, and by how many threads, has no part in it: the next free one takes a slide.
    compute = (settings.pop("compute", None) or Compute()).model_dump(exclude={"device", "readers"})
    try:
        told = Path(job.source).stat()
        file = [told.st_size, told.st_mtime_ns]
    except OSError:
        file = []
    weights = None if model is None else [model.card.model_dump(), model.parameters_sha256]
    whole = [file, weights, list(specs), [*given, job.region, job.mask, compute, settings]]
    return hashlib.sha256(json.dumps(whole, default=_plain).encode()).hexdigest()


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)
