"""``smoothsal card``: model cards, written with questions, shown, and their schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_smoothsal.cli.app import app, command, complain
from napari_smoothsal.cli.chosen_model import SOURCES, ChosenModel, model_flags
from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import SettingError, SmoothsalError

if TYPE_CHECKING:
    from napari_smoothsal.models import Model

cards = typer.Typer(
    no_args_is_help=True, help="Model cards: what a network is and what it wants to see."
)
app.add_typer(cards, name="card")

ASKED = (
    *("name", "class_names", "default_target", "background", "input_size", "input_mpp"),
    *("mean", "std", "licence", "training_data", "intended_use"),
)
"""Fields that somebody has to know; what remains follows from the network."""

_UNKNOWN = "-"


@command("new", after="nothing was written", of=cards)
@model_flags()
def new(
    model: Annotated[ChosenModel, typer.Argument(help=SOURCES)],
    out: Annotated[Path, typer.Option(help="Folder for card.json and model.safetensors.")],
    ask: Annotated[
        bool,
        typer.Option(
            "--ask/--no-ask", help="Ask for what the files do not say; or leave it as it is."
        ),
    ] = True,
) -> None:
    """Make a model folder of any model that can be loaded.

    Asks for what a card should say, with what is known as the answer that Enter gives, and for
    what nobody knows "-". Fields given by --card are not asked for. The weights are written as
    safetensors, whatever they were.
    """
    loaded = model.load()
    card = loaded.card
    if ask:
        for name in ASKED:
            if name not in model.card:
                card = _answered(card, name)
    described = _with_card(loaded, card)
    # What cannot be explained is told before it is written.
    layers = described.layers()
    described.check_output()
    from napari_smoothsal.models.saving import save_model

    written = save_model(described, out)
    typer.echo(f"written: {out} ({len(layers)} layers, SHA-256 {written.weights_sha256})")
    if written.input_mpp is None:
        complain(
            "warning",
            "the card gives no input_mpp, so slides cannot be run until --card input_mpp=... "
            "says how many micrometres a pixel of its tiles is",
        )


@command("show", after="nothing was changed", of=cards)
@model_flags()
def show(model: Annotated[ChosenModel, typer.Argument(help=SOURCES)]) -> None:
    """Print what a model is: its card, as JSON."""
    typer.echo(json.dumps(model.load().card.model_dump(mode="json"), indent=2))


@command("schema", after="nothing was changed", of=cards)
def schema() -> None:
    """Print the JSON schema of card.json."""
    typer.echo(schema_text(), nl=False)


def schema_text() -> str:
    """The schema of `ModelCard`, as it is published in docs/card.schema.json."""
    told = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    fields = ModelCard.model_json_schema()
    fields["properties"]["$schema"] = {"type": "string"}  # by which editors find the schema
    return json.dumps({**told, **fields}, indent=2) + "\n"


def _answered(card: ModelCard, name: str) -> ModelCard:
    """The card with a field as somebody answers; asked again until it can work."""
    field = ModelCard.model_fields[name]
    known = getattr(card, name)
    while True:
        question = f"{name}: {field.description}\n "
        typed = _asked(question, _shown(known), name)
        if typed == _shown(known):
            return card
        try:
            return _changed(card, name, _value(known, typed))
        except SmoothsalError as error:
            complain("error", str(error))


def _asked(question: str, known: str, name: str) -> str:
    """What somebody types, or ``known`` where that is Enter."""
    try:
        return str(typer.prompt(question, default=known, err=True))
    except typer.Abort as error:
        if isinstance(error.__context__, EOFError):
            raise SettingError(
                f"nobody answered for {name}; without a terminal give what you know as "
                "--card FIELD=VALUE and leave the rest as it is with --no-ask"
            ) from error
        raise KeyboardInterrupt from error


def _changed(card: ModelCard, name: str, value: Any) -> ModelCard:
    from napari_smoothsal.models.libraries.base import NAMELESS

    fields = {**card.model_dump(), name: value}
    if name == "class_names":
        if len(value) != len(card.class_names):
            raise SettingError(
                f"the network decides between {len(card.class_names)} classes; give as many names"
            )
        for other in ("default_target", "background"):
            if fields[other] not in value:
                fields[other] = None
        fields["notes"] = (card.notes or "").replace(NAMELESS, "").strip() or None
    return ModelCard(**fields)


def _shown(value: Any) -> str:
    if value is None:
        return _UNKNOWN
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _value(known: Any, typed: str) -> Any:
    if typed.strip() == _UNKNOWN:
        return None
    if isinstance(known, tuple):
        return tuple(part.strip() for part in typed.split(","))
    return typed.strip()


def _with_card(model: Model, card: ModelCard) -> Model:
    from napari_smoothsal.models import Model

    return Model(model.module, card)
