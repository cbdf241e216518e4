"""Which tiles are explained: the expression, the highest ranks, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_smoothsal.core.errors import SettingError, UnknownNameError
from napari_smoothsal.runs.choice import Choice

CLASSES = ("normal", "tumour", "in situ")
P = np.array(
    [
        [0.7, 0.2, 0.1],
        [0.1, 0.8, 0.1],
        [0.3, 0.6, 0.1],
        [0.1, 0.2, 0.7],
        [np.nan] * 3,
        [0.1, 0.8, 0.1],
    ]
)
PREDICTED = np.array([0, 1, 1, 2, -1, 1])


def chosen(where=None, top=None, by=None) -> list[int]:
    flags = Choice(where, top, by).chosen(P, PREDICTED, CLASSES, CLASSES)
    return np.flatnonzero(flags).tolist()


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("p(tumour) > 0.5", [1, 2, 5]),
        ("0.5 < p(tumour) < 0.7", [2]),
        ("p('in situ') >= 0.7", [3]),
        ("p(in situ) >= 0.7", [3]),
        ("p(tumour) > p(normal) and not p(tumour) > 0.7", [2, 3]),
        ("predicted == tumour", [1, 2, 5]),
        ("predicted != 'in situ' and (p(tumour) == 0.8 or p(normal) > 0.5)", [0, 1, 5]),
        ("tumour == predicted", [1, 2, 5]),
        ("p(tumour) <= 1", [0, 1, 2, 3, 5]),
        ("0 <= p(tumour)", [0, 1, 2, 3, 5]),
    ],
)
def test_what_an_expression_means(where, expected) -> None:
    assert chosen(where) == expected


@given(st.integers(1, 8), st.sampled_from([None, 0, 1, 2]))
def test_the_highest_ranks_are_chosen(top, by) -> None:
    found = chosen(top=top, by=by)
    rank = P.max(1) if by is None else P[:, by]
    others = sorted({0, 1, 2, 3, 5} - set(found))
    assert len(found) == min(top, 5)
    assert all(rank[i] >= rank[j] for i in found for j in others)


def test_the_highest_of_those_that_an_expression_takes() -> None:
    assert chosen("p(tumour) < 0.7", 1, 1) == [2]
    assert chosen("p(tumour) >= 0.8", 1, 1) == [1]  # among equals the first on the slide


@pytest.mark.parametrize(
    "where",
    [
        "p(tumour)",
        "p(tumour) > ",
        "p(tumour) + 1 > 0.5",
        "p(tumour, normal) > 0.5",
        "q(tumour) > 0.5",
        "__import__('os').system('touch /tmp/x') == 0",
        "p(tumour) > True",
        "p(tumour) in (0.5,)",
        "predicted > tumour",
        "[x for x in ()]",
        "(" * 500 + "p(tumour) > 0.5" + ")" * 500,
        "",
    ],
)
def test_anything_else_is_refused_with_an_example(where) -> None:
    with pytest.raises(SettingError, match=r"(?s)where = .*write e.g. 'p\(tumour\)"):
        Choice(where, None).check(CLASSES, CLASSES)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("p(tumour) > 50", "probabilities are from 0 to 1, and 50 is not; 50 % is 0.5; write"),
        ("0.2 < p(tumour) < 1.5", "and 1.5 is not; 1.5 % is 0.015"),
        ("500 > p(normal)", "and 500 is not; write"),
        ("p(tumour) => 0.5", "'=>' is written '>='"),
        ("p(tumour) =< 0.5", "'=<' is written '<='"),
        ("p(tumour) = 0.5", "a single '=' compares nothing, '==' does"),
        ("predicted = tumour", "a single '=' compares nothing, '==' does"),
        ("p(tumour) > 0,5", "'0,5' is no number, decimals have a point: 0.5"),
        ("p(tumour) > ,5 and predicted == tumour", "decimals have a point: .5"),
    ],
)
def test_a_slip_is_named(where: str, said: str) -> None:
    with pytest.raises(SettingError) as refused:
        Choice(where, None).check(CLASSES, CLASSES)
    assert said in str(refused.value) and f"where = {where!r}: " in str(refused.value)


def test_names_of_classes_may_look_like_slips() -> None:
    names = ("a=b", "1,2", "c=>d")
    for where in ("p(a=b) > 0.5", "p('1,2') > 0.5", "predicted == 'c=>d'", 'predicted != "a=b"'):
        Choice(where, None).check(names, names)


def test_an_unknown_class_is_named() -> None:
    with pytest.raises(UnknownNameError, match="'tumor'; did you mean 'tumour'"):
        Choice("p(tumor) > 0.5", None).check(CLASSES, CLASSES)
    with pytest.raises(UnknownNameError, match="glass"):
        Choice("predicted == glass", None).check(CLASSES, CLASSES)
    with pytest.raises(SettingError, match="top = 0"):
        Choice(None, 0)


def test_among_many_equals_the_first_on_the_slide() -> None:
    equal = np.tile([0.3, 0.7] * 50, 2)[:, None] * np.ones((1, 2))
    flags = Choice(None, 40, 1).chosen(equal, np.zeros(200, int), ("a", "b"), ("a", "b"))
    assert np.flatnonzero(flags).tolist() == list(range(1, 80, 2))
