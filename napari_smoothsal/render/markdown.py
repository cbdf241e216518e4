"""Tables as Markdown."""

from __future__ import annotations

import pandas as pd

from napari_smoothsal.render.words import plain


def markdown(table: pd.DataFrame, digits: int) -> str:
    """A table with numbers of so many digits after the point; names become words."""

    def text(value: object) -> str:
        if isinstance(value, float):
            return f"{value:.{digits}f}"
        return plain(str(value))

    head = "| " + " | ".join(plain(str(c)) for c in table.columns) + " |"
    rule = "|" + " --- |" * len(table.columns)
    rows = ["| " + " | ".join(text(v) for v in row) + " |" for row in table.itertuples(index=False)]
    return "\n".join([head, rule, *rows])
