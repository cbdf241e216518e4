"""Make the sample slide: a pyramidal TIFF for OpenSlide, and its ground truth as GeoJSON.

``python -m napari_smoothsal.sample_data.make_slide [FOLDER]``
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_smoothsal.sample_data.nuclei import Nucleus
from napari_smoothsal.sample_data.rendering import Optics, render
from napari_smoothsal.sample_data.stain import Stain
from napari_smoothsal.sample_data.tissue_model import Layout, sample_layout

SEED = 2024
MPP = 0.5
TILE_PX = 256
STEPS_BETWEEN_LEVELS = 4
LEVELS = 3
JPEG_QUALITY = 74


def write_pyramid(path: Path, image: NDArray[np.uint8]) -> None:
    """Write ``image`` as a tiled JPEG TIFF whose coarser levels are reduced-resolution pages.

    Parameters
    ----------
    path
        File to write.
    image
        uint8 (H, W, 3), sides divisible by 16, at ``MPP``.
    """
    with tifffile.TiffWriter(path) as writer:
        for level in range(LEVELS):
            factor = STEPS_BETWEEN_LEVELS**level
            # OpenSlide reads the resolution as pixels per centimetre.
            per_cm = 1e4 / (MPP * factor)
            writer.write(
                _reduced(image, factor),
                tile=(TILE_PX, TILE_PX),
                photometric="rgb",
                subsampling=(2, 2),
                compression="jpeg",
                compressionargs={"level": JPEG_QUALITY},
                resolution=(per_cm, per_cm),
                resolutionunit="CENTIMETER",
                subfiletype=1 if level else 0,
                # Dates and versions would make the file differ from run to run.
                software=False,
                metadata=None,
                description="Synthetic H&E section, 0.5 um per pixel" if level == 0 else None,
            )


def _reduced(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Mean over blocks of ``factor`` by ``factor`` pixels."""
    if factor == 1:
        return image
    height, width = image.shape[0] // factor, image.shape[1] // factor
    blocks = image[: height * factor, : width * factor].reshape(height, factor, width, factor, 3)
    mean: NDArray[np.float32] = blocks.mean(axis=(1, 3), dtype=np.float32)
    return (mean + 0.5).astype(np.uint8)


def ground_truth(layout: Layout, nuclei: list[Nucleus], mpp: float) -> dict[str, Any]:
    """Outlines of tumour areas and nuclei as a GeoJSON FeatureCollection in level-0 pixels.

    Coordinates count from the slide's top left corner and are rounded to whole pixels, which
    keeps the file small; outlines that leave the slide are cut at its edge.
    """
    height, width = (side / mpp for side in layout.size_um)

    def feature(name: str, outline_um: NDArray[np.float64]) -> dict[str, Any]:
        points = outline_um / mpp
        ring = [
            [round(min(max(x, 0.0), width)), round(min(max(y, 0.0), height))] for y, x in points
        ]
        if ring[0] != ring[-1]:
            ring.append(ring[0])
        return {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"classification": {"name": name}},
        }

    features = [feature("tumour area", outline) for outline in layout.tumour_outlines()]
    features += [feature(nucleus.classification, nucleus.outline()) for nucleus in nuclei]
    return {"type": "FeatureCollection", "features": features}


def sample_slide(layout: Layout) -> tuple[NDArray[np.uint8], list[Nucleus]]:
    """Pixels and nuclei of the sample slide."""
    return render(layout, SEED, MPP, Stain(), Optics())


def main() -> None:
    """Write ``sample_slide.tif`` and ``sample_slide.geojson``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    layout = sample_layout(SEED)
    image, nuclei = sample_slide(layout)
    write_pyramid(folder / "sample_slide.tif", image)
    truth = ground_truth(layout, nuclei, MPP)
    text = json.dumps(truth, separators=(",", ":"))
    (folder / "sample_slide.geojson").write_text(text + "\n", encoding="utf-8")
    tumour = sum(nucleus.kind.tumour for nucleus in nuclei)
    print(f"{image.shape[1]} x {image.shape[0]} px at {MPP} um per pixel")
    print(f"{len(nuclei)} nuclei, {tumour} of them tumour")
    print(f"{(layout.regions == 0).mean():.0%} glass, {layout.tumour_area.mean():.0%} tumour area")


if __name__ == "__main__":
    main()
