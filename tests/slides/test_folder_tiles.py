"""Tiles from image files, with classes and without."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from napari_smoothsal.core.errors import SettingError, SlideError
from napari_smoothsal.slides.folder_tiles import FolderTiles
from napari_smoothsal.slides.image_folder import ImageFolder, is_unlabelled
from napari_smoothsal.slides.labelled import images_in, read_picture
from napari_smoothsal.slides.labelled_folder import LabelledFolder
from napari_smoothsal.slides.masked_folder import MaskedFolder


def write(path: Path, height: int = 40, width: int = 48, seed: int = 0) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def test_tiles_are_cut_from_the_middle_or_by_chance(tmp_path: Path) -> None:
    pixels = write(tmp_path / "deep" / "a.png")
    tiles = FolderTiles(images_in(tmp_path), 16)
    (middle,) = tiles.draw([0], None)
    assert np.array_equal(middle.permute(1, 2, 0).numpy(), pixels[12:28, 16:32])
    cuts = torch.stack([tiles.draw([0], random.Random(i))[0] for i in range(8)])
    assert len({cut.numpy().tobytes() for cut in cuts}) == 8
    again = tiles.draw([0], random.Random(3))[0]
    assert torch.equal(again, cuts[3])


def test_images_of_another_resolution_are_reduced(tmp_path: Path) -> None:
    pixels = write(tmp_path / "a.png", 32, 32)
    (tile,) = FolderTiles(images_in(tmp_path), 16, scale=2).draw([0], None)
    means = pixels.reshape(16, 2, 16, 2, 3).mean((1, 3))
    assert np.abs(tile.permute(1, 2, 0).numpy() - means).max() <= 1  # rounded after each axis


def test_small_images_are_mirrored_out_and_tiny_ones_refused(tmp_path: Path) -> None:
    pixels = write(tmp_path / "a.png", 12, 16)
    (tile,) = FolderTiles(images_in(tmp_path), 16).draw([0], None)
    assert np.array_equal(tile[:, 2:14].permute(1, 2, 0).numpy(), pixels)
    write(tmp_path / "b.png", 3, 16)
    with pytest.raises(SlideError, match=r"b\.png: 16 x 3 px"):
        FolderTiles(images_in(tmp_path), 16).draw([1], None)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SlideError, match="has no images"):
        images_in(tmp_path)
    with pytest.raises(SlideError, match="no folder 'missing'"):
        images_in(tmp_path / "missing")
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(SlideError, match=r"bad\.png"):
        FolderTiles(images_in(tmp_path), 16).draw([0], None)
    with pytest.raises(SettingError, match="scale = 0"):
        FolderTiles(images_in(tmp_path), 16, scale=0)


def test_the_fingerprint_changes_with_the_files(tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    before = FolderTiles(images_in(tmp_path), 16).fingerprint
    assert FolderTiles(images_in(tmp_path), 16).fingerprint == before
    assert FolderTiles(images_in(tmp_path), 8).fingerprint != before
    write(tmp_path / "b.png")
    assert FolderTiles(images_in(tmp_path), 16).fingerprint != before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"file,label\na.png\n", "line 2: needs a file and a label"),
        (b"file,label\n,normal\n", "line 2: needs a file and a label"),
        (b"file,label\n\xff\xfe.png,normal\n", "no CSV in UTF-8"),
        (b"name,label\na.png,normal\n", "has the columns name, label"),
    ],
)
def test_tables_that_cannot_be_read_are_told(tmp_path: Path, content: bytes, words: str) -> None:
    write(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(SlideError, match=words):
        LabelledFolder(tmp_path, ("normal",), 16, labels=tmp_path / "labels.csv")


def test_sub_folders_are_classes(tmp_path: Path) -> None:
    write(tmp_path / "Tumour" / "deep" / "a.png")
    write(tmp_path / "normal" / "b.png")
    tiles = LabelledFolder(tmp_path, ("normal", "tumour"), 16)
    assert [(tiles.name(i), tiles.labels[i]) for i in range(2)] == [
        ("Tumour/deep/a.png", 1),
        ("normal/b.png", 0),
    ]
    assert tiles.images([1, 0]).shape == (2, 3, 16, 16)


def test_names_that_are_no_class_are_told_and_can_be_renamed(tmp_path: Path) -> None:
    write(tmp_path / "tumor" / "a.png")
    with pytest.raises(SlideError, match="--rename tumor=tumour"):
        LabelledFolder(tmp_path, ("normal", "tumour"), 16)
    renamed = LabelledFolder(tmp_path, ("normal", "tumour"), 16, renamed={"tumor": "tumour"})
    assert renamed.labels == [1]


def test_a_table_of_labels(tmp_path: Path) -> None:
    write(tmp_path / "x" / "a.png")
    table = tmp_path / "labels.csv"
    table.write_text("file,label\nx/a.png,tumour\n", encoding="utf-8")
    assert LabelledFolder(tmp_path, ("normal", "tumour"), 16, labels=table).labels == [1]
    for text, words in (
        ("file,label\nx/b.png,tumour\n", r"line 2: there is no 'x/b\.png'"),
        ("file,label\nx/a.png,cat\n", r"line 2: 'cat' is no class"),
        ("name,label\n", "it needs 'file' and 'label'"),
    ):
        table.write_text(text, encoding="utf-8")
        with pytest.raises(SlideError, match=words):
            LabelledFolder(tmp_path, ("normal", "tumour"), 16, labels=table)


def test_a_folder_without_sub_folders_needs_a_table(tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    with pytest.raises(SlideError, match="no sub-folders"):
        LabelledFolder(tmp_path, ("normal", "tumour"), 16)


@pytest.mark.parametrize("size", [(40, 48), (31, 90), (48, 33), (48, 54), (24, 24)])
def test_images_without_a_resolution_are_resized_as_torchvision_does(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    pixels = write(tmp_path / "a.png", *size)
    (tile,) = FolderTiles(images_in(tmp_path), 16, shorter_side=24).draw([0], None)
    usual = transforms.Compose([transforms.Resize(24), transforms.CenterCrop(16)])
    assert np.array_equal(tile.permute(1, 2, 0).numpy(), np.asarray(usual(Image.fromarray(pixels))))


def test_what_is_resized_must_hold_a_tile(tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    with pytest.raises(SettingError, match=r"resize = 15: .*give 16 or more"):
        FolderTiles(images_in(tmp_path), 16, shorter_side=15)
    plain = FolderTiles(images_in(tmp_path), 16).fingerprint
    assert FolderTiles(images_in(tmp_path), 16, shorter_side=24).fingerprint != plain


def test_a_table_may_have_indices_but_a_sub_folder_is_no_index(tmp_path: Path) -> None:
    write(tmp_path / "1" / "a.png")
    table = tmp_path / "labels.csv"
    names = [f"class {i}" for i in range(1000)]
    table.write_text("file,label\n1/a.png,999\n", encoding="utf-8")
    assert LabelledFolder(tmp_path, names, 16, labels=table).labels == [999]
    # A class that is called like a number is meant by its name.
    digits = ("0", *"98765432", "999")
    assert LabelledFolder(tmp_path, digits, 16, labels=table).labels == [9]
    for label in ("1000", "-1", "1.0"):
        table.write_text(f"file,label\n1/a.png,{label}\n", encoding="utf-8")
        with pytest.raises(SlideError, match=rf"'{label}' is no class .*class 9 and 990 more"):
            LabelledFolder(tmp_path, names, 16, labels=table)
    with pytest.raises(SlideError, match="'1' is no class"):
        LabelledFolder(tmp_path, names, 16)


def test_every_folder_of_images_is_read_with_its_sub_folders(tmp_path: Path) -> None:
    for name in ("tumour/a", "tumour/deep/er/b", "tumour/.thumbnails/c", "tumour/._d"):
        write(tmp_path / "images" / f"{name}.png", 16, 16)
    masks = tmp_path / "images" / "masks"
    for name in ("tumour/a", "tumour/deep/er/b"):
        (masks / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (16, 16)).save(masks / f"{name}.png")
    files = ["tumour/a.png", "tumour/deep/er/b.png"]
    masked = MaskedFolder(tmp_path / "images", masks, 16)
    assert [masked.name(i) for i in range(len(masked))] == ["tumour/a", "tumour/deep/er/b"]
    shutil.rmtree(masks)
    labelled = LabelledFolder(tmp_path / "images", ("normal", "tumour"), 16)
    assert [labelled.name(i) for i in range(len(labelled))] == files
    classes = ("normal", "tumour")
    assert not is_unlabelled(tmp_path / "images", classes)
    assert is_unlabelled(tmp_path / "images" / "tumour", classes)
    write(tmp_path / "images" / "stray.png", 16, 16)
    with pytest.raises(SlideError, match=r"'stray\.png' beside the folders of classes tumour"):
        is_unlabelled(tmp_path / "images", classes)
    (tmp_path / "images" / "stray.png").unlink()
    plain = ImageFolder(tmp_path / "images", 16)
    assert [plain.name(i) for i in range(len(plain))] == files


def test_a_missing_picture_is_not_called_a_broken_one(tmp_path: Path) -> None:
    with pytest.raises(SlideError, match=r"there is no file 'nowhere\.png'"):
        read_picture(tmp_path / "nowhere.png")
    (tmp_path / "broken.png").write_text("no picture")
    with pytest.raises(SlideError, match="not an image that can be read"):
        read_picture(tmp_path / "broken.png")
