"""What modes of one command do: each gets what it uses, and all else is refused by name."""

from typing import Annotated, Any, get_args

import pytest
import typer

from napari_smoothsal.cli.evaluation_mode import Fields, Mode, modes_flags
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.perturbation import Perturbation

Number = Annotated[int, typer.Option(help="A number.")]
Word = Annotated[str, typer.Option(help="A word.")]

RAN: list[tuple[str, Any]] = []


def count(number: Number, word: Word | None = None) -> None:
    RAN.append(("count", (number, word)))


def follow(number: Number = 3, *, given: dict[str, Any]) -> None:
    RAN.append(("follow", (number, given)))


def pick(pick: Annotated[str, typer.Option(help="One.")], number: Number = 5) -> None:
    RAN.append(("pick", (pick, number)))


def usual(word: Word, size: Number = 7) -> None:
    RAN.append(("usual", word))


MODES = (
    Mode(name="count", title="Count.", run=count, refusal="beside --count"),
    Mode(
        name="follow",
        title="Follow.",
        run=follow,
        settings=(Fields(Perturbation, ("cells",)),),
        refusal="beside --follow",
    ),
    Mode(name="pick", title="Pick one.", run=pick, refusal="beside --pick"),
    Mode(name="", title="the usual", run=usual, refusal="by itself"),
)


@modes_flags(MODES)
def evaluate() -> None:
    """Help."""


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    RAN.clear()


@pytest.mark.parametrize(
    ("typed", "ran"),
    [
        ({"count": True, "number": 2}, ("count", (2, None))),
        ({"count": True, "number": 2, "word": "a", "follow": False}, ("count", (2, "a"))),
        ({"follow": True}, ("follow", (3, {}))),
        ({"follow": True, "number": 1, "cells": 7}, ("follow", (1, {"cells": 7}))),
        ({"pick": "red"}, ("pick", ("red", 5))),
        ({"word": "a", "count": False, "number": None}, ("usual", "a")),
    ],
)
def test_the_chosen_one_runs_with_what_was_typed(typed: dict[str, Any], ran: object) -> None:
    evaluate(**typed)
    assert [ran] == RAN


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"count": True}, "--count needs --number"),
        ({"count": True, "number": 2, "cells": 7}, "--cells has no use beside --count"),
        ({"follow": True, "steps": 7}, "--steps has no use beside --follow"),
        ({"follow": True, "word": "a"}, "--word has no use beside --follow"),
        ({"word": "a", "number": 2}, "--number has no use by itself"),
        ({"count": True, "pick": "red"}, "choose one evaluation: --count or --pick"),
        ({}, "choose what to evaluate: --count, --follow or --pick, or give --word for the usual"),
    ],
)
def test_what_does_not_go_is_refused_by_name(typed: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError) as refused:
        evaluate(**typed)
    assert said in str(refused.value) and not RAN


def test_flags_are_those_of_all_modes_and_none_is_needed() -> None:
    parameters = evaluate.__signature__.parameters
    assert {"count", "follow", "pick", "number", "word", "cells", "steps"} <= set(parameters)
    own = ("count", "follow", "pick", "number", "word", "size")
    assert not any(parameters[name].default for name in own)
    said = {name: get_args(parameters[name].annotation)[1].help for name in ("number", "size")}
    # Of several defaults none is told.
    assert said == {"number": "A number.", "size": "A number. [default: 7]"}
    assert evaluate.__doc__ == "Help."
