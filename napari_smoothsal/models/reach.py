"""Reach: what lies on the paths from a module's output to a tensor that depends on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

Pair = tuple[float, float]


@dataclass(frozen=True)
class Span:
    """Sums along several paths, (y, x): where it is least, and where it is most."""

    least: Pair = (0.0, 0.0)
    most: Pair = (0.0, 0.0)

    def plus(self, stride: Pair) -> Span:
        """Of the same paths after one more step."""
        (a, b), (c, d), (y, x) = self.least, self.most, stride
        return Span((a + y, b + x), (c + y, d + x))

    def joined(self, other: Span | None) -> Span:
        """Of these paths and others."""
        if other is None:
            return self
        (a, b), (c, d) = self.least, other.least
        (e, f), (g, h) = self.most, other.most
        return Span((min(a, c), min(b, d)), (max(e, g), max(f, h)))


@dataclass(frozen=True)
class Reach:
    """What lies between a module's output and a tensor that depends on it.

    Attributes
    ----------
    whole
        The strides, in tile px, of the inputs of all strided convolutions along a path, summed.
    gated, open
        The same as far as the first non-linearity, of the paths that have met one and of those
        that have not; None where there is no such path.
    """

    whole: Span = Span()
    gated: Span | None = None
    open: Span | None = Span()

    @property
    def near(self) -> Span:
        """The sums as far as the first non-linearity, of all paths."""
        if self.open is None:
            assert self.gated is not None, "a path is the one or the other"
            return self.gated
        return self.open.joined(self.gated)

    def beyond(self, stride: Pair) -> Reach:
        """After one more strided convolution, whose input has this stride."""
        further = None if self.open is None else self.open.plus(stride)
        return Reach(self.whole.plus(stride), self.gated, further)

    def past_a_gate(self) -> Reach:
        """After a non-linearity."""
        if self.open is None:
            return self
        return Reach(self.whole, self.near, None)

    def joined(self, other: Reach) -> Reach:
        """Where two paths meet."""
        if other is self or other == self:
            return self
        return Reach(
            self.whole.joined(other.whole),
            other.gated if self.gated is None else self.gated.joined(other.gated),
            other.open if self.open is None else self.open.joined(other.open),
        )


Ancestry = Mapping[str, Reach]
"""The modules that a tensor depends on."""

NO_ANCESTRY: Ancestry = MappingProxyType({})


def joined(ancestries: Iterable[Ancestry]) -> Ancestry:
    """Of several tensors: the modules that any of them depends on."""
    # Nearly every operator has one, and ancestries are never changed: no copy is needed.
    first, *others = sorted(ancestries, key=len, reverse=True) or [NO_ANCESTRY]
    others = [other for other in others if other is not first and other]
    if not others:
        return first
    found = dict(first)
    for ancestry in others:
        for name, reach in ancestry.items():
            known = found.get(name)
            found[name] = reach if known is None or known is reach else known.joined(reach)
    return found


def past_a_gate(ancestry: Ancestry) -> Ancestry:
    """The same after a non-linearity."""
    if all(reach.open is None for reach in ancestry.values()):
        return ancestry
    return {name: reach.past_a_gate() for name, reach in ancestry.items()}
