"""Predictions of a slide, by this package and by TIAToolbox's PatchPredictor in turn.

A part of `slide.py`. The same ResNet18 sees the same tiles of 224 px at 0.5 um; TIAToolbox lives
in an environment of its own and is asked through a pipe (`tiatoolbox_worker.py`).
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from run_time import profiled
from slide_models import CLASSES, resnet18, resnet18_module
from stopwatch import Took, compared, stopwatch

import napari_smoothsal as ss

AGREE = 1e-4
"""By how much probabilities may differ."""

MPP = 0.5
"""Both are told that the slide has the model's resolution, so that both see the same pixels: of
0.499 um this package would read pixels as they are, and TIAToolbox would resample."""

WORKER = Path(__file__).with_name("tiatoolbox_worker.py")


def against_tiatoolbox(
    slide: Path, python: Path, rounds: int, batch_size: int, workers: int
) -> dict[str, Any]:
    """Times of both, in turn, after one run of each that does not count.

    Parameters
    ----------
    slide
        Whole of it is predicted, glass included.
    python
        Interpreter of an environment with tiatoolbox.
    rounds
        That count.
    batch_size, workers
        Of TIAToolbox.

    Raises
    ------
    AssertionError
        Where tiles or probabilities are not the same.
    """
    # The preprocessing of TIAToolbox's own networks: 0 to 1 and nothing else.
    model = resnet18(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        weights, out = folder / "weights.pt", folder / "theirs.npz"
        torch.save(resnet18_module().state_dict(), weights)
        command = [python, WORKER, slide, weights, len(CLASSES), batch_size, workers, out]
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        worker = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert worker.stdin is not None and worker.stdout is not None
        with worker:
            versions = json.loads(worker.stdout.readline())
            ours, theirs = [], []
            for number in range(rounds + 1):
                took, run = _predicted(slide, model, folder / str(number))
                ours.append(took)
                worker.stdin.write("run\n")
                worker.stdin.flush()
                answer = json.loads(worker.stdout.readline())
                theirs.append(Took(round(answer["seconds"], 3), round(answer["cpu_s"], 3)))
                if number == 0:
                    difference, tiles = _difference(run, np.load(out)), len(run.tiles)
            worker.stdin.close()
        where = profiled(lambda name: _predicted(slide, model, folder / name))
    return {
        "slide": slide.name,
        **versions,
        "our_threads": torch.get_num_threads(),
        "tiles": tiles,
        "their_batch_size": batch_size,
        "their_workers": workers,
        "largest_difference_of_a_probability": difference,
        "first_s": [ours[0].seconds, theirs[0].seconds],
        **compared("theirs", theirs[1:], "ours", ours[1:]),
        "where": where,
    }


def _predicted(slide: Path, model: ss.Model, out: Path) -> tuple[Took, ss.Run]:
    tiling = ss.Tiling(tissue="all")
    with stopwatch() as watch, ss.open_slide(slide, mpp=MPP) as opened:
        run = ss.explain_slide(opened, model, [], out, tiling=tiling, progress=False)
    return watch.took, run


def _difference(run: ss.Run, theirs: Any) -> float:
    """Largest one between two probabilities of a tile, after a check that tiles are the same."""
    tiles = run.tiles
    corners = tiles[["x_px", "y_px"]].to_numpy()
    assert np.allclose(corners, theirs["coordinates"][:, :2]), "the tiles are not the same"
    ours = tiles[[f"p_{name}" for name in CLASSES]].to_numpy()
    # Beyond the slide one goes on with a mirror image, the other with white.
    x, y, w, h = run.region
    inside = (corners + tiles[["w_px", "h_px"]].to_numpy() <= (x + w, y + h)).all(1)
    difference = float(np.abs(ours - theirs["probabilities"])[inside].max())
    assert difference < AGREE, f"probabilities differ by {difference:.2g}"
    return round(difference, 5)
