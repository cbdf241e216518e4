"""Loading weights: how long it takes, and how much memory beside the weights themselves.

``python benchmarks/model_loading.py [--out FILE]``

A ResNet50 and a VGG16 of torchvision with random weights, in each format that is read. Each figure
is of processes of their own. *Peak*: the highest resident memory (VmHWM) less what was resident
before loading, torch imported, over the bytes of the weights. *Folder*: a folder with a card, its
weights hashed, read and put into the network; the file is in the system's cache. *Probed*: with
the forward pass that looks for a softmax at its end, taken when the network is first asked for.
Linux only.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from machine import machine
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision.models import get_model

from napari_smoothsal import load_model
from napari_smoothsal.models.weights import filled, read_weights, sha256_of, state_dict_in

NETWORKS = ("resnet50", "vgg16")
FORMATS = {"safetensors": "w.safetensors", "zip": "w.pt", "legacy": "w.pth"}
ROUNDS = 3
WAYS_OF_FILES = ("checked", "plain")
KEY = ("network", "file", "way")


def write(network: str, folder: Path) -> None:
    """The files, and a folder as `load_model` reads it."""
    state = get_model(network, weights=None).state_dict()
    save_file(state, folder / FORMATS["safetensors"])
    torch.save(state, folder / FORMATS["zip"])
    torch.save(state, folder / FORMATS["legacy"], _use_new_zipfile_serialization=False)
    (folder / "model.safetensors").hardlink_to(folder / FORMATS["safetensors"])
    card = {
        "name": network,
        "kind": "classification",
        "class_names": [str(n) for n in range(1000)],
        "input_size": 224,
        "mean": [0.5] * 3,
        "std": [0.25] * 3,
        "weights_sha256": sha256_of(folder / "model.safetensors"),
        "architecture": {"library": "torchvision", "name": network},
    }
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")


def checked(network: str, path: Path) -> nn.Module:
    return filled(
        partial(get_model, network, weights=None), state_dict_in(read_weights(path), "it"), "it"
    )


def plain(network: str, path: Path) -> nn.Module:
    """As libraries' documentation has it."""
    module = get_model(network, weights=None)
    if path.suffix == ".safetensors":
        module.load_state_dict(load_file(path))
    else:
        module.load_state_dict(torch.load(path, weights_only=True))
    return module


def in_folder(_network: str, path: Path) -> nn.Module:
    return load_model(path.parent)._given


def probed(_network: str, path: Path) -> nn.Module:
    """With the pass that looks for a softmax at the end."""
    return load_model(path.parent).module


WAYS = {"checked": checked, "plain": plain, "folder": in_folder, "probed": probed}


def one(way: str, network: str, path: Path) -> dict[str, float]:
    """Load once in this process."""
    before, start = status("VmRSS"), time.perf_counter()
    module = WAYS[way](network, path)
    seconds = time.perf_counter() - start
    for value in module.state_dict().values():  # a mapping takes memory as it is looked at
        value.sum()
    return {"seconds": seconds, "rise": status("VmHWM") - before}


def status(field: str) -> int:
    """Bytes that Linux says of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def measured(way: str, network: str, path: Path, weights: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", way, network, str(path)]
    runs = [
        json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        for _ in range(ROUNDS)
    ]
    row = {
        "network": network,
        "file": path.name,
        "way": way,
        "weights_mb": round(weights / 1e6, 1),
        "seconds": round(statistics.median(run["seconds"] for run in runs), 3),
        "peak_over_weights": round(statistics.median(run["rise"] for run in runs) / weights, 2),
    }
    print(row, flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="What is there of other networks stays.")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        way, network, path = given.one
        print(json.dumps(one(way, network, Path(path))))
        return
    rows: list[dict[str, Any]] = []
    if given.out and given.out.exists():
        rows = json.loads(given.out.read_text(encoding="utf-8"))["loading"]
    for network in given.networks:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            write(network, folder)
            weights = (folder / FORMATS["safetensors"]).stat().st_size
            asked = [
                *product(("folder", "probed"), ["model.safetensors"]),
                *product(WAYS_OF_FILES, FORMATS.values()),
            ]
            for way, file in asked:
                row = measured(way, network, folder / file, weights)
                rows = [old for old in rows if any(old[k] != row[k] for k in KEY)] + [row]
                if given.out:
                    result = {"machine": machine(), "loading": rows}
                    given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
