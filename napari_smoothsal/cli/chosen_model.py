"""``--model``, ``--factory`` and ``--card``: which model a command is about."""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import typer

from napari_smoothsal.cli.app import complain
from napari_smoothsal.core.errors import ModelError, SettingError, SmoothsalError

if TYPE_CHECKING:
    from napari_smoothsal.models import Model

SOURCES = "A built-in name, a model folder, or LIBRARY:NAME:FILE, e.g. timm:resnet50:weights.pt."

_FACTORY = Annotated[
    str | None,
    typer.Option(
        metavar="PACKAGE.MODULE:FUNCTION",
        help="In place of a model's name: a function that returns it. This runs that code.",
    ),
]
_CARD = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FIELD=VALUE",
        help="A field of the model's card that goes before what its files say, e.g. "
        "input_mpp=0.5 or class_names=normal,tumour; or a JSON file of such fields. May be given "
        "several times.",
    ),
]


_LISTS = ("class_names", "class_colours", "mean", "std", "input_mpp_range")
"""Fields that may be typed with commas."""


@dataclass(frozen=True)
class ChosenModel:
    """What was typed of a model.

    Attributes
    ----------
    source
        See `load_model`; None where `factory` makes it.
    factory
        ``package.module:function``.
    card
        Fields that go before those found.
    """

    source: str | None
    factory: str | None = None
    card: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As it was typed."""
        return self.source or self.factory or ""

    def load(
        self,
        surrogate: Path | None = None,
        calibration: Path | None = None,
        *,
        torchscript: bool = False,
    ) -> Model:
        """Load it, or have it made; see `load_model`."""
        from napari_smoothsal.models import load_model
        from napari_smoothsal.models.calibration_file import load_calibrations
        from napari_smoothsal.models.surrogate import load_surrogate

        if self.factory is None:
            assert self.source is not None
            return load_model(
                self.source, surrogate, calibration, card=self.card, torchscript=torchscript
            )
        if torchscript:
            raise SettingError("--torchscript is of a file; --factory makes the model itself")
        model = _made(self.factory, self.card)
        if surrogate is not None:
            model.surrogate = load_surrogate(surrogate, model)
        if calibration is not None:
            model.calibrations = load_calibrations(calibration, model)
        return model


def model_flags(
    default: str | None = None, *, optional: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a command whose parameter ``model`` is a `ChosenModel`.

    Parameters
    ----------
    default
        Name of the model that is taken where none is typed; None: one has to be.
    optional
        The command receives None where nothing is typed.

    Returns
    -------
    decorator
        The parameter becomes the flags of a model. How its name is typed says its annotation.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        order = _flags(command, default)

        @wraps(command)
        def called(**values: Any) -> Any:
            source, factory = values.pop("model", None), values.pop("factory", None)
            card = _fields(values.pop("card", None) or [])
            if optional and not (source or factory or card):
                return command(model=None, **values)
            if source and factory:
                raise SettingError(f"--factory makes the model, so {source!r} has no use with it")
            if not (source or factory or default):
                raise SettingError("name a model, or give a --factory that makes it")
            source = None if factory else source or default
            return command(model=ChosenModel(source, factory, card), **values)

        called.__signature__ = inspect.Signature(order)  # type: ignore[attr-defined]
        called.__annotations__ = {p.name: p.annotation for p in order}
        called.needed = () if default or optional else ("model",)  # type: ignore[attr-defined]
        return called

    return decorate


def _flags(command: Callable[..., Any], default: str | None) -> list[inspect.Parameter]:
    """The command's parameters, with the flags of a model in place of ``model``."""
    hints = get_type_hints(command, include_extras=True)
    own = [
        p.replace(annotation=hints[p.name]) for p in inspect.signature(command).parameters.values()
    ]
    keyword = inspect.Parameter.KEYWORD_ONLY
    _, info = get_args(hints["model"])
    if default is not None:
        info = copy(info)
        info.help = f"{info.help} [default: {default}]"
    made = [
        inspect.Parameter("model", keyword, default=None, annotation=Annotated[str | None, info]),
        inspect.Parameter("factory", keyword, default=None, annotation=_FACTORY),
        inspect.Parameter("card", keyword, default=None, annotation=_CARD),
    ]
    others = [p.replace(kind=keyword) for p in own if p.name != "model"]
    place = [p.name for p in own].index("model")
    return [*others[:place], *made, *others[place:]]


def _fields(typed: list[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for one in typed:
        name, _, value = one.partition("=")
        if one.endswith(".json") and not name.isidentifier():
            fields |= _in_file(Path(one))
            continue
        if "=" not in one or not name.isidentifier():
            raise SettingError(
                f"--card {one!r} is neither of the form FIELD=VALUE nor the name of a .json file"
            )
        try:
            fields[name] = json.loads(value)
        except ValueError:  # text needs no quotes, and lists no brackets
            fields[name] = value.split(",") if name in _LISTS else value
    return fields


def _in_file(path: Path) -> dict[str, Any]:
    from napari_smoothsal.models.card_file import card_fields

    return card_fields(path, "--card")


def _made(factory: str, card: Mapping[str, Any]) -> Model:
    """What the function returns, as a model."""
    from torch import nn

    from napari_smoothsal.core.card import ModelCard
    from napari_smoothsal.models import Model

    module, _, function = factory.partition(":")
    if not module or not function:
        raise SettingError(f"--factory {factory!r} is not of the form PACKAGE.MODULE:FUNCTION")
    complain("note", f"--factory runs the code of {module}")
    sys.path.append(str(Path.cwd()))  # as `python -m` would look there, but after what is installed
    try:
        made = getattr(importlib.import_module(module), function)()
    except SmoothsalError:
        raise
    except Exception as error:  # it is somebody else's code
        raise ModelError(f"--factory {factory}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop()
    if isinstance(made, Model):
        return Model(made.module, ModelCard(**{**made.card.model_dump(), **card})) if card else made
    network, told = made if isinstance(made, tuple) and len(made) == 2 else (made, {})
    if isinstance(told, ModelCard):
        told = told.model_dump()
    if not isinstance(network, nn.Module) or not isinstance(told, Mapping):
        raise ModelError(
            f"--factory {factory} returned {type(made).__name__}; return ss.Model(module, card), "
            "or a module and its card, or a module alone and give --card FIELD=VALUE"
        )
    try:
        known = ModelCard(**{"name": function, **told, **card})
    except SettingError as error:
        raise SettingError(
            f"--factory {factory} made a module whose card, with what --card says, cannot work: "
            f"{error}. Return ss.Model(module, ss.ModelCard(...)), or give --card FIELD=VALUE"
        ) from error
    return Model(network, known)
