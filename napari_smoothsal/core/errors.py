"""Every error that is raised on purpose. Each message names the thing, the value and the remedy."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class SmoothsalError(Exception):
    """Base of all errors raised on purpose."""


class SettingError(SmoothsalError):
    """A field of a spec, a tiling, a compute setting or a card has a value that cannot work."""


class UnknownNameError(SmoothsalError):
    """A name that nothing is registered under, or that a model does not have."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        known = list(known)
        near = get_close_matches(name, known, n=3, cutoff=0.4)
        if near:
            hint = "did you mean " + " or ".join(repr(n) for n in near) + "?"
        elif known:
            hint = "there are: " + ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
        else:
            hint = "there are none"
        super().__init__(f"no {what} named {name!r}; {hint}")
        self.name = name
        self.near = near


class SlideError(SmoothsalError):
    """A slide that cannot be opened, read or used."""


class MissingResolutionError(SlideError):
    """The micrometres per pixel are needed and neither the file nor the user gives them."""


class SlideTooCoarseError(SlideError):
    """The slide has fewer pixels per micrometre than the model needs."""


class TileReadError(SlideError):
    """One region of an otherwise readable slide cannot be decoded."""


class AnnotationError(SmoothsalError):
    """A file of annotations, verdicts or a shared view that cannot be read, used or written."""


class ModelError(SmoothsalError):
    """A model that cannot be loaded, listed or explained."""


class TooFewTilesError(ModelError):
    """Running statistics cannot be fitted to so few tiles."""


class UnsafeModelError(ModelError):
    """A model file that can only be read by running code that it contains."""


class StoreError(SmoothsalError):
    """A store that cannot be written, opened or resumed."""


class UnreachableError(StoreError, OSError):
    """A store on a URL that is not there, does not answer, or lets nobody in.

    An OSError, too: to a run it is what a full or vanished disk is, and the next try may succeed.
    """


class ComputeError(SmoothsalError):
    """The device cannot do what was asked of it: memory that ran out."""


class DeviceLostError(ComputeError):
    """A device that refuses a process all further work."""
