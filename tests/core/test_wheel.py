"""The built wheel works without the checkout, sample data included."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.splitlines()
    if not listed:
        pytest.skip("needs a git checkout: only tracked files may decide what is packed")
    for name in listed:
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    subprocess.run([*build, "-w", str(folder), str(source)], check=True)
    (wheel,) = folder.glob("napari_smoothsal-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(unpacked: Path, code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=unpacked,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_it_holds_the_sample_data_and_no_tests(unpacked: Path) -> None:
    assert (unpacked / "napari_smoothsal/sample_data/sample_slide.tif").stat().st_size <= 5e6
    assert (unpacked / "napari_smoothsal/napari.yaml").is_file()
    assert (unpacked / "napari_smoothsal/py.typed").is_file()
    tops = {p.name for p in unpacked.iterdir() if not p.name.endswith(".dist-info")}
    assert tops == {"napari_smoothsal"}


def test_its_model_and_slide_load_from_it(unpacked: Path) -> None:
    code = (
        "import napari_smoothsal as ss\n"
        "from napari_smoothsal.slides.sample import sample_slide_path\n"
        "model = ss.load_model('demo-classifier')\n"
        "with sample_slide_path() as path, ss.open_slide(path) as slide:\n"
        "    print(ss.__file__, model.card.name, slide.width)"
    )
    file, name, width = run(unpacked, code).rsplit(maxsplit=2)
    assert Path(file).is_relative_to(unpacked)
    assert name == "demo-classifier" and int(width) >= 6000
