"""Choice: which tiles are explained, once all are predicted.

The expression is a few words of Python's own grammar, of which only comparisons of class
probabilities and of the predicted class are understood; nothing is run.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_smoothsal.core.errors import SettingError, UnknownNameError

Flags = NDArray[np.bool_]

_COMPARED: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}

_SLIPS = (
    (r"=>", "'=>' is written '>='"),
    (r"=<", "'=<' is written '<='"),
    (r"(?<![<>=!])=(?!=)", "a single '=' compares nothing, '==' does"),
    (r"(\d*),(\d+)", r"'\1,\2' is no number, decimals have a point: \1.\2"),
)
"""What is written by mistake, and what to say of it. Nothing that can be understood has any."""

EXAMPLE = "'p(tumour) > 0.5' or 'predicted == tumour and p(tumour) < 0.9'"


@dataclass(frozen=True)
class Choice:
    """Tiles that are worth explaining.

    Attributes
    ----------
    where
        What must be true of them, e.g. ``p(tumour) > 0.5``; None: anything.
    top
        How many at most, those of the highest rank; None: all.
    ranked_by
        Column of the probabilities whose highest ones come first; None: by the highest of all.
    """

    where: str | None
    top: int | None
    ranked_by: int | None = None

    def __post_init__(self) -> None:
        if self.top is not None and self.top < 1:
            raise SettingError(f"top = {self.top}: give 1 or more tiles")

    def check(self, classes: Sequence[str], outcomes: Sequence[str]) -> None:
        """Refuse an expression that means nothing for a model.

        Raises
        ------
        SettingError
            If it is none, names no class of the model's, or compares a probability with what no
            probability can be.
        """
        self.chosen(np.zeros((0, len(classes))), np.zeros(0, np.int64), classes, outcomes)

    def chosen(
        self,
        probabilities: NDArray[np.floating],
        predicted: NDArray[np.integer],
        classes: Sequence[str],
        outcomes: Sequence[str],
    ) -> Flags:
        """(N,) which tiles are to be explained.

        Parameters
        ----------
        probabilities
            (N, classes); NaN of a tile that could not be read, which is never chosen.
        predicted
            (N,) index of the outcome.
        classes, outcomes
            Their names.
        """
        known: Flags = np.isfinite(probabilities).all(1)
        if self.where is not None:
            known = known & _Expression(self.where, probabilities, predicted, classes, outcomes)()
        if self.top is None or known.sum() <= self.top:
            return known
        by = self.ranked_by
        rank = probabilities.max(1) if by is None else probabilities[:, by]
        # Stable: among equals the first on the slide, whenever it is asked.
        order = np.argsort(np.where(known, -rank, np.inf), kind="stable")
        flags = np.zeros(len(known), np.bool_)
        flags[order[: self.top]] = True
        return flags


def choice_in_words(where: str | None, top: int | None) -> str:
    """Which tiles are explained: ``where p(tumour) > 0.5, at most 20``."""
    said = [] if where is None else [f"where {where}"]
    said += [] if top is None else [f"at most {top:,}"]
    return ", ".join(said)


class _Expression:
    """The flags of one expression."""

    def __init__(
        self,
        text: str,
        probabilities: NDArray[np.floating],
        predicted: NDArray[np.integer],
        classes: Sequence[str],
        outcomes: Sequence[str],
    ) -> None:
        self._text = text
        self._probabilities, self._predicted = probabilities, predicted
        self._classes, self._outcomes = list(classes), list(outcomes)

    def __call__(self) -> Flags:
        quoted = self._text
        for name in sorted(self._classes, key=len, reverse=True):
            quoted = quoted.replace(f"p({name})", f"p({name!r})")
        if slip := _slip(quoted):
            raise self._refused(slip)
        try:
            tree = ast.parse(quoted.strip(), mode="eval").body
            return self._flags(tree)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise self._refused("it cannot be read") from error

    def _flags(self, node: ast.expr) -> Flags:
        if isinstance(node, ast.BoolOp):
            parts = [self._flags(value) for value in node.values]
            together = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            return np.asarray(together.reduce(parts), np.bool_)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ~self._flags(node.operand)
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            flags = np.ones(len(self._predicted), np.bool_)
            for left, sign, right in zip(sides, node.ops, sides[1:], strict=False):
                flags &= self._compared(left, sign, right)
            return flags
        raise self._refused(f"{ast.unparse(node)!r} is no comparison")

    def _compared(self, left: ast.expr, sign: ast.cmpop, right: ast.expr) -> Flags:
        compare = _COMPARED.get(type(sign))
        if compare is None:
            raise self._refused("comparisons are >, >=, <, <=, == and !=")
        if _is_predicted(right):
            left, right = right, left
        if _is_predicted(left):
            if not isinstance(sign, ast.Eq | ast.NotEq):
                raise self._refused("of predicted say == or !=")
            index = self._index(right, self._outcomes)
            return np.asarray(compare(self._predicted, index), np.bool_)
        sides = self._value(left), self._value(right)
        for one, other in (sides, sides[::-1]):
            if isinstance(one, float) and not isinstance(other, float) and not 0 <= one <= 1:
                raise self._refused(_no_probability(one))
        flags = np.asarray(compare(*sides), np.bool_)
        return np.broadcast_to(flags, self._predicted.shape)

    def _value(self, node: ast.expr) -> NDArray[np.floating] | float:
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return float(node.value)  # type: ignore[arg-type]
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "p"
            and len(node.args) == 1
            and not node.keywords
        ):
            return self._probabilities[:, self._index(node.args[0], self._classes)]
        raise self._refused(f"{ast.unparse(node)!r} is neither p(CLASS) nor a number")

    def _index(self, node: ast.expr, names: list[str]) -> int:
        if isinstance(node, ast.Name):
            name = node.id
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = node.value
        else:
            raise self._refused(f"{ast.unparse(node)!r} names no class; put the name into quotes")
        if name not in names:
            raise UnknownNameError("class of the model", name, names)
        return names.index(name)

    def _refused(self, why: str) -> SettingError:
        return SettingError(f"where = {self._text!r}: {why}; write e.g. {EXAMPLE}")


def _slip(text: str) -> str | None:
    """What is wrong with an expression, where that is a common mistake."""
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "''", text)  # names of classes may hold anything
    for pattern, said in _SLIPS:
        if found := re.search(pattern, bare):
            return found.expand(said)
    return None


def _no_probability(number: float) -> str:
    """Why nothing can be compared with a number, and what was meant."""
    meant = f"; {number:g} % is {number / 100:g}" if 1 < number <= 100 else ""
    return f"probabilities are from 0 to 1, and {number:g} is not{meant}"


def _is_predicted(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "predicted"
