"""load_model: from a name or a path to a Model, without running anything from a file."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from napari_smoothsal.core.caller_warning import warn_caller
from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError, SettingError, UnknownNameError
from napari_smoothsal.models import surrogate as surrogates
from napari_smoothsal.models.calibration_file import calibrations_beside, load_calibrations
from napari_smoothsal.models.formats import format_of, is_known
from napari_smoothsal.models.formats.base import SAFETENSORS, TORCHSCRIPT
from napari_smoothsal.models.formats.hashes import check_hash
from napari_smoothsal.models.libraries import LIBRARIES, NamedWeights, network_of
from napari_smoothsal.models.libraries.base import NAMELESS
from napari_smoothsal.models.model import Model
from napari_smoothsal.models.normal_tissue import load_normal_tissue
from napari_smoothsal.models.surrogate import load_surrogate
from napari_smoothsal.models.torchscript import load_torchscript
from napari_smoothsal.models.weights import read_sharded

_OF_TILES = ("input_size", "input_mpp", "mean", "std", "resampling", "stain_normalisation")
"""Fields of a card that say what a network sees."""


def builtin_models() -> list[str]:
    """Names of the models that are shipped with the package."""
    shipped = files("napari_smoothsal.sample_data") / "models"
    return sorted(entry.name for entry in shipped.iterdir() if entry.is_dir())


def load_model(
    source: str | Path,
    surrogate: str | Path | None = None,
    calibration: str | Path | None = None,
    *,
    card: Mapping[str, Any] | None = None,
    torchscript: bool = False,
) -> Model:
    """Load a model by its built-in name, from a folder, or from a file of weights.

    Nothing in a file is run, and nothing is downloaded.

    Parameters
    ----------
    source
        A name such as ``"demo-classifier"``; a folder of any of the `FORMATS`; or
        ``library:NAME:FILE``, a network of one of the `LIBRARIES` and a file of its weights, such
        as ``"timm:resnet50:weights.safetensors"``.
    surrogate
        ``surrogate.safetensors`` of this model, or the folder that holds it; None: the one beside
        the model, where there is one.
    calibration
        ``calibration.json`` of this model, or the folder that holds it; None: the one beside the
        model, where there is one; it is left out with a warning if it is of other weights.
    card
        Fields of the card that go before what the source says, such as ``{"input_mpp": 0.5}``.
    torchscript
        ``source`` is a folder with ``torchscript_model.pt``, or a TorchScript file in a folder
        that says what it is, or with all that a card needs in ``card``. It is a program, and run
        as one; it has predictions and nothing to explain. Surrogate and calibration have no use
        beside it.

    Raises
    ------
    UnsafeModelError
        For files that could only be read by running code that they contain.
    ModelError
        If there is no complete, consistent model, or surrogate or calibration are of another one.
    SettingError
        If fields of the card cannot work.
    UnknownNameError
        If it is neither a built-in name nor a folder, or a library has no such network.
    """
    if torchscript:
        if surrogate is not None or calibration is not None:
            raise ModelError(
                "torchscript=True loads a model for predictions only, so that a surrogate or a "
                "calibration has no use beside it; leave it away"
            )
        return _scripted(Path(source), card)
    check_source(source)
    if isinstance(source, str) and source in builtin_models():
        with as_file(files("napari_smoothsal.sample_data") / "models" / source) as folder:
            return _from_folder(folder, surrogate, calibration, card)
    path = Path(source)
    if path.is_dir():
        return _from_folder(path, surrogate, calibration, card)
    library, _, rest = str(source).partition(":")
    model = _from_file(library, rest, card)
    if surrogate is not None:
        model.surrogate = load_surrogate(Path(surrogate), model)
    if calibration is not None:
        model.calibrations = load_calibrations(Path(calibration), model)
    return model


def check_source(source: str | Path) -> None:
    """Refuse what `load_model` knows nothing to do with, before anything is loaded.

    Raises
    ------
    ModelError
        If it is a file that does not say what it is.
    UnknownNameError
        If it is neither a built-in name nor a folder, nor of a library.
    """
    path, library = Path(source), str(source).partition(":")[0]
    named = isinstance(source, str) and source in builtin_models()
    if named or path.is_dir() or library in LIBRARIES:
        return
    if path.exists():
        raise ModelError(
            f"{path.name!r} is a file, and a file of weights does not say of which network they "
            f"are. Give it as {_ways()}, or make a folder of it (`smoothsal card new`). "
            "TorchScript predicts, and explains nothing, with torchscript=True (--torchscript)"
        )
    raise UnknownNameError("model or model folder", str(source), builtin_models())


def _from_folder(
    folder: Path,
    surrogate: str | Path | None,
    calibration: str | Path | None,
    fields: Mapping[str, Any] | None,
) -> Model:
    kind = format_of(folder)
    own = kind.card(folder)
    card = _changed(own, fields)
    weights = kind.weights(folder, card)
    check_hash(weights, card)
    model = Model(network_of(card, read_sharded(weights)), card)
    model.normal_tissue = load_normal_tissue(folder, card)
    if surrogate is not None:
        model.surrogate = load_surrogate(Path(surrogate), model)
    elif (folder / surrogates.WEIGHTS).is_file():
        model.surrogate = load_surrogate(folder, model)
    if calibration is not None:
        model.calibrations = load_calibrations(Path(calibration), model)
    elif _sees_otherwise(card, own):
        if calibrations_beside(folder, model):
            warn_caller(
                f"model {card.name!r}: its limits were measured with the card in its folder, which "
                "is changed here; they are left out"
            )
    else:
        model.calibrations = calibrations_beside(folder, model)
    return model


def _from_file(library: str, rest: str, fields: Mapping[str, Any] | None) -> Model:
    # The file comes last and may be C:\weights.pt: names of networks have no path in them.
    names = rest.split(":", maxsplit=LIBRARIES[library].how.count(":") - 1)
    file = Path(names.pop())
    name = ":".join(names)
    if not name or not file.is_file():
        raise ModelError(
            f"there is no file of weights {file.name!r} for {library}; give it as "
            f"{LIBRARIES[library].how}, where FILE is a state dict (.safetensors, .pt or .pth)"
        )
    content = read_sharded(file)
    card = _changed(LIBRARIES[library].described(NamedWeights(name, content, file)), fields)
    check_hash(file, card)
    return Model(network_of(card, content), card)


def _scripted(path: Path, fields: Mapping[str, Any] | None) -> Model:
    file = path / TORCHSCRIPT if path.is_dir() else path
    if path.is_file() and not is_known(path.parent):
        try:
            card = ModelCard(**{"name": path.stem, **(fields or {})})
        except SettingError as error:
            raise SettingError(
                f"{path.name!r} alone does not say what it is, and no description that is known "
                f"lies beside it; give the fields of a card (--card FIELD=VALUE). {error}"
            ) from error
    else:
        card = _changed(format_of(file.parent).card(file.parent), fields)
    if not (file.parent / SAFETENSORS).is_file():  # else the hash is of those weights
        check_hash(file, card)
    return load_torchscript(file, card)


def _changed(card: ModelCard, fields: Mapping[str, Any] | None) -> ModelCard:
    if not fields:
        return card
    told = {**card.model_dump(), **fields}
    if "class_names" in fields and "notes" not in fields:
        told["notes"] = (card.notes or "").replace(NAMELESS, "").strip() or None
    return ModelCard(**told)


def _sees_otherwise(card: ModelCard, own: ModelCard) -> bool:
    """Whether tiles come to the network in another way than by the folder's own card."""
    return any(getattr(card, name) != getattr(own, name) for name in _OF_TILES)


def _ways() -> str:
    return " or ".join(one.how for one in LIBRARIES.values() if one.how.endswith("FILE"))
