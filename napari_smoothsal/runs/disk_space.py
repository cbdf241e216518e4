"""What a store takes on the disk beside its maps: the slide's picture, the table, metadata.

On a small run that is more than the maps, so it is measured: laid out in memory, as a store is.
"""

from __future__ import annotations

from pathlib import PurePosixPath

import numpy as np
import zarr
from zarr.core.buffer import Buffer
from zarr.storage import MemoryStore

from napari_smoothsal.attribution import Explainer
from napari_smoothsal.runs.codecs import zstd
from napari_smoothsal.runs.contents import empty_columns, overview_of, stitched_images
from napari_smoothsal.runs.plan import RunPlan
from napari_smoothsal.slides import Slide

BLOCK_BYTES = 4096
"""What a file takes multiples of on most disks, and a folder one of."""


def bytes_beside_maps(slide: Slide, plan: RunPlan, explainer: Explainer) -> int:
    """Bytes of a run's store on a disk but for the pixels of its maps.

    The picture is compressed as in the store; the table counts in full, as its numbers, once they
    are known, are hardly smaller.

    Parameters
    ----------
    slide, plan, explainer
        The run.
    """
    held: dict[str, Buffer] = {}
    root = zarr.create_group(MemoryStore(held), zarr_format=3)
    for name in ("OME", "overview", "maps", "tiles", "state"):
        root.create_group(name)
    planes = np.ascontiguousarray(overview_of(slide)[0].transpose(2, 0, 1))
    root.create_array("overview/0", data=planes, chunks=planes.shape, compressors=zstd())
    images = stitched_images(plan, explainer)
    for image in images:
        image.lay_out(root, slide.require_mpp())
    classes = len(explainer.model.card.class_names)
    columns = empty_columns(plan, classes, len(explainer.specs))
    for name, column in columns.items():
        root.create_array(f"tiles/{name}", shape=column.shape, dtype=column.dtype)
    # A chunk each, beside the metadata that was just made: of a column, and of what resuming reads.
    chunks = {f"tiles/{name}/c/0": column.nbytes for name, column in columns.items()}
    for index, image in enumerate(images):
        root.create_array(f"state/rows_{index}", shape=(image.bands,), dtype="u1")
        chunks[f"state/rows_{index}/c/0"] = image.bands
    if explainer.specs:
        root.create_array("state/chosen", shape=(len(plan),), dtype="u1")
        chunks["state/chosen/c/0"] = len(plan)
    files = {key: len(value) for key, value in held.items()} | chunks
    folders = {folder for key in files for folder in PurePosixPath(key).parents}
    return sum(map(_on_disk, files.values())) + BLOCK_BYTES * len(folders)


def _on_disk(size: int) -> int:
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES
