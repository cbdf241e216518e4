"""examine_model: does a model load, decide, list its layers, and say what it is?"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from napari_smoothsal.core.errors import SmoothsalError, UnknownNameError
from napari_smoothsal.core.findings import Finding, note, ok, wrong
from napari_smoothsal.models.layers import main_layers
from napari_smoothsal.models.loading import builtin_models, load_model
from napari_smoothsal.models.logits import evaluating, like_parameters
from napari_smoothsal.models.model import Model


def examine_model(source: str | Path) -> tuple[Finding, ...]:
    """Load a model and try it out on a tile of noise.

    Parameters
    ----------
    source
        See `load_model`.

    Raises
    ------
    UnknownNameError
        If there is no such model.
    """
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            model = load_model(source)
        except UnknownNameError:
            raise
        except (SmoothsalError, OSError) as error:
            return (wrong("loading", str(error), "see what it says; nothing else was tried"),)
        findings = [_loaded(model), _decisions(model), _layers(model), *_card(model)]
    findings += _beside(model)
    if isinstance(source, str) and source in builtin_models():
        said = "a demonstration model, trained on tissue that was drawn; of no use for diagnosis"
        findings.append(note("purpose", said))
    said_once = {str(w.message): None for w in told if issubclass(w.category, UserWarning)}
    findings += [wrong("files beside it", words, "see what it says") for words in said_once]
    return tuple(findings)


def _loaded(model: Model) -> Finding:
    million = sum(p.numel() for p in model.module.parameters()) / 1e6
    said = f"{model.card.name!r}, {model.card.kind}, {million:.2f} million parameters"
    if model.removed_head is not None:
        said += f"; {model.removed_head} at its end is left out"
    return ok("loading", said)


def _decisions(model: Model) -> Finding:
    """A pass over noise, the same at every look."""
    side, channels = model.probe_px, len(model.card.mean)
    noise = torch.randn(1, channels, side, side, generator=torch.Generator().manual_seed(0))
    try:
        with evaluating(model.module), torch.no_grad():
            logits = model.readout.read(model.module(like_parameters(noise, model.module)), 1)
    except (SmoothsalError, RuntimeError, ValueError, TypeError) as error:
        said = f"a tile of {side} px does not pass: {str(error).partition(chr(10))[0]}"
        return wrong("decisions", said, "compare input_size and class_names of the card with it")
    if not torch.isfinite(logits).all():
        said = f"logits of a tile of noise are not finite ({side} px)"
        return wrong("decisions", said, "the weights are damaged or of another network")
    return ok("decisions", f"finite, between {', '.join(model.card.class_names)}, at {side} px")


def _layers(model: Model) -> Finding:
    try:
        layers = model.layers()
    except (SmoothsalError, RuntimeError) as error:
        said = str(error).partition("\n")[0]
        return wrong("layers", said, "predictions work with --predict-only")
    suggested = main_layers(layers)
    said = f"{len(layers)}, of which {len(suggested)} are suggested"
    if not any(layer.strided_convs_above for layer in layers):
        return note("layers", f"{said}; there is nothing to denoise above them")
    return ok("layers", said)


def _card(model: Model) -> list[Finding]:
    card, found = model.card, []
    if card.input_mpp is None:
        said = "it does not say at which resolution the model looks at tissue"
        found.append(wrong("card", said, "set input_mpp in it, or give --card input_mpp=..."))
    lacking = [
        name
        for name in ("licence", "training_data", "intended_use", "weights_sha256")
        if getattr(card, name) is None
    ]
    if lacking:
        said = f"it says nothing of {', '.join(lacking)}"
        found.append(note("card", said, "fill it in: `smoothsal card show` and card.json"))
    if found:
        return found
    said = f"complete; {card.input_mpp:g} um per pixel, {len(card.class_names)} class(es)"
    return [ok("card", said)]


def _beside(model: Model) -> list[Finding]:
    """What else a folder may hold; it was refused on loading where it is of other weights."""
    surrogate, limits, normal = model.surrogate, model.calibrations, model.normal_tissue
    measure, train = "`smoothsal calibrate` measures them", "`smoothsal train-surrogate` makes one"
    return [
        note("surrogate", "none, so no bilinear_surrogate", train)
        if surrogate is None
        else ok("surrogate", "of these weights"),
        note("calibration", "no limits below which maps show nothing", measure)
        if not limits
        else ok("calibration", f"limits of {len(limits)} map(s), of these weights"),
        note("normal tissue", "none: colours have no fixed measure", "put tiles into normal/")
        if normal is None
        else ok("normal tissue", f"{len(normal)} tile(s)"),
    ]
