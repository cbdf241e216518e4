"""``igos``, ``igos_plus`` and ``igos_plus_plus``: masks optimised along integrated gradients."""

from __future__ import annotations

from napari_smoothsal.attribution.base import METHODS, MaskMethod
from napari_smoothsal.attribution.igos_optimisation import Igos
from napari_smoothsal.attribution.igos_options import (
    IgosOptions,
    IgosPlusOptions,
    IgosPlusPlusOptions,
)
from napari_smoothsal.attribution.perturbation import PerturbedTile


def _igos_plus_plus(tile: PerturbedTile, options: IgosPlusPlusOptions) -> Igos:
    return Igos(
        tile,
        options,
        deletion=options.deletion,
        insertion=options.insertion,
        separate=options.separate_masks,
        bilateral=options.bilateral,
    )


IGOS = METHODS.register(
    MaskMethod(
        name="igos",
        title="I-GOS: the smallest mask that takes the target's probability away",
        positive="decides",
        negative="",
        options=IgosOptions,
        optimise=lambda tile, options: Igos(tile, options, insertion=False, bilateral=False),
    )
)
"""Qi, Khorram & Li 2020; see `Igos`."""

IGOS_PLUS = METHODS.register(
    MaskMethod(
        name="igos_plus",
        title="iGOS+: the smallest mask whose place holds the target's probability",
        positive="decides",
        negative="",
        options=IgosPlusOptions,
        optimise=lambda tile, options: Igos(tile, options, bilateral=options.bilateral),
    )
)
"""The same with insertion; see `Igos`."""

IGOS_PLUS_PLUS = METHODS.register(
    MaskMethod(
        name="igos_plus_plus",
        title="iGOS++: the smallest mask that takes the probability away and alone gives it back",
        positive="decides",
        negative="",
        options=IgosPlusPlusOptions,
        optimise=_igos_plus_plus,
    )
)
"""Khorram, Lawson & Li 2021; see `Igos`."""
