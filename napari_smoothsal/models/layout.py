"""In which order of dimensions a module returns its map, and how that becomes (B, C, h, w)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models.axes import COLUMNS, ROWS, Digit, Placement


@dataclass(frozen=True)
class Layout:
    """What a module's output looks like.

    Attributes
    ----------
    order
        ``BCHW``, as convolutions do; ``BHWC``; ``BNC`` or ``BCN``: tokens, row by row.
    prefix
        Tokens before the patches: a class token, registers. They are no part of the map.
    """

    order: Literal["BCHW", "BHWC", "BNC", "BCN"] = "BCHW"
    prefix: int = 0

    @property
    def channel_dim(self) -> int:
        """Number of the dimension that is the channels."""
        return self.order.index("C")

    def to_map(self, output: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        """A module's output as (B, C, h, w).

        Parameters
        ----------
        output
            In this layout.
        grid
            (h, w) of its map.

        Raises
        ------
        ModelError
            Where there are as many tokens as in no map of this size.
        """
        if self.order == "BCHW":
            return output
        if self.order == "BHWC":
            return output.permute(0, 3, 1, 2)
        channels_first = output.transpose(1, 2) if self.order == "BNC" else output
        patches = channels_first[:, :, self.prefix :]
        if patches.shape[2] != grid[0] * grid[1]:
            raise ModelError(
                f"{patches.shape[2]} patches were made of a tile that {grid[0]} x {grid[1]} "
                "patches cover; give tiles of the size that the model was made for"
            )
        return patches.reshape(*patches.shape[:2], *grid)

    def from_map(self, values: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        """A map (B, C, h, w) as the module would return it, with the output's other tokens."""
        if self.order == "BCHW":
            return values
        if self.order == "BHWC":
            return values.permute(0, 2, 3, 1).contiguous()  # networks look at it by `view`
        patches = values.flatten(2)
        if self.order == "BNC":
            patches = patches.transpose(1, 2)
        dim = self.order.index("N")
        if not self.prefix:
            return patches.contiguous()
        return torch.cat([output.narrow(dim, 0, self.prefix), patches], dim=dim)


MAP = Layout()


def layout_of(placement: Placement) -> Layout | None:
    """Of a module's output; None where it is in no order that maps can be made of."""
    if placement.rolled != (0, 0):
        return None
    if placement.is_map:
        return MAP
    height, width = placement.grid
    rows, columns = (Digit(ROWS, height),), (Digit(COLUMNS, width),)
    _, *rest = placement.dimensions
    if len(rest) == 3 and rest[:2] == [rows, columns]:
        return Layout("BHWC")
    if len(rest) != 2:
        return None
    for dim, order in ((0, "BNC"), (1, "BCN")):
        tokens = rest[dim]
        prefix = tokens[0].prefix if tokens else 0
        if (tokens[0].inner if prefix else tokens) == rows + columns:
            return Layout("BNC" if order == "BNC" else "BCN", prefix)
    return None
