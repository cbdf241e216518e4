"""A family of alternatives (denoisings, methods, model formats): one entry per file, one table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, Protocol, TypeVar

from napari_smoothsal.core.errors import UnknownNameError


class Named(Protocol):
    """An entry knows the name it is registered under."""

    @property
    def name(self) -> str: ...


EntryT = TypeVar("EntryT", bound=Named)


class Registry(Mapping[str, EntryT], Generic[EntryT]):
    """Entries by name, in the order in which they were registered.

    Parameters
    ----------
    what
        What an entry is called in messages, e.g. ``"denoising"``.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._entries: dict[str, EntryT] = {}

    def register(self, entry: EntryT) -> EntryT:
        """Add an entry; a second one of the same name is a programming error."""
        if entry.name in self._entries:
            raise ValueError(f"{self.what} {entry.name!r} is registered twice")
        self._entries[entry.name] = entry
        return entry

    def __getitem__(self, name: str) -> EntryT:
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownNameError(self.what, name, self._entries) from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
