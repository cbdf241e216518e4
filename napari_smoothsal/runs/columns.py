"""compare: one place explained in several ways, in one pass of each model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from napari_smoothsal.attribution import Networks
from napari_smoothsal.core.errors import SettingError, SmoothsalError
from napari_smoothsal.core.specs import Compute, SaliencySpec, Tiling
from napari_smoothsal.core.variants import check_columns
from napari_smoothsal.models import Model, resolve_target
from napari_smoothsal.models.layers import start_layer
from napari_smoothsal.runs.comparison import ComparedMap, Comparison
from napari_smoothsal.runs.plan import Region, RunPlan
from napari_smoothsal.runs.refine import refine_region
from napari_smoothsal.runs.run import Run
from napari_smoothsal.slides import Slide, open_slide


def compare(
    slide: Slide | str | Path,
    model: Model | Sequence[Model],
    specs: SaliencySpec | Sequence[SaliencySpec],
    out: str | Path,
    *,
    region: Region | None = None,
    tiling: Tiling | None = None,
    compute: Compute | None = None,
    stop: Callable[[], bool] | None = None,
    on_plan: Callable[[RunPlan], None] | None = None,
    on_round: Callable[[Comparison, float], None] | None = None,
    networks: Callable[[Model], Networks] | None = None,
) -> Comparison | None:
    """Explain one place in two to four ways.

    Specs of one model are computed in one pass, and grow together; models come one after the
    other. `variants` makes specs of which one thing differs.

    Parameters
    ----------
    slide
        From `open_slide`, or a path.
    model, specs
        One of each column; one alone is that of all of them. Where there are several models, a
        spec takes the layer and the class that it names only of models that have them: see
        `fitting`.
    out
        Folder for the stores, one folder in it for each model.
    region
        (x, y, w, h) in level-0 px; None: the slide. All its tiles are held in memory: compare a
        large slide by `explain_slide` with several specs, and `Comparison.of` its run.
    tiling, compute, stop
        As of `explain_slide`.
    on_plan
        Called with each model's plan before anything of it is read; what it raises ends it.
    on_round
        Called with the columns as far as they are, and how much of the work is done, 0..1.
    networks
        Of a model, from one call to the next.

    Returns
    -------
    Comparison or None
        None where it was stopped.

    Raises
    ------
    SettingError
        If these are not two to four columns, or as many models as specs.
    SmoothsalError
        As `explain_slide`.

    Examples
    --------
    >>> spec = ss.SaliencySpec(layer="layer2")
    >>> specs = ss.variants(spec, "denoising", ["original", "centred_hook"])
    >>> found = ss.compare("case.svs", model, specs, "out", region=(0, 0, 2000, 2000))
    >>> [(label, column.total_variation) for label, column in zip(found.labels, found.columns)]
    """
    models, asked = _columns(model, specs)
    with contextlib.ExitStack() as stack:
        if not isinstance(slide, Slide):
            slide = stack.enter_context(open_slide(slide))
        place = region or (0, 0, slide.width, slide.height)
        groups = list(dict.fromkeys(map(id, models)))
        found: dict[int, ComparedMap] = {}
        for number, group in enumerate(groups):
            members = [i for i, one in enumerate(models) if id(one) == group]
            own = models[members[0]]

            def grown(
                run: Run, done: float, members: list[int] = members, before: int = number
            ) -> None:
                found.update(_columns_of(run, members))
                if on_round is not None:
                    on_round(_in_order(found), (before + done) / len(groups))

            run = refine_region(
                slide,
                own,
                [asked[i] for i in members],
                Path(out) / f"model-{number + 1}",
                region=place,
                tiling=tiling,
                compute=compute,
                stop=stop,
                on_plan=on_plan,
                on_round=grown,
                networks=None if networks is None else networks(own),
            )
            if run is None:
                return None
            grown(run, 1.0)
    return _in_order(found)


def fitting(spec: SaliencySpec, model: Model) -> SaliencySpec:
    """A spec as it can be asked of another model.

    A layer that the model does not have becomes the one that is offered first; a class that it
    does not have, its default; hidden units are those of one model alone.
    """
    changes: dict[str, object] = {}
    layers = model.layers()
    if spec.layer not in {info.name for info in layers}:
        changes["layer"] = start_layer(layers, model.card.input_mpp)
        if spec.channel is not None:
            changes |= {"reduction": "sum", "channel": None}
    if not _has_target(model, spec.target):
        changes["target"] = None
    return spec.model_copy(update=changes)


def _has_target(model: Model, target: int | str | None) -> bool:
    if isinstance(target, str) and target.startswith("unit:"):
        return False
    try:
        resolve_target(model.card, target, "slide")
    except SmoothsalError:
        return False
    return True


def _columns(
    model: Model | Sequence[Model], specs: SaliencySpec | Sequence[SaliencySpec]
) -> tuple[list[Model], list[SaliencySpec]]:
    models = [model] if isinstance(model, Model) else list(model)
    asked = [specs] if isinstance(specs, SaliencySpec) else list(specs)
    count = max(len(models), len(asked))
    check_columns(count)
    if {len(models), len(asked)} - {1, count}:
        raise SettingError(
            f"{len(models)} models and {len(asked)} specs make no columns; give one spec for each "
            "model, or one of either"
        )
    models, asked = models * (count // len(models)), asked * (count // len(asked))
    if len(set(map(id, models))) > 1:
        asked = [fitting(spec, one) for spec, one in zip(asked, models, strict=True)]
    return models, asked


def _columns_of(run: Run, members: list[int]) -> dict[int, ComparedMap]:
    """Of a run, by their place: maps are stored in the order of their specs."""
    return {i: ComparedMap(run, key) for i, key in zip(members, run.maps, strict=True)}


def _in_order(found: dict[int, ComparedMap]) -> Comparison:
    return Comparison(tuple(found[i] for i in sorted(found)))
