"""Which codec and chunk suit maps that are written once and browsed?

    python benchmarks/codecs.py --out benchmarks/results/codecs_2_cores.json

Maps of the sample slide at `layer1` and at `input`, noise samples included, as a run stores them.
Each is written to a disk in bands of 256 rows, as a run does, then read whole and in views: boxes
of 1024 px at random places, as a viewer asks for. Sizes are of what is computed (glass costs
nothing). For comparison, with loss: 15 bits of mantissa (a relative error of 1.5e-5, far below the
standard error of noise samples) and float16 (5e-4, and nothing below 6e-8).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from machine import machine
from numpy.typing import NDArray
from slide_models import demo_classifier
from zarr.codecs import BloscCodec, ZstdCodec

import napari_smoothsal as ss
from napari_smoothsal.runs import layout
from napari_smoothsal.slides.sample import sample_slide_path

LAYERS = ("layer1", "input")
REPEATED = {"layer1": 4, "input": 1}
"""Times that a map is laid beside itself, each way, so that it has chunks enough."""

SHARD = 4
"""Chunks of a shard, each way."""

VIEWS, VIEW_PX = 24, 1024

Map = NDArray[np.float32]


@dataclass(frozen=True)
class Way:
    """One way to store a map."""

    name: str
    compressor: Any
    chunk: int = 256
    sharded: bool = False
    dtype: str = "float32"
    mantissa_bits: int = 23

    def rounded(self, values: Map) -> NDArray[Any]:
        """Values as they are stored: with fewer bits of mantissa, the rest zero."""
        if self.mantissa_bits == 23:
            return values.astype(self.dtype)
        drop = 23 - self.mantissa_bits
        half, keep = np.uint32(1 << (drop - 1)), np.uint32(0xFFFFFFFF << drop & 0xFFFFFFFF)
        rounded = ((values.view(np.uint32) + half) & keep).view(np.float32)
        return np.where(np.isfinite(values), rounded, values)


def _blosc(cname: str, level: int, shuffle: str) -> BloscCodec:
    # Said, because zarr guesses it of the bytes else: bitshuffle of single bytes is useless.
    return BloscCodec(cname=cname, clevel=level, shuffle=shuffle, typesize=4)  # type: ignore[arg-type]


TODAY = Way("blosc zstd 3 shuffle", _blosc("zstd", 3, "shuffle"))
WAYS = [
    TODAY,
    *(
        Way(f"blosc {cname} {level} {shuffle}", _blosc(cname, level, shuffle))
        for cname, level, shuffle in (
            ("zstd", 1, "shuffle"),
            ("zstd", 9, "shuffle"),
            ("zstd", 1, "bitshuffle"),
            ("zstd", 3, "bitshuffle"),
            ("zstd", 9, "bitshuffle"),
            ("lz4", 5, "shuffle"),
            ("lz4", 5, "bitshuffle"),
            ("lz4hc", 5, "bitshuffle"),
            ("zlib", 5, "shuffle"),
        )
    ),
    Way("zstd 3", ZstdCodec(level=3)),
    Way("none", None),
    Way(f"{TODAY.name}, chunk 512", TODAY.compressor, chunk=512),
    Way(f"{TODAY.name}, sharded", TODAY.compressor, sharded=True),
    Way(f"{TODAY.name}, chunk 128, sharded", TODAY.compressor, chunk=128, sharded=True),
    Way(f"{TODAY.name}, 15 bits", TODAY.compressor, mantissa_bits=15),
    Way(
        f"{TODAY.name}, float16",
        BloscCodec(cname="zstd", clevel=3, shuffle="shuffle", typesize=2),
        dtype="float16",
    ),
]


def maps_of(samples: int, region: tuple[int, int, int, int] | None) -> dict[str, Map]:
    """(h, w) with NaN on glass, by layer."""
    specs = [ss.SaliencySpec(layer=layer, samples=samples) for layer in LAYERS]
    found = {}
    with sample_slide_path() as path, tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        run = ss.explain_slide(path, demo_classifier(), specs, out, region=region, progress=False)
        for run_map in run.maps.values():
            layer = run_map.spec.layer
            values = np.asarray(run_map.levels[0][:])
            found[layer] = np.tile(values, (REPEATED[layer],) * 2)
    return found


def measured(values: Map, way: Way, folder: Path) -> dict[str, float]:
    """Seconds to write, to read whole and for a view, and bytes per computed px."""
    chunk = (way.chunk, way.chunk)
    step = way.chunk * SHARD if way.sharded else max(way.chunk, layout.BAND)
    path = folder / "map"
    array = zarr.create_array(
        path,
        shape=values.shape,
        chunks=chunk,
        shards=(step, step) if way.sharded else None,
        dtype=way.dtype,
        fill_value=np.nan,
        compressors=way.compressor,
        overwrite=True,
    )
    start = time.perf_counter()
    given = way.rounded(values)
    for top in range(0, len(given), step):  # a shard is written whole, or written anew each time
        array[top : top + step] = given[top : top + step]
    write = time.perf_counter() - start
    array = zarr.open_array(path, mode="r")
    start = time.perf_counter()
    array[:]
    read = time.perf_counter() - start
    chance = np.random.default_rng(0)
    views = []
    for _ in range(VIEWS):
        y, x = (int(chance.integers(0, max(1, n - VIEW_PX))) for n in values.shape)
        start = time.perf_counter()
        array[y : y + VIEW_PX, x : x + VIEW_PX]
        views.append(time.perf_counter() - start)
    files = [f for f in path.rglob("*") if f.is_file() and f.name != "zarr.json"]
    known = int(np.isfinite(values).sum())
    return {
        "bytes_per_px": sum(f.stat().st_size for f in files) / known,
        "files": len(files),
        "write_mpx_s": known / 1e6 / write,
        "read_mpx_s": known / 1e6 / read,
        "view_ms": 1e3 * statistics.median(views),
    }


def table(found: dict[str, dict[str, float]]) -> str:
    """The figures of one layer as a Markdown table."""
    head = "| codec | bytes per px | files | write Mpx/s | read Mpx/s | view ms |"
    lines = [
        f"| {name} | {f['bytes_per_px']:.2f} | {f['files']:.0f} | {f['write_mpx_s']:.0f} | "
        f"{f['read_mpx_s']:.0f} | {f['view_ms']:.1f} |"
        for name, f in found.items()
    ]
    return "\n".join([head, "|---|---|---|---|---|---|", *lines])


def main() -> None:
    """Measure every way in turn, several rounds, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=4, help="noise samples of the maps")
    parser.add_argument("--region", help="X,Y,W,H of the sample slide; else all of it")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    region = tuple(map(int, given.region.split(","))) if given.region else None
    report: dict[str, Any] = {"machine": machine(), "zarr": zarr.__version__}
    for layer, values in maps_of(given.samples, region).items():
        rounds: dict[str, list[dict[str, float]]] = {way.name: [] for way in WAYS}
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(given.rounds):
                for way in WAYS:
                    rounds[way.name].append(measured(values, way, Path(folder)))
        medians = {
            name: {key: round(statistics.median(f[key] for f in found), 3) for key in found[0]}
            for name, found in rounds.items()
        }
        report[layer] = {"shape": values.shape, "samples": given.samples, "codecs": medians}
        print(f"{layer}, {values.shape[0]} x {values.shape[1]} px\n\n{table(medians)}\n")
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
