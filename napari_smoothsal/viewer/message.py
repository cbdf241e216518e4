"""Message: what every message between napari's process and the engine has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

Pair = tuple[float, float]


class Message(BaseModel):
    """One line of JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")
