"""The package as a whole: what importing it costs, and that its parts are packed."""

import configparser
import subprocess
import sys
from pathlib import Path

import pytest

import napari_smoothsal as ss

ROOT = Path(__file__).parents[2]


def _fresh(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importing_the_package_loads_neither_torch_nor_napari() -> None:
    heavy = _fresh(
        "import sys, napari_smoothsal;"
        "print([m for m in ('torch','napari','qtpy','zarr','openslide') if m in sys.modules])"
    )
    assert heavy == "[]"


def test_the_headless_rooms_never_load_napari_or_qt() -> None:
    heavy = _fresh(
        "import sys, napari_smoothsal as ss, napari_smoothsal.render.figure;"
        "ss.explain_slide, ss.explain_tiles, ss.total_variation;"
        "import napari_smoothsal.cli.run, napari_smoothsal.cli.demo;"
        "print([m for m in sys.modules if m.split('.')[0] in ('napari','qtpy','PyQt6')])"
    )
    assert heavy == "[]"


@pytest.mark.parametrize("name", ss.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(ss, name) is not None


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="explain_slid"):
        _ = ss.explain_slid  # type: ignore[attr-defined]


def test_every_room_is_in_the_wheel() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    packed = set(config["options"]["packages"].split())
    files = (ROOT / "napari_smoothsal").rglob("__init__.py")
    rooms = {".".join(p.parent.relative_to(ROOT).parts) for p in files}
    assert packed == {"napari_smoothsal.sample_data", *rooms}
