"""Write the synthetic normal tissue against which a classifier's colours are fixed.

``python -m napari_smoothsal.sample_data.normal_tissue [FOLDER ...]``
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from napari_smoothsal.models.normal_tissue import FOLDER, MOST_TILES
from napari_smoothsal.sample_data.tiles import render_tile

CLASSIFIERS = ("demo-classifier", "demo-classifier-robust", "demo-vgg")
MPP = 0.5
FIRST_SEED = 7_000_000
"""Far from the seeds of training and of measuring."""
QUALITY = 90


def write_normal_tissue(model: Path) -> None:
    """Write the tiles into a model folder; the same for every classifier."""
    folder = model / FOLDER
    folder.mkdir(exist_ok=True)
    for number in range(MOST_TILES):
        tile = Image.fromarray(render_tile(FIRST_SEED + number, MPP, tumour=False))
        tile.save(folder / f"{number}.jpg", quality=QUALITY, subsampling=0)


if __name__ == "__main__":
    shipped = [Path(__file__).parent / "models" / name for name in CLASSIFIERS]
    for model_folder in [Path(argument) for argument in sys.argv[1:]] or shipped:
        write_normal_tissue(model_folder)
