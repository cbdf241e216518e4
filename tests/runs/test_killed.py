"""kill -9 at any moment: the run goes on, and ends as if nothing had happened, bit for bit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_runs import assert_same_bits

from napari_smoothsal import open_run

# torch is imported once, and each run is a forked process of its own: killing one says nothing
# else than killing a process that was started for it, and costs less.
VICTIMS = """
import os, random, shutil, signal, sys, time
sys.path.insert(0, {tests!r})
import numpy as np
import conftest
from napari_smoothsal import *
from napari_smoothsal.runs import layout, writing
from napari_smoothsal.slides import ArraySlide

layout.BAND, layout.COARSEST_PX, writing.TABLE_S = 16, 32, 0.02
pixels = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
model, folder, kills, seed = conftest.random_classifier(), {folder!r}, {kills}, {seed}


def run(out, where):
    pid = os.fork()
    if pid:
        return pid
    explain_slide(ArraySlide([pixels], mpp=(0.5, 0.5)), model,
        [SaliencySpec(layer="layer1", samples=4)], out, tiling=Tiling(tissue="all"), where=where,
        compute=Compute(batch_size=2, device="cpu", readers=1), progress=False)
    os._exit(0)


chance, took = random.Random(seed), {{}}
for where in (None, "p(tumour) > 0.025"):
    start = time.monotonic()
    assert os.waitpid(run(f"{{folder}}/straight{{where is None}}.zarr", where), 0)[1] == 0
    took[where] = time.monotonic() - start
for number in range(kills):
    where = chance.choice([None, "p(tumour) > 0.025"])
    out = f"{{folder}}/{{number}}.zarr"
    for _ in range(chance.choice([1, 2, 3])):
        victim = run(out, where)
        time.sleep(chance.uniform(0, took[where]))
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
    assert os.waitpid(run(out, where), 0)[1] == 0
    print(number, where is None, flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.timeout(3600)
def test_killed_at_random_moments_it_ends_with_the_same_bits(kills, tmp_path: Path) -> None:
    tests = str(Path(__file__).parents[1])
    code = VICTIMS.format(tests=tests, folder=str(tmp_path), kills=kills, seed=kills)
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    straight = {name: open_run(tmp_path / f"straight{name}.zarr") for name in ("True", "False")}
    assert set(straight["False"].tiles.status) == {"done", "not_explained"}
    ended = [line.split() for line in said.stdout.splitlines()]
    assert len(ended) == kills
    for number, whole in ended:
        killed = open_run(tmp_path / f"{number}.zarr")
        assert killed.status == "complete"
        assert_same_bits(straight[whole], killed)
    # Neither litter nor locks.
    assert not [*tmp_path.rglob("*.partial"), *tmp_path.glob(".*")]
