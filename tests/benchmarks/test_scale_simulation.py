"""The simulation of docs/scale.md, where what it must say is known."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "scale_simulation.py"


@pytest.fixture(scope="module")
def simulation():
    spec = importlib.util.spec_from_file_location("scale_simulation", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(simulation):
    """Slides of 100 s each, and nothing else that takes time."""
    return simulation.Site(
        tiles=100,
        tiles_spread=0,
        pace_spread=0,
        tile_s=1,
        slide_s=0,
        file_mb_s=1e9,
        hand_out_s=0,
        hand_out_per_worker_s=0,
        twice=0,
        lending=False,
    )


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({"slides": 10, "workers": 4}, 300),  # in three rounds
        ({"slides": 100, "workers": 4, "tile_mb": 1, "file_mb_s": 2}, 5000),  # half the pace
        ({"slides": 100, "workers": 50, "hand_out_s": 10}, 99 * 10 + 100),  # one by one
        ({"slides": 10, "workers": 4, "lending": True}, 250),  # in two, and both ends together
        ({"slides": 1, "workers": 4, "lending": True}, 25),
        ({"slides": 1, "workers": 4, "lending": True, "most_units": 2}, 50),
        ({"slides": 4, "workers": 4, "slow_share": 0.25, "slow_factor": 3}, 300),
        ({"slides": 4, "workers": 4, "deaths_per_hour": 1e9}, 150),  # half of the work again
    ],
)
def test_where_all_slides_are_equal_the_time_is_known(simulation, site, changes, seconds) -> None:
    assert simulation.simulate(replace(site, **changes)).seconds == pytest.approx(seconds)


def test_the_last_slides_end_sooner_where_the_largest_go_first_and_workers_are_lent(
    simulation, site
) -> None:
    uneven = replace(site, slides=100, workers=20, tiles_spread=0.4, largest_first=False)
    by_chance = simulation.simulate(uneven)
    sorted_ = simulation.simulate(replace(uneven, largest_first=True))
    lent = simulation.simulate(replace(uneven, largest_first=True, lending=True))
    assert lent.seconds < sorted_.seconds < by_chance.seconds
    assert lent.efficiency > sorted_.efficiency > by_chance.efficiency
    assert 0.95 < lent.efficiency <= 1
