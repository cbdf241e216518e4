"""The shipped slide, its ground truth and the demonstration model keep what their README says."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from openslide import OpenSlide
from safetensors.torch import load_file
from shapely.geometry import Point, shape
from shapely.ops import unary_union
from skimage.color import rgb2hed
from skimage.draw import polygon2mask

from napari_smoothsal import sample_data
from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.models.architectures import ARCHITECTURES
from napari_smoothsal.sample_data.patches import centre_crop, load_patches, split_patches
from napari_smoothsal.sample_data.tiles import render_tile, render_tiles

FOLDER = Path(sample_data.__file__).parent
SLIDE = FOLDER / "sample_slide.tif"
MODEL = FOLDER / "models" / "demo-classifier"
NUCLEI = ("normal nucleus", "tumour nucleus")
UNSEEN_SEED = 5_000_000  # neither trained on nor among the tiles measured for the card


@pytest.fixture(scope="module")
def slide():
    with OpenSlide(SLIDE) as opened:
        yield opened


@pytest.fixture(scope="module")
def features():
    truth = json.loads((FOLDER / "sample_slide.geojson").read_text(encoding="utf-8"))
    assert truth["type"] == "FeatureCollection"
    return [(f["properties"]["classification"]["name"], f["geometry"]) for f in truth["features"]]


@pytest.fixture(scope="module")
def card():
    return ModelCard(**json.loads((MODEL / "card.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def network(card):
    arguments = dict(card.architecture)
    assert arguments.pop("library") == "napari_smoothsal"
    module = ARCHITECTURES[arguments.pop("name")](**arguments)
    module.load_state_dict(load_file(MODEL / "model.safetensors"), strict=True)
    return module.eval()


def predict(network, card, images):
    pixels = torch.from_numpy(np.moveaxis(np.asarray(images), -1, 1).astype(np.float32) / 255)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (card.mean, card.std))
    with torch.no_grad():
        return network((pixels - mean) / std).argmax(1).numpy()


def balanced_accuracy(network, card, images, labels):
    predicted = predict(network, card, images)
    return np.mean([(predicted[labels == c] == c).mean() for c in (0, 1)])


def test_openslide_reads_size_levels_and_resolution(slide):
    assert slide.properties["openslide.vendor"] == "generic-tiff"
    assert float(slide.properties["openslide.mpp-x"]) == 0.5
    assert float(slide.properties["openslide.mpp-y"]) == 0.5
    assert slide.dimensions[0] >= 6000
    assert slide.level_count >= 3
    assert SLIDE.stat().st_size <= 5_000_000


def test_coarser_levels_show_the_same_place(slide):
    level = slide.level_count - 1
    coarse = np.asarray(slide.read_region((0, 0), level, slide.level_dimensions[level]))
    factor = round(slide.level_downsamples[level])
    fine = np.asarray(slide.read_region((0, 0), 0, slide.dimensions))[..., :3].astype(np.float32)
    height, width = coarse.shape[:2]
    mean = fine.reshape(height, factor, width, factor, 3).mean(axis=(1, 3))
    coarse = coarse[..., :3].astype(np.float32)
    # JPEG keeps colour at half resolution, hence the few grey values of difference.
    error = np.abs(mean - coarse).mean()
    assert error < 6
    for step, axis in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
        assert np.abs(mean - np.roll(coarse, step, axis)).mean() > 1.3 * error


def test_between_40_and_70_percent_is_glass(slide):
    level = slide.level_count - 1
    image = np.asarray(slide.read_region((0, 0), level, slide.level_dimensions[level]))[..., :3]
    glass = (image.min(axis=-1) > 215).mean()
    assert 0.4 < glass < 0.7


def test_both_kinds_of_nuclei_and_tumour_areas_lie_inside_the_slide(slide, features):
    counts = Counter(name for name, _ in features)
    assert set(counts) == {*NUCLEI, "tumour area"}
    assert min(counts[name] for name in NUCLEI) > 1000
    width, height = slide.dimensions
    corners = np.concatenate([np.array(geometry["coordinates"][0]) for _, geometry in features])
    assert corners.min() >= 0
    assert corners[:, 0].max() <= width
    assert corners[:, 1].max() <= height


def test_polygons_are_valid_and_nuclei_have_the_size_of_nuclei(features):
    diameters = {name: [] for name in NUCLEI}
    for name, geometry in features:
        polygon = shape(geometry)
        assert polygon.is_valid
        if name in diameters:
            diameters[name].append(2 * np.sqrt(polygon.area / np.pi) * 0.5)
    assert 5.5 < np.median(diameters["normal nucleus"]) < 8
    assert 10 < np.median(diameters["tumour nucleus"]) < 16


def test_tumour_nuclei_lie_in_tumour_areas(features):
    areas = unary_union([shape(g).buffer(6) for name, g in features if name == "tumour area"])
    centres = [shape(g).centroid for name, g in features if name == "tumour nucleus"]
    inside = np.mean([areas.contains(Point(centre)) for centre in centres[::5]])
    assert inside > 0.98


@pytest.mark.parametrize("name", NUCLEI)
@pytest.mark.parametrize("left_top", [(1900, 1100), (2700, 2200)])
def test_nuclei_are_where_the_truth_says(slide, features, name, left_top):
    side, shift = 900, 4
    region = slide.read_region(left_top, 0, (side, side)).convert("RGB")
    haematoxylin = rgb2hed(np.asarray(region))[..., 0]
    inside, any_nucleus = np.zeros((2, side, side), bool)
    for other, geometry in features:
        ring = np.array(geometry["coordinates"][0], float) - left_top
        if other == "tumour area" or ring.min() < 8 or ring.max() > side - 8:
            continue
        low = np.floor(ring.min(0)).astype(int)
        size = np.ceil(ring.max(0)).astype(int) - low + 1
        mask = polygon2mask(tuple(size[::-1]), (ring - low)[:, ::-1])
        place = slice(low[1], low[1] + size[1]), slice(low[0], low[0] + size[0])
        any_nucleus[place] |= mask
        if other == name:
            inside[place] |= mask
    assert inside.sum() > 2000
    here = haematoxylin[inside].mean()
    assert here > 1.5 * haematoxylin[~any_nucleus].mean()
    for rows, columns in ((shift, 0), (-shift, 0), (0, shift), (0, -shift)):
        moved = np.roll(inside, (rows, columns), (0, 1))
        assert haematoxylin[moved].mean() < here


def test_card_describes_the_weights(card, network):
    weights = MODEL / "model.safetensors"
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == card.weights_sha256
    assert weights.stat().st_size <= 3_000_000
    assert card.class_names == ("normal", "tumour")
    assert (card.background, card.default_target) == ("normal", "tumour")
    assert (card.input_size, card.input_mpp, card.input_mpp_range) == (224, 0.5, (0.25, 0.5))
    assert "NOT for diagnosis" in card.intended_use
    assert all(torch.isfinite(p).all() for p in network.state_dict().values())


@pytest.mark.parametrize("mpp", [pytest.param(0.25, marks=pytest.mark.slow), 0.5])
def test_classifier_knows_unseen_synthetic_tiles(network, card, mpp):
    images, labels = render_tiles(UNSEEN_SEED, 60, mpp)
    assert balanced_accuracy(network, card, images, labels) >= 0.96


def test_classifier_knows_the_sample_slide(network, card, slide, features):
    # Only tiles that are clearly one or the other, and not glass.
    areas = unary_union([shape(g).buffer(0) for name, g in features if name == "tumour area"])
    images, labels = [], []
    for top in range(0, slide.dimensions[1] - 224, 224):
        for left in range(0, slide.dimensions[0] - 224, 224):
            middle = Point(left + 112, top + 112).buffer(56, cap_style="square")
            covered = areas.intersection(middle).area / middle.area
            distant = areas.distance(Point(left + 112, top + 112)) > 160
            if not (covered > 0.95 or distant):
                continue
            tile = np.asarray(slide.read_region((left, top), 0, (224, 224)))[..., :3]
            if (tile.min(axis=-1) < 200).mean() > 0.3:
                images.append(tile)
                labels.append(int(covered > 0.95))
    assert min(Counter(labels).values()) > 20
    assert balanced_accuracy(network, card, images, np.array(labels)) >= 0.95


def test_classifier_takes_empty_glass_for_normal(network, card):
    glass = [np.full((224, 224, 3), grey, np.uint8) for grey in (255, 243, 230)]
    assert predict(network, card, glass).tolist() == [0, 0, 0]


def test_classifier_knows_most_held_out_real_patches(network, card):
    if not os.environ.get("SMOOTHSAL_DATA"):
        pytest.skip(
            "SMOOTHSAL_DATA is unset; it should name a folder with patches/normal and "
            "patches/tumor from github.com/DIDSR/DeepLearningCamelyon_II"
        )
    _, held_out = split_patches(load_patches())
    labels = np.array([patch.label for patch in held_out])
    images = [centre_crop(patch.image) for patch in held_out]
    assert balanced_accuracy(network, card, images, labels) >= 0.8


def test_held_out_patches_are_stratified_and_apart_from_training():
    if not os.environ.get("SMOOTHSAL_DATA"):
        pytest.skip("SMOOTHSAL_DATA is unset; see test_classifier_knows_most_held_out_real_patches")
    training, held_out = split_patches(load_patches())
    assert len(training) == 40
    assert Counter(patch.label for patch in held_out) == {0: 10, 1: 10}
    assert not {p.name for p in training} & {p.name for p in held_out}
    # 256-px patches whose corners are 512 px apart share no pixel.
    for one in training:
        for other in held_out:
            apart = max(abs(a - b) for a, b in zip(one.place, other.place, strict=True))
            assert one.slide != other.slide or apart >= 512


@pytest.mark.parametrize("mpp", [0.25, 0.5])
def test_rendering_is_deterministic(mpp):
    tile = render_tile(3, mpp, tumour=True)
    assert tile.shape == (224, 224, 3)
    assert np.array_equal(tile, render_tile(3, mpp, tumour=True))
    assert not np.array_equal(tile, render_tile(4, mpp, tumour=True))
