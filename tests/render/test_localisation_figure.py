"""The picture and the tables of a localisation: every map is there, and what cannot be is not."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from rich.console import Console

from napari_smoothsal.evaluation.localised_map import GROUPS, IDEALS, PLACES
from napari_smoothsal.render.localisation_figure import localisation_figure
from napari_smoothsal.render.tables import localisation_tables


def frame(layers: tuple[str, ...] = ("layer1", "layer2"), target: str = "tumour") -> pd.DataFrame:
    rows = []
    for i, layer in enumerate(layers):
        for j, denoising in enumerate(("original", "backward_hook")):
            values = {"pixel_auroc": 0.31 + 0.1 * j, "nucleus_auroc": 0.7, "nucleus_ap": 0.4}
            values |= {f"{name}_magnitude": 0.6 for name in list(values)}
            values |= {"nucleus_floor": 0.12, "rim_over_interior_magnitude_class": 1.3}
            values |= {f"enrichment_magnitude_{place}": 1.5 - i for place in PLACES}
            values |= {f"{name}_{group}": 2.0 for name in IDEALS for group in GROUPS}
            intervals = {f"{n}_low": v - 0.1 for n, v in values.items()}
            intervals |= {f"{n}_high": v + 0.1 for n, v in values.items()}
            about = {
                "model": "painted", "layer": layer, "denoising": denoising, "method": "gradient",
                "target": target, "class": "tumour nucleus", "um_per_px": 2.0 * 2**i,
                "rim_um": 1.0, "rim_resolved": i == 0, "nuclei_of_class": 5, "nuclei_other": 40,
            }  # fmt: skip
            rows.append(about | values | intervals)
    return pd.DataFrame(rows)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    figures: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: (figures.append(self), save(self, *a, **k))
    )
    return figures


def test_every_map_has_a_bar_in_every_panel_from_its_base_to_its_value(
    drawn: list[Figure], tmp_path: Path
) -> None:
    localisation_figure(frame(), tmp_path / "new" / "f.png")
    axes = drawn[0].axes
    assert len(axes) == 8 and all(len(axis.patches) == 4 for axis in axes)
    pixels = axes[0].patches
    # Left to right: denoisings side by side within a layer.
    bars = sorted(pixels, key=lambda bar: bar.get_x())
    ends = [bar.get_y() + bar.get_height() for bar in bars]
    assert ends == pytest.approx([0.31, 0.41, 0.31, 0.41])
    assert all(bar.get_y() == 0.5 for bar in bars)
    assert bars[0].get_facecolor() != bars[1].get_facecolor()
    assert [t.get_text() for t in axes[0].get_xticklabels()] == [
        "layer1\n2 µm/px", "layer2\n4 µm/px",
    ]  # fmt: skip


def test_a_layer_too_coarse_for_rims_says_so_where_rims_are_shown(
    drawn: list[Figure], tmp_path: Path
) -> None:
    localisation_figure(frame(), tmp_path / "f.png")
    for i, axis in enumerate(drawn[0].axes):
        coarse = [t.get_text().endswith("coarse") for t in axis.get_xticklabels()]
        assert coarse == [False, i >= 3]
        assert any(bar.get_hatch() for bar in axis.patches) == (i >= 3)


def test_missing_intervals_and_layers_with_long_names(drawn: list[Figure], tmp_path: Path) -> None:
    bare = frame(("encoder.layer3", "decoder.blocks.1"))
    bare.loc[:, [c for c in bare if c.endswith(("_low", "_high"))]] = np.nan
    localisation_figure(bare, tmp_path / "f.png")
    said = [t.get_text() for t in drawn[0].axes[0].get_xticklabels()]
    assert said == ["encoder.\nlayer3\n2 µm/px", "decoder.\nblocks.1\n4 µm/px"]
    assert all(not axis.lines or len(axis.patches) == 4 for axis in drawn[0].axes)
    assert "nan" not in printed(bare)


def printed(of: pd.DataFrame) -> str:
    console = Console(width=80)
    with console.capture() as capture:
        for table in localisation_tables(of):
            console.print(table)
    return capture.get()


def test_tables_hold_values_intervals_floors_and_doubts() -> None:
    text = printed(frame())
    for part in (
        "0.31",
        "0.21-0.41",
        "by chance",
        "0.12",
        "(2.00 / 2.00)",
        "'tumour nucleus'",
        "backward hook",
    ):
        assert part in text, part
    assert "4 um/px *" in text and "2 um/px *" not in text
