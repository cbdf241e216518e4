"""TIAToolbox's PatchPredictor on a slide, as often as it is asked to; run by its own interpreter.

    python benchmarks/tiatoolbox_worker.py SLIDE WEIGHTS CLASSES BATCH_SIZE WORKERS OUT

WEIGHTS are a torchvision ResNet18's. A line on the standard input asks for a run, a line of JSON
with its seconds and tiles answers; the last run's coordinates and probabilities go to OUT (.npz).
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
import zarr
from tiatoolbox import __version__
from tiatoolbox.models.architecture.vanilla import CNNModel
from tiatoolbox.models.engine.io_config import IOPatchPredictorConfig
from tiatoolbox.models.engine.patch_predictor import PatchPredictor
from torchvision.transforms.functional import to_tensor


def model_of(weights: Path, classes: int) -> CNNModel:
    """Their ResNet18 with given weights, and the preprocessing of their Kather networks."""
    model = CNNModel("resnet18", num_classes=classes)
    given = torch.load(weights, weights_only=True)
    own = model.state_dict()
    # The same layers in the same order under other names.
    assert [v.shape for v in own.values()] == [v.shape for v in given.values()]
    model.load_state_dict(dict(zip(own, given.values(), strict=True)))
    model.preproc_func = lambda image: to_tensor(image).permute(1, 2, 0)
    return model.eval()


def main() -> None:
    """Answer requests until the input ends."""
    slide, weights, classes, batch_size, workers, out = sys.argv[1:]
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    predictor = PatchPredictor(
        model_of(Path(weights), int(classes)),
        batch_size=int(batch_size),
        num_workers=int(workers),
        verbose=False,
    )
    config = IOPatchPredictorConfig(
        patch_input_shape=[224, 224],
        stride_shape=[224, 224],
        input_resolutions=[{"resolution": 0.5, "units": "mpp"}],
    )
    print(
        json.dumps(
            {
                "tiatoolbox": __version__,
                "torch": torch.__version__,
                "threads": torch.get_num_threads(),
            }
        ),
        flush=True,
    )
    for _ in sys.stdin:
        with tempfile.TemporaryDirectory() as folder:
            start, start_cpu = time.perf_counter(), time.process_time()
            found = predictor.run(
                [Path(slide)],
                patch_mode=False,
                ioconfig=config,
                auto_get_mask=False,
                return_probabilities=True,
                save_dir=Path(folder) / "run",
                output_type="zarr",
                wsireader_kwargs={"mpp": (0.5, 0.5)},
            )
            seconds = time.perf_counter() - start
            cpu = time.process_time() - start_cpu
            group = zarr.open_group(str(next(iter(found.values()))), mode="r")
            probabilities = np.asarray(group["probabilities"][:])
            np.savez(
                out, coordinates=np.asarray(group["coordinates"][:]), probabilities=probabilities
            )
        print(
            json.dumps({"seconds": seconds, "cpu_s": cpu, "tiles": len(probabilities)}), flush=True
        )


if __name__ == "__main__":
    main()
