"""What napari's process and the engine process say to each other: one JSON object per line.

JSON and not pickle: nothing in a message can run, and a line can be read in a log. Messages are
small; pixels travel as files, results lie in the store.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, TypeAdapter

from napari_smoothsal.viewer.asked import Request
from napari_smoothsal.viewer.told import Answer

_REQUESTS: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="ask")])
_ANSWERS: TypeAdapter[Answer] = TypeAdapter(Annotated[Answer, Field(discriminator="say")])


def line_of(message: BaseModel) -> bytes:
    """A message as one line."""
    return message.model_dump_json().encode() + b"\n"


def request_of(line: bytes) -> Request:
    """The request in a line."""
    return _REQUESTS.validate_json(line)


def answer_of(line: bytes) -> Answer:
    """The answer in a line."""
    return _ANSWERS.validate_json(line)
