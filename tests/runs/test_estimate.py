"""What a run will take: nothing remembered is timed, and choosing costs what it saves."""

import time
from pathlib import Path

import pytest
from small_runs import ALL, SPECS, explained
from torch import nn

from napari_smoothsal import plan_tiles
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.models import Model
from napari_smoothsal.runs.disk_space import BLOCK_BYTES
from napari_smoothsal.runs.estimate import estimate_run

PASS_S = 0.02


def taken(store: Path) -> int:
    """Bytes of a store on a disk: files and folders by whole blocks."""
    files = [BLOCK_BYTES * -(-f.stat().st_size // BLOCK_BYTES) for f in files_of(store)]
    return sum(files) + BLOCK_BYTES * len([f for f in [store, *store.rglob("*")] if f.is_dir()])


def files_of(store: Path) -> list[Path]:
    return [file for file in store.rglob("*") if file.is_file()]


@pytest.mark.parametrize("how", [{}, {"predict_only": True}, {"where": "p(tumour) > 0.4"}])
def test_the_store_takes_what_was_said(noisy, classifier, tmp_path: Path, how) -> None:
    """Picture, table and metadata, too, which are most of a small run's store."""
    found = estimate_run(noisy, classifier, SPECS, tiling=ALL, **how)
    explained(noisy, classifier, tmp_path / "s.zarr", **how)
    assert 0.7 * found.bytes < taken(tmp_path / "s.zarr") <= found.bytes


class Slow(nn.Module):
    """Takes its time for each pass."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x):
        time.sleep(PASS_S)
        return self.inner(x)


def test_predictions_and_maps_are_timed_each_by_itself(noisy, classifier) -> None:
    model = Model(Slow(classifier.module).eval(), classifier.card)
    spec = SPECS[0].model_copy(update={"layer": "inner.layer1"})
    whole = estimate_run(noisy, model, [spec], tiling=ALL)
    assert whole.prediction_seconds is None and whole.plan.grid.tile_px == 64
    some = estimate_run(noisy, model, [spec], tiling=ALL, top=3)
    tiles = len(plan_tiles(noisy, model, ALL, layers=["inner.layer1"]))
    # Two tiles in a pass.
    assert some.prediction_seconds >= tiles * PASS_S / 2
    assert 3 * PASS_S / 2 <= some.seconds < whole.seconds / 4
    only = estimate_run(noisy, model, [spec], tiling=ALL, predict_only=True)
    assert only.prediction_seconds is None
    assert only.bytes < some.bytes < whole.bytes
    assert len(only.plan) * PASS_S / 2 <= only.seconds
    assert whole.memory_bytes > 1 << 20
    with pytest.raises(SettingError, match="no map is to be made"):
        estimate_run(noisy, model, [], tiling=ALL, top=3)
