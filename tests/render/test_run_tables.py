"""The table of a run: whole at any width, and no footnote for what it does not show."""

from types import SimpleNamespace

import pandas as pd
import pytest
from rich.console import Console

from napari_smoothsal import SaliencySpec
from napari_smoothsal.render.tables import total_variation_table

LAYERS = ("encoder.layer4.2.conv3.deeper_still.and_deeper.relu", "layer2")


def printed(samples: int, width: int) -> str:
    """Of a run of two layers under two denoisings, each of its numbers another."""
    specs = [
        SaliencySpec(layer=layer, denoising=denoising, samples=samples)
        for layer in LAYERS
        for denoising in ("original", "centred_hook")
    ]
    maps = {str(i): SimpleNamespace(spec=spec, target="tumour") for i, spec in enumerate(specs)}
    error = 0.25 if samples else float("nan")
    tiles = {f"tv_{key}": [1.11 * (int(key) + 1)] * 2 for key in maps}
    tiles |= {f"se_{key}": [error] * 2 for key in maps}
    run = SimpleNamespace(maps=maps, tiles=pd.DataFrame(tiles))
    console = Console(width=width)
    with console.capture() as shown:
        console.print(total_variation_table(run, width))
    return shown.get()


@pytest.mark.parametrize("width", [38, 80, 160])
@pytest.mark.parametrize("samples", [0, 20])
def test_a_run_s_table_is_whole(samples: int, width: int) -> None:
    text = printed(samples, width)
    assert "\u2026" not in text and max(map(len, text.splitlines())) <= width
    for number in ("1.11 +- 0.00", "2.22 +- 0.00", "3.33 +- 0.00", "4.44 +- 0.00"):
        assert number in text
    assert (LAYERS[0] in text) == (width == 160) and LAYERS[1] in text
    # Of a name that is longer than its column every letter is there.
    assert text.count("_") % LAYERS[0].count("_") == 0 and "_" in text


@pytest.mark.parametrize("width", [38, 80])
def test_the_footnote_is_of_errors_that_are_shown(width: int) -> None:
    assert "se:" not in printed(0, width) and "relative standard" not in printed(0, width)
    assert "se 25 %" in printed(20, width) and "se: relative" in printed(20, width)
