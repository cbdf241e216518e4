"""Regions that refine themselves: in the end the same map, before that growing ones."""

from pathlib import Path

import numpy as np
import pytest
from small_runs import ALL

from napari_smoothsal import Compute, SaliencySpec
from napari_smoothsal.runs import estimate_run, explain_slide, refine_region

REGION = (20, 30, 200, 150)
SPECS = [
    SaliencySpec(layer="layer1", samples=6, sigma=0.3),
    SaliencySpec(layer="layer2", samples=6, sigma=0.3, denoising="original"),
]
COMPUTE = Compute(device="cpu", precision="fp32", batch_size=3)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every round is written."""
    monkeypatch.setattr("napari_smoothsal.runs.refine.ROUND_S", 0.0)


def test_the_last_round_is_what_a_run_computes(noisy, classifier, tmp_path: Path) -> None:
    slide, model = noisy, classifier
    tables, shares = [], []
    last = refine_region(
        slide,
        model,
        SPECS,
        tmp_path / "view",
        region=REGION,
        tiling=ALL,
        compute=COMPUTE,
        on_round=lambda run, done: (tables.append(run.tiles), shares.append(done)),
    )
    run = explain_slide(
        slide,
        model,
        SPECS,
        tmp_path / "run.smoothsal.zarr",
        region=REGION,
        tiling=ALL,
        compute=COMPUTE,
        progress=False,
    )
    assert last is not None and last.status == "complete"
    for key, expected in run.maps.items():
        got = last.maps[key]
        assert (got.shape, got.translate_um) == (expected.shape, expected.translate_um)
        np.testing.assert_allclose(got.levels[0][:], expected.levels[0][:], rtol=1e-4, atol=1e-6)
    key = next(iter(run.maps))
    assert shares == pytest.approx([count / 6 for count in range(1, len(shares) + 1)])
    # The first round comes after one sample, and each knows more than the one before.
    tables.append(last.tiles)
    drawn = [float(table[f"samples_{key}"].mean()) for table in tables]
    assert drawn[0] == 1 and drawn[-1] == 6 and drawn == sorted(set(drawn))
    errors = [float(table[f"se_{key}"].mean()) for table in tables[1:]]
    assert errors[-1] < errors[0]
    assert len(list((tmp_path / "view").iterdir())) == 2


def test_it_stops_and_refuses(noisy, classifier, tmp_path: Path) -> None:
    given = {"region": REGION, "tiling": ALL, "compute": COMPUTE}
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 4

    stopped = refine_region(noisy, classifier, SPECS, tmp_path, **given, stop=stop)
    assert stopped is None and len(asked) == 5

    def refuse(plan) -> None:
        raise ValueError(len(plan))

    with pytest.raises(ValueError, match=r"^\d+$"):
        refine_region(noisy, classifier, SPECS, tmp_path / "b", **given, on_plan=refuse)
    assert not (tmp_path / "b").exists()


def test_an_estimate_has_the_runs_tiles_and_an_upper_bound(
    noisy, classifier, tmp_path: Path
) -> None:
    given = {"region": REGION, "tiling": ALL, "compute": COMPUTE}
    found = estimate_run(noisy, classifier, SPECS, **given)
    out = tmp_path / "run.smoothsal.zarr"
    run = explain_slide(noisy, classifier, SPECS, out, **given, progress=False)
    assert len(found.plan) == len(run.tiles) and found.seconds is not None
    maps = sum(f.stat().st_size for f in (out / "maps").rglob("*") if f.is_file())
    assert 0 < maps < found.bytes
    nothing = estimate_run(noisy, classifier, SPECS, **given, stop=lambda: True)
    assert nothing.seconds is None
