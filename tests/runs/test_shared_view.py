"""Shared views as files and links: what comes back, and what is refused."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_smoothsal import SaliencySpec, Tiling
from napari_smoothsal.core.errors import AnnotationError
from napari_smoothsal.runs.shared_view import (
    LINK,
    MOST_BYTES,
    SharedMap,
    SharedSettings,
    SharedView,
    read_shared_view,
    view_as_link,
    view_of_link,
    write_shared_view,
)

VIEW = SharedView(
    slide_fingerprint="ab" * 32,
    slide_size=(2000, 1500),
    mpp=(0.5, 0.5),
    centre_um=(120.5, 300.25),
    size_um=(100.0, 160.0),
    settings=SharedSettings(
        model="demo-classifier",
        spec=SaliencySpec(layer="layer2", method="deeplift", method_options={"baseline": "white"}),
        way="spotlight",
    ),
    maps=(SharedMap(key="layer2.centred_hook.gradient.tumour", limit=0.25, opacity=0.5),),
)


def test_it_comes_back_from_a_file_and_from_a_link(tmp_path: Path) -> None:
    path = write_shared_view(tmp_path / "a.smoothsal-view.json", VIEW)
    assert read_shared_view(path) == VIEW
    link = view_as_link(VIEW)
    assert view_of_link(link) == VIEW and len(link) < 1200
    # As a mail program breaks it.
    assert view_of_link("\n ".join(link[i : i + 70] for i in range(0, len(link), 70))) == VIEW
    assert list(tmp_path.iterdir()) == [path]


number = st.floats(-(2**30), 2**30, allow_nan=False)
positive = st.floats(1e-6, 2**30, allow_nan=False)


@settings(max_examples=50, deadline=None)
@given(st.tuples(number, number), st.tuples(positive, positive), st.text(max_size=40))
def test_any_place_and_any_title_come_back_exactly(
    centre: tuple[float, float], size: tuple[float, float], title: str
) -> None:
    named = SharedMap(key="k", title=title, limit=1.0)
    view = SharedView(**{**dict(VIEW), "centre_um": centre, "size_um": size, "maps": (named,)})
    assert view_of_link(view_as_link(view)) == view


def test_no_path_of_this_machine_is_in_it(tmp_path: Path) -> None:
    assert VIEW.settings is not None
    marked = VIEW.settings.model_copy(update={"tiling": Tiling(tissue="/home/me/case.geojson")})
    view = VIEW.model_copy(update={"settings": marked})
    path = write_shared_view(tmp_path / "a.smoothsal-view.json", view)
    assert "home" not in path.read_text()
    for back in (read_shared_view(path), view_of_link(view_as_link(view))):
        assert back.settings is not None and back.settings.tiling.tissue == "auto"
    # And one that somebody has put there by hand leads nowhere.
    text = path.read_text().replace('"tissue": "auto"', '"tissue": "/etc/passwd"')
    path.write_text(text)
    found = read_shared_view(path).settings
    assert found is not None and found.tiling.tissue == "auto"


def test_it_is_checked_against_the_slide() -> None:
    VIEW.check_slide("ab" * 32, (2000, 1500))
    with pytest.raises(AnnotationError, match=r"another slide .*2000 x 1500 px, this one 10 x 20"):
        VIEW.check_slide("cd" * 32, (10, 20))
    with pytest.raises(AnnotationError, match=r"of the same size; fingerprint abab.* cdcd"):
        VIEW.check_slide("cd" * 32, (2000, 1500))


def linked(content: bytes) -> str:
    return LINK + base64.urlsafe_b64encode(zlib.compress(content)).decode()


FIELDS = json.loads(VIEW.model_dump_json())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("https://example.org", "must begin with"),
        ("", "must begin with"),
        (LINK, "cut off"),
        (LINK + "!!!!", "damaged|cut off"),
        (view_as_link(VIEW)[:-40], "damaged|cut off"),
        (linked(b"0" * (MOST_BYTES + 1)), "too large"),
        (linked(b"[" * 100_000), "no view"),
        (linked(b"[]"), "no view .*a list"),
        (linked(json.dumps({**FIELDS, "schema_version": 2}).encode()), "schema_version"),
        (linked(json.dumps({**FIELDS, "run": "rm -rf"}).encode()), "run = "),
        (linked(json.dumps({**FIELDS, "size_um": [0, 1]}).encode()), "size_um"),
        (linked(json.dumps({**FIELDS, "centre_um": [1e999, 1]}).encode()), "centre_um"),
        (linked(json.dumps({**FIELDS, "settings": {"model": "m"}}).encode()), "spec has"),
    ],
)
def test_what_is_no_link_is_refused(text: str, said: str) -> None:
    with pytest.raises(AnnotationError, match=said):
        view_of_link(text)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b"null", b" " * (MOST_BYTES + 1)])
def test_what_is_no_file_of_a_view_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.smoothsal-view.json"
    path.write_bytes(content)
    with pytest.raises(AnnotationError, match=r"a\.smoothsal-view\.json") as found:
        read_shared_view(path)
    assert str(tmp_path) not in str(found.value)
    missing: Any = tmp_path / "nowhere" / "b.json"
    with pytest.raises(AnnotationError, match="cannot be read"):
        read_shared_view(missing)
    with pytest.raises(AnnotationError, match="cannot be written"):
        write_shared_view(missing, VIEW)
