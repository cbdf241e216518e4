"""PackedStates: what became of the tiles of a map, all of them, as a message.

A line for each tile would be megabytes of text; arrays that are packed are some bytes a tile.
"""

from __future__ import annotations

import base64
import io

import numpy as np
from pydantic import Base64Bytes

from napari_smoothsal.runs.tile_lattice import TileLattice
from napari_smoothsal.runs.tile_states import TileStates
from napari_smoothsal.viewer.message import Message, Pair

ARRAYS = ("explained", "not_explained", "predicted", "probability")


class PackedStates(Message):
    """A `TileStates`.

    Attributes
    ----------
    arrays
        ``tiles`` of the lattice, and one value per tile, as ``.npz``.
    corner_px, kept_px, step_px
        Of the lattice.
    outcomes, target, one_class, choice
        As there.
    """

    arrays: Base64Bytes
    corner_px: Pair
    kept_px: Pair
    step_px: Pair
    outcomes: tuple[str, ...]
    target: str
    one_class: bool
    choice: str

    def unpacked(self) -> TileStates:
        """What was packed."""
        with np.load(io.BytesIO(self.arrays), allow_pickle=False) as found:
            arrays = {name: found[name] for name in (*ARRAYS, "tiles")}
        tiles = arrays.pop("tiles")
        arrays["probability"] = arrays["probability"].astype(np.float32)
        return TileStates(
            lattice=TileLattice(tiles, self.corner_px, self.kept_px, self.step_px),
            outcomes=self.outcomes,
            target=self.target,
            one_class=self.one_class,
            choice=self.choice,
            **arrays,
        )


def packed(states: TileStates) -> PackedStates:
    """Pack it; probabilities to three digits."""
    arrays = {name: getattr(states, name) for name in ARRAYS}
    arrays["probability"] = states.probability.astype(np.float16)
    file = io.BytesIO()
    np.savez_compressed(file, tiles=states.lattice.tiles, **arrays)
    lattice = states.lattice
    return PackedStates(
        arrays=base64.b64encode(file.getvalue()),
        corner_px=lattice.corner_px,
        kept_px=lattice.kept_px,
        step_px=lattice.step_px,
        outcomes=states.outcomes,
        target=states.target,
        one_class=states.one_class,
        choice=states.choice,
    )
