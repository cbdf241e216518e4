"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from upath import UPath


@contextmanager
def replaced_at_once(path: Path | UPath) -> Iterator[Path]:
    """A path to write to in place of another one, which it then becomes in one step.

    Whoever reads meanwhile, or comes after a crash, finds the old file or the new one. Where the
    block raises, the old one stays. Of a URL, what was written is put there whole.
    """
    if not isinstance(path, Path):
        with TemporaryDirectory() as folder:
            part = Path(folder) / "part"
            yield part
            path.fs.pipe_file(path.path, part.read_bytes())
        return
    # Of its own: processes in containers that share a folder may have one number.
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        yield part
        with part.open("r+b") as written:
            os.fsync(written.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
