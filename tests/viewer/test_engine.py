"""The engine process: a real one."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from viewer_listening import Listener

from napari_smoothsal.core.specs import Compute, SaliencySpec
from napari_smoothsal.runs import open_run
from napari_smoothsal.slides.sample import sample_slide_path
from napari_smoothsal.viewer.asked import Describe, DescribeModel, Explain, SlideFile
from napari_smoothsal.viewer.offered import Described, ModelDescribed
from napari_smoothsal.viewer.told import Failed, Finished, Grown, Progressed, Ready, Stopped

SPEC = SaliencySpec(layer="layer1", samples=0)
LONG = SaliencySpec(layer="layer1", samples=400)


def request(
    slide: Any, model: Path, out: Path, spec: SaliencySpec = SPEC, **changes: Any
) -> Callable[[int], Explain]:
    fields: dict[str, Any] = {
        "slide": SlideFile(path=str(slide)) if isinstance(slide, Path) else slide,
        "model": str(model),
        "spec": spec,
        "compute": Compute(batch_size=4),
        "region": (100, 100, 256, 200),
        "out": str(out),
        **changes,
    }
    return lambda number: Explain(id=number, **fields)


@pytest.fixture
def listener(engine: Any, qtbot: Any) -> Listener:
    return Listener(engine, qtbot)


def test_explains_a_region_and_reads_it_out(
    engine: Any, listener: Listener, tiff_slide: Path, model_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "view.smoothsal.zarr"
    engine.ask(request(tiff_slide, model_folder, out))
    done = listener.wait_for(Finished)
    assert done.status == "complete" and done.classes is None and done.reading.empty == 0
    (picture,) = done.pictures
    assert picture.scale_um == (2.0, 2.0)
    assert picture.title.startswith(
        "layer1 | centred hook | activation x gradient | supports tumour"
    )
    assert done.reading.tiles == sum(done.reading.predicted.values()) > 0
    tiles = open_run(out).tiles
    weak = tiles[["p_normal", "p_tumour"]].max(axis=1) < 0.8
    assert done.reading.weak == weak.sum()
    assert done.reading.otherwise == (tiles["predicted"] != "tumour").sum()
    assert done.reading.total_variation is not None and done.reading.total_variation > 0
    assert sum(done.reading.probabilities.values()) == pytest.approx(1, abs=1e-5)
    counts = [(p.done, p.total) for p in listener.seen(Progressed)]
    assert counts[0][0] == 0 and counts[-1][0] == counts[-1][1]


def test_a_segmentation_model_tells_its_classes(
    engine: Any, listener: Listener, tiff_slide: Path, segmenter_folder: Path, tmp_path: Path
) -> None:
    engine.ask(lambda n: DescribeModel(id=n, model=str(segmenter_folder)))
    model = listener.wait_for(ModelDescribed)
    spreads = {layer.name: layer.spread_px for layer in model.layers}
    assert spreads["encoder.layer1"] == 0 and spreads["decoder.blocks.0"] == 8
    assert model.default_layer == "encoder.layer2"
    spec = SaliencySpec(layer="decoder.blocks.0", samples=0, denoising="original")
    engine.ask(request(tiff_slide, segmenter_folder, tmp_path / "v.smoothsal.zarr", spec))
    done = listener.wait_for(Finished)
    assert done.classes is not None and done.classes.outcomes == ("background", "normal", "tumour")
    assert done.reading.target == "tumour"
    assert 0 <= done.reading.empty <= done.reading.tiles
    assert sum(done.reading.probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_describes_what_can_be_chosen(engine: Any, listener: Listener, model_folder: Path) -> None:
    engine.ask(lambda n: Describe(id=n))
    described = listener.wait_for(Described)
    assert {"original", "backward_hook"} <= {d.name for d in described.denoisings}
    engine.ask(lambda n: DescribeModel(id=n, model=str(model_folder)))
    model = listener.wait_for(ModelDescribed)
    main = [layer.name for layer in model.layers if layer.main]
    assert main == ["relu", "layer1", "layer2", "layer3", "layer4"]
    assert model.default_layer == "layer2"
    assert [layer.um_per_px for layer in model.layers[:3]] == [1.0, 2.0, 4.0]
    assert model.default_target == "tumour"


def test_errors_come_back_in_their_own_words(
    engine: Any, listener: Listener, tiff_slide: Path, model_folder: Path, tmp_path: Path
) -> None:
    spec = SaliencySpec(layer="layer9", samples=0)
    engine.ask(request(tiff_slide, model_folder, tmp_path / "a.smoothsal.zarr", spec))
    failed = listener.wait_for(Failed)
    assert failed.kind == "UnknownNameError"
    assert failed.expected
    assert "layer9" in failed.message and "did you mean" in failed.message
    # And it goes on.
    engine.ask(request(tiff_slide, model_folder, tmp_path / "b.smoothsal.zarr"))
    assert listener.wait_for(Finished).status == "complete"


def test_a_view_with_too_many_tiles_is_refused_with_their_number(
    engine: Any, listener: Listener, tiff_slide: Path, model_folder: Path, tmp_path: Path
) -> None:
    engine.ask(request(tiff_slide, model_folder, tmp_path / "a", view=True, max_tiles=3))
    failed = listener.wait_for(Failed)
    assert failed.kind == "ViewTooLargeError"
    assert "at most 3" in failed.message and "zoom in" in failed.message.lower()


def test_a_view_of_a_slide_that_states_a_wrong_resolution_is_told(
    engine: Any, listener: Listener, tmp_path: Path
) -> None:
    with sample_slide_path() as path:
        for number, mpp in enumerate((0.5, 0.25)):
            slide = SlideFile(path=str(path), mpp=(mpp, mpp))
            changes = {"region": (1000, 1200, 600, 600), "view": True}
            out = tmp_path / f"{number}.smoothsal.zarr"
            asked = engine.ask(request(slide, Path("demo-classifier"), out, **changes))
            told = " ".join(listener.wait_for(Finished, lambda f, n=asked: f.id == n).warnings)
            assert ("too small, and the model" in told) == (mpp != 0.5)


def test_cancel_stops_and_the_store_is_resumed(
    engine: Any, listener: Listener, tiff_slide: Path, model_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "slide.smoothsal.zarr"
    make = request(tiff_slide, model_folder, out, LONG, region=None)
    number = engine.ask(make)
    listener.wait_for(Progressed, lambda p: p.done > 0)
    engine.cancel(number)
    stopped = listener.wait_for(Finished)
    assert stopped.status == "running"
    before = listener.seen(Progressed)[-1]
    assert before.done < before.total
    again = engine.ask(make)
    first = listener.wait_for(Progressed, lambda p: p.id == again)
    assert first.total == before.total
    engine.cancel(again)
    listener.wait_for(Finished, lambda f: f.id == again)


def test_a_newer_request_ends_the_older_ones(
    engine: Any, listener: Listener, tiff_slide: Path, model_folder: Path, tmp_path: Path
) -> None:
    first = engine.ask(request(tiff_slide, model_folder, tmp_path / "1.smoothsal.zarr", LONG))
    listener.wait_for(Progressed, lambda p: p.id == first)
    second = engine.ask(request(tiff_slide, model_folder, tmp_path / "2.smoothsal.zarr", LONG))
    third = engine.ask(request(tiff_slide, model_folder, tmp_path / "3.smoothsal.zarr"))
    assert listener.wait_for(Finished, lambda f: f.id == third).status == "complete"
    assert [f.status for f in listener.seen(Finished) if f.id == first] == ["running"]
    assert [s.id for s in listener.seen(Stopped)] == [second]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_killed_engine_is_told_restarted_and_works_again(
    own_engine: Any,
    qtbot: Any,
    tiff_slide: Path,
    model_folder: Path,
    tmp_path: Path,
) -> None:
    listener = Listener(own_engine, qtbot)
    own_engine.ask(request(tiff_slide, model_folder, tmp_path / "1.smoothsal.zarr", LONG))
    listener.wait_for(Progressed, lambda p: p.done > 0)
    ready = listener.wait_for(Ready)
    assert ready.threads == max(1, len(os.sched_getaffinity(0)) - 1) or sys.platform != "linux"
    killed = own_engine.process_id
    with qtbot.waitSignal(own_engine.died, timeout=10_000) as told:
        os.kill(killed, signal.SIGKILL)
    assert "killed" in told.args[0] and "memory" in told.args[0]
    qtbot.waitUntil(lambda: own_engine.process_id not in (0, killed), timeout=10_000)
    own_engine.ask(request(tiff_slide, model_folder, tmp_path / "2.smoothsal.zarr"))
    assert listener.wait_for(Finished).status == "complete"


def test_closing_ends_the_process_at_once(
    own_engine: Any, qtbot: Any, tiff_slide: Path, model_folder: Path, tmp_path: Path
) -> None:
    import time

    listener = Listener(own_engine, qtbot)
    own_engine.ask(request(tiff_slide, model_folder, tmp_path / "1.smoothsal.zarr", LONG))
    listener.wait_for(Progressed, lambda p: p.done > 0)
    number = own_engine.process_id
    assert psutil.pid_exists(number)
    start = time.monotonic()
    own_engine.close()
    assert time.monotonic() - start < 10
    assert not psutil.pid_exists(number)


def test_pixels_of_a_layer_give_the_same_map_as_the_slide(
    engine: Any, listener: Listener, tiff_slide: Path, model_folder: Path, tmp_path: Path
) -> None:
    from types import SimpleNamespace

    import zarr
    from viewer_pictures import pyramid, tissue

    from napari_smoothsal.viewer.pixels import PixelCopy

    region = (320, 256, 250, 200)
    levels = pyramid(tissue(700, 900), 2)
    layer = SimpleNamespace(
        multiscale=True, data=levels, level_shapes=[level.shape for level in levels]
    )
    copy = PixelCopy(layer, region, 64, (0.5, 0.5), tmp_path)
    for _ in copy.steps():
        pass
    assert copy.sent.window == (256, 192, 378, 328)
    maps = []
    for name, slide in (("a", tiff_slide), ("b", copy.sent)):
        out = tmp_path / f"{name}.smoothsal.zarr"
        number = engine.ask(request(slide, model_folder, out, region=region))
        (picture,) = listener.wait_for(Finished, lambda f, n=number: f.id == n).pictures
        values = zarr.open_array(str(Path(picture.store) / picture.paths[0]), mode="r")[:]
        maps.append((picture.translate_um, picture.scale_um, np.asarray(values)))
    assert maps[0][:2] == maps[1][:2]
    np.testing.assert_allclose(maps[0][2], maps[1][2], rtol=1e-3, atol=1e-6)


def test_a_view_refines_itself(
    engine: Any, listener: Listener, tiff_slide: Path, model_folder: Path, tmp_path: Path
) -> None:
    spec = SaliencySpec(layer="layer1", samples=60)
    number = engine.ask(request(tiff_slide, model_folder, tmp_path / "v", spec, view=True))
    finished = listener.wait_for(Finished, lambda a: a.id == number)
    rounds = [a.reading for a in listener.seen(Grown) if a.id == number]
    assert len(rounds) > 1 and all(r is not None for r in rounds)
    drawn = [r.samples for r in rounds] + [finished.reading.samples]
    assert drawn == sorted(drawn) and drawn[0] < 20 and drawn[-1] == 60
    assert finished.reading.standard_error < rounds[1].standard_error
    assert len({a.pictures[0].store for a in listener.seen(Grown) if a.id == number}) > 1
