"""Findings: what somebody who looked at a machine, a model, a slide or a store has to say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "repaired", "wrong"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    name
        Of the thing, in a word or two.
    state
        ``ok``; ``note``: it works, and should be known; ``repaired``; ``wrong``.
    what
        Was found.
    remedy
        What to do about it; empty where there is nothing to do.
    """

    name: str
    state: State
    what: str
    remedy: str = ""


def ok(name: str, what: str) -> Finding:
    """All is well with it."""
    return Finding(name, "ok", what)


def note(name: str, what: str, remedy: str = "") -> Finding:
    """It works, and should be known."""
    return Finding(name, "note", what, remedy)


def wrong(name: str, what: str, remedy: str) -> Finding:
    """It does not work, or cannot be trusted."""
    return Finding(name, "wrong", what, remedy)


def anything_wrong(findings: Iterable[Finding]) -> bool:
    """Whether something is left to be done."""
    return any(finding.state == "wrong" for finding in findings)


def some_of(things: Iterable[object], most: int = 3) -> str:
    """The first few of many things, in words."""
    said = [str(thing) for thing in things]
    return ", ".join(said[:most]) + (f" and {len(said) - most} more" if len(said) > most else "")
