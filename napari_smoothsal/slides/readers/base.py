"""What an entry of the registry of readers is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from types import ModuleType
from typing import ClassVar

from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.slides.base import Slide


class Reader(ABC):
    """A library that slides can be read with.

    Attributes
    ----------
    name
        As `open_slide` and ``--reader`` take it.
    reads
        What it reads, in a message's words.
    urls
        Whether it reads URLs; all read files.
    """

    name: ClassVar[str]
    reads: ClassVar[str]
    urls: ClassVar[bool] = False

    def load(self) -> None:  # noqa: B027 - OpenSlide is there
        """Import the library, where that has to be done before torch is imported.

        Raises
        ------
        SettingError
            Where it is not installed.
        """

    @abstractmethod
    def open(self, source: str, mpp: tuple[float, float] | None) -> Slide:
        """Open a path or URL; `mpp` (y, x) goes before what the file says.

        Raises
        ------
        SlideError
            Where there is no slide, or a damaged one.
        SettingError
            Where the library is not installed.
        """


def imported(module: str, extra: str) -> ModuleType:
    """Import the package of an optional reader.

    Raises
    ------
    SettingError
        Naming the extra that installs it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise SettingError(
            f"reader {module!r} is not installed ({error}); install it with "
            f"pip install 'napari-smoothsal[{extra}]', or leave the reader at openslide"
        ) from error
