"""SharedView: a place on a slide, what is seen there and how, to be handed to somebody else.

A small file (``*.smoothsal-view.json``) or the same as one line of text. The slide is named by its
fingerprint, never by path or file name; a model by the name on its card. Both come from outside:
they are data that is checked field by field, sizes are limited before anything is unpacked, and
nothing in them is ever run, or taken for a path.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import zlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from napari_smoothsal.core.errors import AnnotationError, SettingError
from napari_smoothsal.core.files import replaced_at_once
from napari_smoothsal.core.settings import Settings
from napari_smoothsal.core.specs import Compute, SaliencySpec, Tiling

VIEW_SUFFIX = ".smoothsal-view.json"
LINK = "smoothsal-view:"
"""How a link begins; what follows is the file, packed into letters and digits."""
MOST_BYTES = 2**20
"""Of a file, or of a link when it is unpacked."""

Size = Annotated[float, Field(gt=0, le=2**30)]
Place = Annotated[float, Field(ge=-(2**30), le=2**30)]
Text = Annotated[str, Field(max_length=500)]
Part = Literal["view", "region", "slide", "store"]


class SharedMap(Settings):
    """One map of a view.

    Attributes
    ----------
    key, title
        Its name in its run, and in words.
    part
        Of what it is the map; of a store that was opened, ``store``.
    visible, opacity
        As it is shown.
    limit
        Magnitude that gets the full colour.
    """

    key: Text
    title: Text = ""
    part: Part = "store"
    visible: bool = True
    opacity: float = Field(1.0, ge=0, le=1)
    limit: float = Field(gt=0)


class SharedSettings(Settings):
    """With what a map is computed, and how maps are drawn."""

    model: Text
    model_mpp: float | None = Field(None, gt=0, le=100)
    spec: SaliencySpec
    tiling: Tiling = Tiling()
    precision: str = Field(Compute().precision, max_length=20)
    way: Text = ""
    stretched: bool = False
    calibrated: bool = True


class SharedView(Settings):
    """What somebody sees.

    Attributes
    ----------
    slide_fingerprint, slide_size
        Of the slide; (width, height) in level-0 px.
    mpp
        (y, x) micrometres per level-0 px that micrometres are counted with.
    centre_um
        (y, x) of the middle of the window, from the slide's upper left corner.
    size_um
        (height, width) of what is in the window.
    settings
        None where no Saliency dock was open.
    maps
        Those that were open.
    """

    schema_version: Literal[1] = 1
    slide_fingerprint: str = Field(min_length=1, max_length=128)
    slide_size: tuple[int, int]
    mpp: tuple[Size, Size]
    centre_um: tuple[Place, Place]
    size_um: tuple[Size, Size]
    settings: SharedSettings | None = None
    maps: tuple[SharedMap, ...] = Field((), max_length=500)

    def check_slide(self, fingerprint: str, size: tuple[int, int]) -> None:
        """Refuse a slide that is another one.

        Parameters
        ----------
        fingerprint, size
            Of the slide that is open; (width, height).

        Raises
        ------
        AnnotationError
            It says how they differ.
        """
        if fingerprint == self.slide_fingerprint:
            return
        theirs, ours = (" x ".join(map(str, s)) for s in (self.slide_size, size))
        differ = f"it has {theirs} px, this one {ours}" if theirs != ours else "of the same size"
        raise AnnotationError(
            f"this view is of another slide than the one that is open ({differ}; fingerprint "
            f"{self.slide_fingerprint[:12]}, this one {fingerprint[:12]}); open the slide that it "
            "is of, then the view again"
        )

    @property
    def without_paths(self) -> SharedView:
        """The same, but tissue that a file of this machine marks is looked for anew."""
        if self.settings is None or self.settings.tiling.tissue in ("auto", "all"):
            return self
        tiling = self.settings.tiling.model_copy(update={"tissue": "auto"})
        settings = self.settings.model_copy(update={"tiling": tiling})
        return self.model_copy(update={"settings": settings})


def view_as_link(view: SharedView) -> str:
    """One line of text that `view_of_link` reads."""
    packed = zlib.compress(_json(view).encode(), 9)
    return LINK + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def view_of_link(text: str) -> SharedView:
    """The view in a line of text.

    Raises
    ------
    AnnotationError
        If it is none, was cut off, or is too large.
    """
    text = "".join(text.split())  # mail programs break long lines
    if not text.startswith(LINK) or len(text) > MOST_BYTES:
        raise AnnotationError(
            f"no link to a view: it must begin with {LINK!r}, and begins with {text[:20]!r}; copy "
            "the whole line"
        )
    letters = text.removeprefix(LINK)
    try:
        packed = base64.urlsafe_b64decode(letters + "=" * (-len(letters) % 4))
        unpacking = zlib.decompressobj()
        content = unpacking.decompress(packed, MOST_BYTES)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise AnnotationError(f"the link is damaged ({error}); copy the whole line") from error
    if unpacking.unconsumed_tail or not unpacking.eof:
        raise AnnotationError("the link is cut off, or too large for a view; copy the whole line")
    return _parsed(content, "the link")


def read_shared_view(path: str | os.PathLike[str]) -> SharedView:
    """The view in a file.

    Raises
    ------
    AnnotationError
        If the file cannot be read, or holds no view.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        why = error.strerror or "no reason given"
        raise AnnotationError(
            f"{path.name}: the view cannot be read ({why}); look whether it is there"
        ) from error
    if len(content) > MOST_BYTES:
        raise AnnotationError(f"{path.name}: too large for a view; it must be below 1 MiB")
    return _parsed(content, path.name)


def write_shared_view(path: str | os.PathLike[str], view: SharedView) -> Path:
    """Write a view.

    Raises
    ------
    AnnotationError
        If the file cannot be written.
    """
    path = Path(path)
    try:
        with replaced_at_once(path) as part:
            part.write_text(_json(view, indent=1), encoding="utf-8")
    except OSError as error:
        why = error.strerror or "no reason given"
        raise AnnotationError(
            f"{path.name}: the view cannot be written ({why}); choose another folder"
        ) from error
    return path


def _json(view: SharedView, indent: int | None = None) -> str:
    return view.without_paths.model_dump_json(indent=indent)


def _parsed(content: bytes, what: str) -> SharedView:
    try:
        fields = json.loads(content)
        if not isinstance(fields, dict):
            raise ValueError(f"a {type(fields).__name__}")
        return SharedView(**fields).without_paths
    except (ValueError, TypeError, RecursionError, SettingError) as error:
        raise AnnotationError(
            f"{what}: no view that this version can open ({error}); have it saved again"
        ) from error
