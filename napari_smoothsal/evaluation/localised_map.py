"""Is the map on the right nuclei? One map against nuclei whose outlines and classes are known.

Three questions, each with an interval over blocks of the slide:

- Do map values tell pixels on nuclei of the explained class from everything else explained?
- Does the mean value on a nucleus tell nuclei of the explained class from other nuclei?
- What share of the saliency lies on rims of nuclei, inside them, and elsewhere, and how much is
  that beside their share of the area? Herdt et al., Smooth Deep Saliency, see nuclei outlined in
  layer1 and filled in layer2 of a ResNet-18.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.evaluation.bootstrap import Blocks, Measured
from napari_smoothsal.evaluation.coverage import Coverage, Zone
from napari_smoothsal.evaluation.ranking import Ranked, auroc, average_precision, ranked

Floats = NDArray[np.float64]

PLACES: dict[str, tuple[Zone, ...]] = {
    "class_rim": (Zone.CLASS_INNER_RIM, Zone.CLASS_OUTER_RIM),
    "class_interior": (Zone.CLASS_INTERIOR,),
    "other_rim": (Zone.OTHER_INNER_RIM, Zone.OTHER_OUTER_RIM),
    "other_interior": (Zone.OTHER_INTERIOR,),
    "elsewhere": (Zone.ELSEWHERE,),
}
"""Where saliency can lie; together they are all that was explained."""

GROUPS = ("class", "other")

IDEALS: dict[str, dict[str, tuple[Zone, ...]]] = {
    "outlined": {
        "class": (Zone.CLASS_INNER_RIM, Zone.CLASS_OUTER_RIM),
        "other": (Zone.OTHER_INNER_RIM, Zone.OTHER_OUTER_RIM),
    },
    "filled": {
        "class": (Zone.CLASS_INTERIOR, Zone.CLASS_INNER_RIM),
        "other": (Zone.OTHER_INTERIOR, Zone.OTHER_INNER_RIM),
    },
}
"""Maps that nothing but outline nuclei, or fill them up to their outline."""

_Statistic = Callable[[Floats, Floats], Floats]


def localise(
    values: NDArray[np.floating], covered: Coverage, blocks: Blocks
) -> dict[str, Measured]:
    """Measure one map.

    Parameters
    ----------
    values
        (n,) of the explained pixels, finite, in the order of `covered`; signed as they are.
    covered
        What those pixels lie on.
    blocks
        Of the slide, around the same pixels.

    Returns
    -------
    dict
        ``pixel_auroc``, ``nucleus_auroc``, ``nucleus_ap`` and the same ending in
        ``_magnitude``, of absolute values; ``pixel_floor`` and ``nucleus_floor``, the shares of
        positives (the average precision of values that know nothing); for every place
        ``area_<place>`` and, for ``magnitude`` and ``positive`` part, ``share_<part>_<place>``
        and ``enrichment_<part>_<place>`` (share of saliency over share of area); and per group
        ``rim_over_interior_<part>_<group>`` (saliency per area on rims over that in interiors),
        with ``outlined_<group>`` and ``filled_<group>``: the same of a map that is 1 on rims,
        or on whole nuclei, and 0 elsewhere, averaged over this layer's pixels.
    """
    exact: Floats = np.asarray(values, np.float64)
    ranks = {
        name: blocks.measured(value, resampled)
        for name, value, resampled in rankings(exact, covered, blocks)
    }
    return ranks | dict(_shares(exact, covered, blocks))


def rankings(
    values: Floats, covered: Coverage, blocks: Blocks
) -> Iterator[tuple[str, float, Floats]]:
    """Name, value and (resamples,) resampled values of each figure that ranks; see `localise`."""
    on_class = covered.zones[Zone.CLASS_INTERIOR] + covered.zones[Zone.CLASS_INNER_RIM]
    pixel_block = blocks.of(covered.centres_um)
    area = covered.areas
    there = np.flatnonzero(area)
    nucleus_block = blocks.of(covered.nuclei_um[there])
    of_class = covered.of_class[there].astype(np.float64)
    for ending, shown in (("", values), ("_magnitude", np.abs(values))):
        pixels = ranked(shown, on_class, 1 - on_class, pixel_block, len(blocks))
        yield f"pixel_auroc{ending}", *_resampled(auroc, pixels, blocks)
        mean = (covered.nuclei @ shown)[there] / area[there]
        nuclei = ranked(mean, of_class, 1 - of_class, nucleus_block, len(blocks))
        yield f"nucleus_auroc{ending}", *_resampled(auroc, nuclei, blocks)
        yield f"nucleus_ap{ending}", *_resampled(average_precision, nuclei, blocks)
    yield "pixel_floor", *_resampled(_prevalence, pixels, blocks)
    yield "nucleus_floor", *_resampled(_prevalence, nuclei, blocks)


def _resampled(statistic: _Statistic, items: Ranked, blocks: Blocks) -> tuple[float, Floats]:
    resampled = statistic(
        blocks.weights @ items.positive_by_block, blocks.weights @ items.negative_by_block
    )
    return float(statistic(items.positive, items.negative)), resampled


def _prevalence(positive: Floats, negative: Floats) -> Floats:
    found = positive.sum(-1)
    return _over(found, found + negative.sum(-1))


def _shares(values: Floats, covered: Coverage, blocks: Blocks) -> Iterator[tuple[str, Measured]]:
    zones = np.stack([covered.zones[list(zones)].sum(axis=0) for zones in PLACES.values()])
    block = blocks.of(covered.centres_um)

    def by_place(weight: Floats) -> tuple[Floats, Floats]:
        """(places,) shares of the whole, and (resamples, places) of resampled wholes."""
        sums = np.stack([blocks.sums(block, zone * weight) for zone in zones], axis=1)
        total, drawn = sums.sum(axis=0), blocks.weights @ sums
        return _over(total, total.sum()), _over(drawn, drawn.sum(axis=1, keepdims=True))

    area = by_place(np.ones(len(values)))
    for place, value, resampled in zip(PLACES, area[0], area[1].T, strict=True):
        yield f"area_{place}", blocks.measured(float(value), resampled)
    for part, saliency in (("magnitude", np.abs(values)), ("positive", values.clip(min=0))):
        share = by_place(saliency)
        enriched = _over(share[0], area[0]), _over(share[1], area[1])
        for i, place in enumerate(PLACES):
            yield f"share_{part}_{place}", blocks.measured(float(share[0][i]), share[1][:, i])
            yield (
                f"enrichment_{part}_{place}",
                blocks.measured(float(enriched[0][i]), enriched[1][:, i]),
            )
        for group, ratio in _rim_over_interior(enriched, blocks):
            yield f"rim_over_interior_{part}_{group}", ratio
    for name, ideal in IDEALS.items():
        for group in GROUPS:
            drawn = covered.zones[list(ideal[group])].sum(axis=0, dtype=np.float64)
            share = by_place(drawn)
            enriched = _over(share[0], area[0]), _over(share[1], area[1])
            yield f"{name}_{group}", dict(_rim_over_interior(enriched, blocks))[group]


def _rim_over_interior(
    enriched: tuple[Floats, Floats], blocks: Blocks
) -> Iterator[tuple[str, Measured]]:
    places = list(PLACES)
    for group in GROUPS:
        rim, interior = places.index(f"{group}_rim"), places.index(f"{group}_interior")
        value, resampled = (_over(e[..., rim], e[..., interior]) for e in enriched)
        yield group, blocks.measured(float(value), resampled)


def _over(part: Floats, whole: Floats) -> Floats:
    whole = np.broadcast_to(whole, np.shape(part))
    return np.asarray(np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0))
