"""What a run records of itself: enough to repeat and to resume it, nothing that names anybody."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from napari_smoothsal.attribution import Explainer
from napari_smoothsal.attribution.baselines import NORMAL_TISSUE
from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import StoreError
from napari_smoothsal.core.specs import Tiling
from napari_smoothsal.models import Model
from napari_smoothsal.models.network_code import code_sha256
from napari_smoothsal.runs.choice import Choice
from napari_smoothsal.runs.plan import RunPlan
from napari_smoothsal.slides import Slide

_CODE = "code_sha256"


def identity(
    slide: Slide,
    model: Model,
    tiling: Tiling,
    plan: RunPlan,
    explainer: Explainer,
    choice: Choice | None = None,
    checksum: str | None = None,
) -> dict[str, Any]:
    """Everything that determines the result: a run resumes only where all of it is the same."""
    card = model.card
    grid = plan.grid
    mpp = slide.require_mpp()
    return {
        "slide": {
            "fingerprint": slide.fingerprint,
            "width": slide.width,
            "height": slide.height,
            "mpp": list(mpp),
            **_reader(slide),
            **({} if checksum is None else {"sha256": checksum}),
        },
        "model": {
            "name": card.name,
            "parameters_sha256": model.parameters_sha256,
            "architecture": card.architecture,
            "class_names": list(card.class_names),
            "kind": card.kind,
            "outcomes": list(model.readout.outcomes),
            "background": model.readout.background,
            "input_mpp": card.input_mpp,
            "mean": list(card.mean),
            "std": list(card.std),
            **_code(model),
            **_removed_head(model),
            **_preprocessing(card),
        },
        "surrogate": _surrogate(model, explainer),
        **_normal_tissue(model, explainer),
        "specs": [spec.model_dump(mode="json") for spec in explainer.specs],
        "targets": [target.label for target in explainer.targets],
        **_choice(choice),
        "region": list(plan.region),
        # The path of a tissue annotation stays outside: the tiles it left (below) are what counts.
        "tiling": tiling.model_dump(mode="json", exclude={"tissue"}),
        "grid": {
            "tile_px": grid.tile_px,
            "halo": grid.halo,
            "step": grid.step,
            "level0_px_per_model_px": list(grid.scale),
            "tissue": plan.tissue.source,
            "tiles": len(grid),
            "origins_sha256": hashlib.sha256(grid.origins.tobytes()).hexdigest(),
        },
        "compute": {
            "device": explainer.device.device.type,
            "precision": explainer.device.precision,
        },
    }


def _choice(choice: Choice | None) -> dict[str, Any]:
    """Which tiles are explained, where not all are."""
    return {} if choice is None else {"choice": {"where": choice.where, "top": choice.top}}


def _reader(slide: Slide) -> dict[str, str]:
    """What decodes the pixels, where it is not OpenSlide: older stores say nothing of it."""
    return {} if slide.reader is None else {"reader": slide.reader}


def _code(model: Model) -> dict[str, str]:
    """What the network does, where the card names no architecture."""
    return {} if model.card.architecture else {_CODE: code_sha256(model.module)}


def _removed_head(model: Model) -> dict[str, str]:
    """What was taken off the network, where something was: older stores say nothing of it."""
    return {} if model.removed_head is None else {"removed_head": model.removed_head}


def _preprocessing(card: ModelCard) -> dict[str, Any]:
    """What else is done to tiles. Without any nothing is said, so that older stores resume."""
    fields = card.model_dump(mode="json", include={"resampling", "stain_normalisation"})
    return {k: v for k, v in fields.items() if v != ModelCard.model_fields[k].default}


def _surrogate(model: Model, explainer: Explainer) -> str | None:
    """Hash of the surrogate's weights, where a map is of the network with it."""
    used = any(plan.denoising.replaces for plan in explainer.plans)
    return model.surrogate.sha256 if used and model.surrogate is not None else None


def _normal_tissue(model: Model, explainer: Explainer) -> dict[str, str]:
    """Hash of the model's tiles of normal tissue, where a map compares with them."""
    used = any(walk.baseline == NORMAL_TISSUE for walk in explainer.walks)
    if not used or model.normal_tissue is None:
        return {}
    return {"normal_tissue": hashlib.sha256(model.normal_tissue.tobytes()).hexdigest()}


def public_card(card: ModelCard) -> dict[str, Any]:
    """The card's fields that a store keeps; free text stays with the model, whoever wrote it."""
    private = {"training_data", "intended_use", "notes", "metrics"}
    return card.model_dump(mode="json", exclude=private)


def versions() -> dict[str, str]:
    """Versions of what computes the result."""
    found = {"python": platform.python_version()}
    for package in (
        "napari-smoothsal",
        "torch",
        "torchvision",
        "openslide-python",
        "openslide-bin",
        "zarr",
        "numpy",
        "pillow",
        "torchstain",
        "timm",
        "segmentation-models-pytorch",
    ):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # e.g. OpenSlide from the system
            continue
    return found


def check_same(recorded: Mapping[str, Any], wanted: Mapping[str, Any], store: str) -> None:
    """Refuse to go on with another slide, model or setting than a store was begun with.

    Raises
    ------
    StoreError
        With every entry that differs, and both its values.
    """
    known = recorded.get("model", {})
    if _CODE not in known:  # of an older store
        model = {name: value for name, value in wanted["model"].items() if name != _CODE}
        wanted = {**wanted, "model": model}
    differing = list(_differences(recorded, wanted))
    if differing:
        models = [one.get("model", {}) for one in (recorded, wanted)]
        other = models[0].get("parameters_sha256") != models[1].get("parameters_sha256")
        begun = f"another model ({models[0].get('name')!r})" if other else "other settings"
        raise StoreError(
            f"store {store!r} was begun with {begun}; choose another --out, or repeat the "
            "run as it was. Different: " + "; ".join(differing[:8])
        )


def _differences(old: Any, new: Any, path: str = "") -> list[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found = []
        for name in sorted({*old, *new}):
            inner = f"{path}.{name}" if path else str(name)
            found += _differences(old.get(name), new.get(name), inner)
        return found
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = zip(old, new, strict=True)
        return [d for i, (a, b) in enumerate(pairs) for d in _differences(a, b, f"{path}[{i}]")]
    if isinstance(old, list) and isinstance(new, list):
        return [f"{path} were {len(old)}, are {len(new)}"]
    return [] if old == new else [f"{path} was {_short(old)}, is {_short(new)}"]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
