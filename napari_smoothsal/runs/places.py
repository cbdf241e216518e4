"""Where a store lies: a folder of this machine, or a URL that fsspec writes to.

A folder is a `pathlib.Path`; a URL is a `UPath`, made here alone. An object behind one is put whole
or not at all, and lies on the server's disks once that has answered. Renaming is copying there, so
that nothing is renamed.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit
from urllib.request import url2pathname
from uuid import uuid4

from napari_smoothsal.core.errors import SettingError, StoreError, UnreachableError
from napari_smoothsal.core.urls import is_url

if TYPE_CHECKING:
    from typing_extensions import TypeIs
    from upath import UPath

Place: TypeAlias = "Path | UPath"

EXTRA = "remote"

_ANSWERS = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)
"""Errors that say how things are; all others say that it could not be found out."""
_REFUSALS = ("Credential", "Token", "Unauthorized", "Forbidden", "AccessDenied", "Authentication")
"""In the names of errors by which libraries say that somebody is not let in."""
_RETRIES = {"max_attempts": 8, "mode": "standard"}
"""Of botocore: a request is made so often, later and later, over about half a minute."""


def place_of(out: str | os.PathLike[str] | UPath) -> Place:
    """The place that a path or a URL names.

    Parameters
    ----------
    out
        A path; a URL such as ``s3://bucket/folder`` or ``memory://folder``; or a `UPath`, which is
        taken as it is, with its options.

    Returns
    -------
    Path or UPath
        Credentials and the server's address are not in it: the library of the URL has its own ways
        to them, such as environment variables.

    Raises
    ------
    SettingError
        If what the URL needs is not installed, nothing knows its scheme, or it names no folder.
    """
    if isinstance(out, str) and is_url(out):
        if out.startswith("file://"):
            return Path(url2pathname(urlsplit(out).path))
        return _checked(out)
    if isinstance(out, str | os.PathLike):
        return Path(out)
    return out


def on_url(place: Place) -> TypeIs[UPath]:
    """Whether a place is none of this machine's folders."""
    return not isinstance(place, Path)


def home_of(place: UPath) -> str:
    """Scheme and bucket of a URL, ``s3://bucket``: what messages may say of where it leads."""
    first = place.path.lstrip("/").partition("/")[0]
    return f"{place.protocol}://{first.rpartition('@')[2]}"  # before it some have a key


def make_folder(place: Place) -> None:
    """Make a folder; a URL needs none, and is tried: whether one can write there.

    Raises
    ------
    UnreachableError
        If the bucket is not there, or nobody answers, or lets this process write.
    """
    if not on_url(place):
        place.mkdir(parents=True, exist_ok=True)
        return
    tried = place / f".tried-{uuid4().hex}"
    write_whole(tried, b"")
    remove(tried)


def read_whole(place: Place) -> bytes:
    """What a file holds; FileNotFoundError where there is none."""
    if not on_url(place):
        return place.read_bytes()
    with asked(place):
        return bytes(place.fs.cat_file(place.path))


def write_whole(place: UPath, content: bytes) -> None:
    """Put an object, in place of the one that may be there."""
    with asked(place):
        try:
            place.fs.pipe_file(place.path, content)
        except FileNotFoundError as error:
            raise no_bucket(place) from error


def remove(place: UPath) -> None:
    """Remove an object; one that is not there is removed already."""
    with asked(place), suppress(FileNotFoundError):
        place.fs.rm_file(place.path)


def is_there(place: Place) -> bool:
    """Whether something is there; not where nobody says so."""
    if not on_url(place):
        return place.exists()
    with suppress(OSError), asked(place):
        return bool(place.fs.exists(place.path))
    return False


def mark_of(place: Place) -> Hashable | None:
    """What changes with a file that is replaced; None where there is none."""
    try:
        if not on_url(place):
            told = place.stat()
            return (told.st_ino, told.st_mtime_ns, told.st_size)
        with asked(place):
            return _mark(place.fs.info(place.path))
    except OSError:
        return None


def marks_in(folder: Place, end: str) -> dict[str, Hashable]:
    """`mark_of` every file in a folder whose name ends so, by name."""
    if not on_url(folder):
        found = {file.name: mark_of(file) for file in folder.glob(f"*{end}")}
        return {name: mark for name, mark in found.items() if mark is not None}
    # One request lists them with their marks, where asking for each would take one each.
    with asked(folder), suppress(FileNotFoundError):
        listed = folder.fs.ls(folder.path, detail=True)
        by_name = {str(one["name"]).rpartition("/")[2]: one for one in listed}
        return {name: _mark(one) for name, one in by_name.items() if name.endswith(end)}
    return {}


@contextmanager
def asked(place: Place) -> Iterator[None]:
    """Tell errors of a URL's library in this program's words, which name no server and no key.

    Raises
    ------
    UnreachableError
        Where it could not be found out, or done, what was asked for.
    """
    try:
        yield
    except (*_ANSWERS, StoreError):
        raise
    except Exception as error:
        if not on_url(place):
            raise
        raise unreachable(place, error) from error


def unreachable(place: UPath, error: Exception) -> UnreachableError:
    """The error for what a library said of a URL."""
    named = type(error).__name__
    if isinstance(error, OSError) and error.errno:
        named = os.strerror(error.errno)  # its own words may name the server
    if isinstance(error, PermissionError) or any(word in named for word in _REFUSALS):
        return UnreachableError(
            f"{home_of(place)} does not let this process in ({named}); give credentials that may "
            f"read and write there, as the library of {place.protocol}:// finds them: in "
            "environment variables, in its own files or in ~/.config/fsspec"
        )
    return UnreachableError(
        f"{home_of(place)} did not answer as it should ({named}), and several tries made no "
        "difference; look at the network and at the address of its server, then run the same "
        "command again"
    )


def no_bucket(place: UPath) -> StoreError:
    """The error where a URL leads nowhere."""
    return UnreachableError(
        f"{home_of(place)} is not there; make it, or mind the spelling: it is not made by itself"
    )


def not_on_url(place: UPath, what: str) -> SettingError:
    """The error for what can be done in a folder only."""
    return SettingError(
        f"{what} needs a folder of this machine, and {place.name!r} lies on {home_of(place)}; "
        "leave it away, or copy the store to a folder and do so there"
    )


def _checked(url: str) -> UPath:
    scheme = url.partition("://")[0]
    if "::" in url:
        raise SettingError(
            f"a store cannot be written through {scheme}://; give the URL of a folder alone, such "
            "as s3://bucket/folder"
        )
    try:
        from upath import UPath

        place: UPath = UPath(url, **_options(scheme))
        place.fs  # noqa: B018 - which fails without its library
    except ImportError as error:
        missing = "s3fs" if scheme in ("s3", "s3a") else error.name or str(error)
        raise SettingError(
            f"a store on {scheme}:// needs more than is installed ({missing}); install it with "
            f"pip install 'napari-smoothsal[{EXTRA}]', which has what s3:// needs, or with what "
            "fsspec's documentation names for others"
        ) from error
    except ValueError as error:
        raise SettingError(
            f"nothing that is installed knows {scheme}://; give a folder, or a URL that fsspec "
            "writes to, such as s3://bucket/folder"
        ) from error
    if not place.name:
        raise SettingError(
            f"{scheme}://... names no folder; give one in it, such as s3://bucket/folder"
        )
    return place


def _options(scheme: str) -> dict[str, Any]:
    """What a library is told besides what its own configuration tells it."""
    # What other processes write must be seen at once.
    options: dict[str, Any] = {"use_listings_cache": False}
    if scheme in ("s3", "s3a"):
        from fsspec.config import conf

        own = dict(conf.get(scheme, {}).get("config_kwargs", {}))
        options["config_kwargs"] = {"retries": _RETRIES, **own}
    return options


def _mark(entry: dict[str, Any]) -> str:
    return str(sorted((name, str(value)) for name, value in entry.items()))
