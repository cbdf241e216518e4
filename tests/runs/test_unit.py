"""Units of a stage: every band and every tile is one unit's, and each computes what it needs."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import assert_same_bits, explained, small_bands

from napari_smoothsal import Compute
from napari_smoothsal.core.errors import StoreError
from napari_smoothsal.runs import Run
from napari_smoothsal.runs.durable_store import DurableStore
from napari_smoothsal.runs.engine import carry_out
from napari_smoothsal.runs.layout import DONE, PENDING
from napari_smoothsal.runs.stage import Stage
from napari_smoothsal.runs.unit import MOST_TWICE, UNITS_PER_WORKER, Unit, cut_out, units_of
from napari_smoothsal.runs.unit_writer import UnitWriter
from napari_smoothsal.runs.writer_lock import only_writer, writer_of
from napari_smoothsal.slides.grid import LayerWindow, TileGrid

BAND = 256


def stage_of(rows: list[int], columns: int, strides: list[int]) -> Stage:
    """Tiles of 64 px in some rows, and an image for each stride."""
    origins = np.array([(64 * y, 64 * x) for y in sorted(rows) for x in range(columns)], np.int64)
    windows = {str(s): LayerWindow((s, s), (0.0, 0.0), (0, 0), (64 // s, 64 // s)) for s in strides}
    images = {
        n: SimpleNamespace(window=str(s), grid=SimpleNamespace(origin=(0, 0)))
        for n, s in enumerate(strides)
    }
    grid = TileGrid(64, 0, 64, (1.0, 1.0), origins, windows)
    return Stage("explaining", None, grid, np.arange(len(origins)), images)  # type: ignore[arg-type]


@st.composite
def begun(draw):
    """A stage, what of it is done, and how it is cut."""
    rows = draw(st.lists(st.integers(0, 199), min_size=1, max_size=60, unique=True))
    strides = draw(st.lists(st.sampled_from([1, 4, 16]), max_size=3))
    stage = stage_of(rows, draw(st.integers(1, 5)), strides)
    chance = np.random.default_rng(draw(st.integers(0, 99)))
    share = draw(st.sampled_from([0.0, 0.5, 1.0]))
    status = np.where(chance.random(len(stage)) < share, PENDING, DONE).astype(np.uint8)
    bands = {n: chance.random(-(-200 * 64 // s // BAND)) < share for n, s in enumerate(strides)}
    return stage, status, bands, draw(st.integers(1, 16)), draw(st.integers(1, 9))


def reaches(stage: Stage, image: int, tile: int) -> set[int]:
    top, height = stage.corners[image][tile, 0], stage.grid.windows[stage.images[image].window]
    return {int(y) // BAND for y in range(top, top + height.count[0])}


@given(begun())
def test_every_band_and_every_tile_is_of_one_unit_which_computes_all_of_it(case) -> None:
    stage, status, open_bands, batch_size, workers = case
    units = units_of(stage, status, open_bands, batch_size, workers)
    assert len(units) <= (UNITS_PER_WORKER * workers if workers > 1 else 1)
    for n, is_open in open_bands.items():
        owners = sum((unit.bands[n].astype(int) for unit in units), np.zeros(len(is_open), int))
        assert (owners == is_open).all()
    assert (sum((unit.own.astype(int) for unit in units), np.zeros(len(stage), int)) <= 1).all()
    cut_as = {tuple(batch) for batch in stage.batches(batch_size)}
    for unit in units:
        assert cut_as >= {tuple(batch) for batch in unit.batches}
        assert all(a[-1] < b[0] for a, b in zip(unit.batches, unit.batches[1:], strict=False))
        computed = {int(tile) for batch in unit.batches for tile in batch}
        needed = {tile for tile in range(len(stage)) if status[tile] == PENDING and unit.own[tile]}
        for n, bands in unit.bands.items():
            mine = set(np.flatnonzero(bands))
            needed |= {tile for tile in range(len(stage)) if mine & reaches(stage, n, tile)}
        assert computed >= needed
    pending = np.flatnonzero(status == PENDING)
    assert all(any(unit.own[tile] for unit in units) for tile in pending)


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("strides", [[], [4], [4, 16]])
def test_units_are_about_equal_and_little_is_computed_twice(
    strides: list[int], workers: int
) -> None:
    stage = stage_of(list(range(512)), 40, strides)
    bands = {n: np.ones(-(-512 * 64 // s // BAND), np.bool_) for n, s in enumerate(strides)}
    units = units_of(stage, np.zeros(len(stage), np.uint8), bands, 16, workers)
    assert workers <= len(units) <= UNITS_PER_WORKER * workers
    sizes = [len(unit) for unit in units]
    assert max(sizes) <= 1.6 * min(sizes)
    assert sum(sizes) <= (1 + MOST_TWICE / 4) * len(stage)


def test_a_cut_that_costs_more_than_it_saves_is_not_made() -> None:
    # One band of the coarse image is as high as all tiles.
    stage = stage_of(list(range(60)), 4, [16])
    units = units_of(stage, np.zeros(240, np.uint8), {0: np.ones(1, np.bool_)}, 4, 8)
    assert [len(unit) for unit in units] == [240]


def seconds(units: list[Unit], workers: int) -> int:
    """Of workers that take a tile a second each, and a unit after the other."""
    ends = [0] * workers
    for unit in units:
        soonest = ends.index(min(ends))
        ends[soonest] += len(unit)
    return max(ends)


def test_where_many_parts_would_cost_too_much_there_are_as_many_as_end_soonest() -> None:
    stage = stage_of(list(range(400)), 5, [16])
    bands = {0: np.ones(7, np.bool_)}

    def end(workers: int) -> int:
        units = units_of(stage, np.zeros(len(stage), np.uint8), bands, 16, workers)
        return seconds(units, workers)

    asked = [1, 2, 4, 16, 1024]
    found = [end(workers) for workers in asked]
    assert found == sorted(found, reverse=True)
    assert found[-1] < len(stage) / 6


@pytest.mark.parametrize("rows", [70, 100, 130, 200, 300])
def test_two_workers_are_nearly_twice_as_fast_as_one(rows: int) -> None:
    # Three equal units would take two workers as long as two thirds of it.
    stage = stage_of(list(range(rows)), 20, [4])
    bands = {0: np.ones(-(-rows * 16 // BAND), np.bool_)}
    units = units_of(stage, np.zeros(len(stage), np.uint8), bands, 16, 2)
    assert seconds(units, 2) < 0.6 * len(stage)


@pytest.mark.parametrize("workers", [2, 5])
def test_a_store_of_several_units_is_that_of_one(
    workers: int, noisy, classifier, tmp_path: Path, monkeypatch
) -> None:
    small_bands(monkeypatch)
    monkeypatch.setattr("napari_smoothsal.runs.unit.MOST_TWICE", 9.0)  # whatever it costs
    compute = Compute(batch_size=2)
    whole = explained(noisy, classifier, tmp_path / "whole.zarr", compute=compute)
    begun = []
    put, written = DurableStore.set, []

    async def noted(store, key, value) -> None:
        written.append((store, key))
        await put(store, key, value)

    monkeypatch.setattr(DurableStore, "set", noted)

    class InUnits:
        def carry_out(self, order) -> bool:
            stage, sink, units = order.stage, order.writer, order.units(workers)
            begun.append(len(units))
            parts = [cut_out(stage, unit) for unit in units]
            writers = [UnitWriter(sink.path, stage.images, own) for _, own in parts]
            for (part, own), writer in zip(reversed(parts), reversed(writers), strict=True):
                assert carry_out(
                    part, own, order.slide, writer, readers=None, resampling=order.resampling,
                    report=order.report, stop=order.stop,
                )  # fmt: skip
            mine = [{key for store, key in written if store is one._store} for one in writers]
            assert 0 < sum(map(len, mine)) == len(set().union(*mine)), "no chunk is of two"
            for writer in writers:
                sink.record(writer.done)
            return True

    crew = InUnits()
    cut = explained(noisy, classifier, tmp_path / "cut.zarr", compute=compute, crew=crew)
    assert begun[0] > 1
    assert_same_bits(Run(whole.path), Run(cut.path))


def test_a_unit_whose_owner_is_gone_writes_nothing(noisy, classifier, tmp_path: Path) -> None:
    path = explained(noisy, classifier, tmp_path / "a.zarr", compute=Compute(batch_size=2)).path
    with only_writer(path):
        owner = writer_of(path)
        assert owner is not None
        UnitWriter(path, {}, Unit([], {}, np.ones(0, np.bool_)), owner).write_band(0, 0, [])
    writer = UnitWriter(path, {}, Unit([], {}, np.ones(0, np.bool_)), owner)
    with pytest.raises(StoreError, match=r"does not hold 'a.zarr' any more \(now: nobody\)"):
        writer.write_band(0, 0, [])
    assert not writer.done.bands
