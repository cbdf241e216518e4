"""A warning blames the code that called the package."""

import warnings

from napari_smoothsal.core.caller_warning import warn_caller


def deep(module: str, depth: int) -> None:
    """Warn below so many functions of a module of that name."""
    space = {"__name__": module, "warn_caller": warn_caller}
    exec("def at(n): at(n - 1) if n else warn_caller('so it is')", space)
    space["at"](depth)


def test_the_first_caller_outside_is_blamed_however_deep() -> None:
    for depth in (0, 1, 7):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            deep("napari_smoothsal.runs.of_something", depth)
        assert [(w.filename, str(w.message)) for w in caught] == [(__file__, "so it is")]


def test_another_package_whose_name_begins_so_is_a_caller() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        deep("napari_smoothsal_extras", 2)
    assert caught[0].filename == "<string>"
