"""Tables of the terminal: whole in any width."""

import pandas as pd
import pytest
from rich.console import Console
from rich.table import Table

from napari_smoothsal.render.tables import frame_table

COLUMNS = ["deletion", "insertion", "deletion_published", "insertion_published"]


def printed(table: Table, width: int) -> str:
    console = Console(width=width, record=True, quiet=False)
    with console.capture() as shown:
        console.print(table)
    return shown.get()


def frame() -> pd.DataFrame:
    rows = [
        {"method": name, "mask_size": 224, "mask_px": 64 - number, "tiles": 20}
        | {column: 0.1234 + number / 10 + place / 100 for place, column in enumerate(COLUMNS)}
        | {f"paper_{column}": 0.5 + number / 10 for column in COLUMNS[:2]}
        for number, name in enumerate(("Integrated Gradients", "iGOS++ fixed step", "random order"))
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("width", [30, 50, 80, 120, 200])
def test_no_number_or_name_is_cut_in_any_width(width: int) -> None:
    wanted = frame()
    text = printed(frame_table("Table 1", wanted, "20 tiles", width), width)
    assert "\u2026" not in text and max(map(len, text.splitlines())) <= width
    words = " ".join(text.replace("-", " ").split())
    assert "20 tiles" in words
    left_out = words.partition("only in the CSV: ")[2]
    for name in wanted:
        for word in name.split("_"):
            assert word in words, name
    numbers = [f"{value:.2f}" for value in wanted["deletion"]]
    assert all(number in words for number in numbers) or "deletion" in left_out
    if width >= 80:
        assert not left_out and all(number in words for number in ("0.50", "0.60", "0.70"))
    assert ("in all rows" in words) == (width < 120)


def test_where_there_is_room_nothing_stands_elsewhere() -> None:
    text = printed(frame_table("Table 1", frame(), width=120), 120)
    assert "in all rows" not in text and "only in the CSV" not in text
