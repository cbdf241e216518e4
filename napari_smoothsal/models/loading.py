"""load_model: from a name or a path to a Model, without running anything from a file."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from napari_smoothsal.core.errors import ModelError, UnknownNameError, UnsafeModelError
from napari_smoothsal.models import surrogate as surrogates
from napari_smoothsal.models.calibration_file import calibrations_beside, load_calibrations
from napari_smoothsal.models.folder import WEIGHTS, load_folder
from napari_smoothsal.models.model import Model
from napari_smoothsal.models.normal_tissue import load_normal_tissue
from napari_smoothsal.models.surrogate import load_surrogate
from napari_smoothsal.models.torchscript import load_torchscript_beside_card
from napari_smoothsal.models.torchvision_file import PREFIX, load_torchvision

_PICKLES = {".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt"}


def builtin_models() -> list[str]:
    """Names of the models that are shipped with the package."""
    shipped = files("napari_smoothsal.sample_data") / "models"
    return sorted(entry.name for entry in shipped.iterdir() if entry.is_dir())


def load_model(
    source: str | Path,
    surrogate: str | Path | None = None,
    calibration: str | Path | None = None,
    *,
    torchscript: bool = False,
) -> Model:
    """Load a model by its built-in name or from a folder.

    Parameters
    ----------
    source
        A name such as ``"demo-classifier"``, or a folder with ``card.json`` and
        ``model.safetensors``, or ``torchvision:NAME:FILE``, a network of torchvision and a file of
        its weights.
    surrogate
        ``surrogate.safetensors`` of this model, or the folder that holds it; None: the one beside
        the model, where there is one.
    calibration
        ``calibration.json`` of this model, or the folder that holds it; None: the one beside the
        model, where there is one; it is left out with a warning if it is of other weights.
    torchscript
        ``source`` is a TorchScript file with ``card.json`` beside it, or a folder that holds
        ``torchscript_model.pt`` and it. It is a program, and run as one; it has predictions and
        nothing to explain. Surrogate and calibration have no use beside it.

    Raises
    ------
    UnsafeModelError
        For pickled files, which can run code when they are read.
    ModelError
        If the folder does not hold a complete, consistent model, or surrogate or calibration are
        of another one.
    UnknownNameError
        If it is neither a built-in name nor a folder.
    """
    if torchscript:
        if surrogate is not None or calibration is not None:
            raise ModelError(
                "torchscript=True loads a model for predictions only, so that a surrogate or a "
                "calibration has no use beside it; leave it away"
            )
        return load_torchscript_beside_card(Path(source))
    if isinstance(source, str) and source in builtin_models():
        with as_file(files("napari_smoothsal.sample_data") / "models" / source) as folder:
            return _with_companions(load_folder(folder), folder, surrogate, calibration)
    if isinstance(source, str) and source.startswith(PREFIX):
        model = load_torchvision(source)
        if surrogate is not None:
            model.surrogate = load_surrogate(Path(surrogate), model)
        if calibration is not None:
            model.calibrations = load_calibrations(Path(calibration), model)
        return model
    path = Path(source)
    if path.is_dir():
        return _with_companions(load_folder(path), path, surrogate, calibration)
    if path.suffix.lower() in _PICKLES:
        raise UnsafeModelError(
            f"{path.name!r} is a pickle, which can run code when it is read. Convert its state "
            f"dict to {WEIGHTS} (safetensors.torch.save_file) and put a card.json beside it; "
            "if it is TorchScript, torchscript=True (smoothsal run --predict-only --torchscript) "
            "runs it for predictions alone"
        )
    if path.exists():
        raise ModelError(
            f"{path.name!r} is a file; a model is a folder with card.json and {WEIGHTS}"
        )
    raise UnknownNameError("model or model folder", str(source), builtin_models())


def _with_companions(
    model: Model, folder: Path, surrogate: str | Path | None, calibration: str | Path | None
) -> Model:
    model.normal_tissue = load_normal_tissue(folder, model.card)
    if surrogate is not None:
        model.surrogate = load_surrogate(Path(surrogate), model)
    elif (folder / surrogates.WEIGHTS).is_file():
        model.surrogate = load_surrogate(folder, model)
    if calibration is not None:
        model.calibrations = load_calibrations(Path(calibration), model)
    else:
        model.calibrations = calibrations_beside(folder, model)
    return model
