"""What tables of docks share whose rows are chosen one at a time and not typed into."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget


def made_of_rows(table: QTableWidget, columns: Sequence[str], tooltips: Sequence[str]) -> None:
    """Name the columns, as wide as their words, and have whole rows chosen.

    Parameters
    ----------
    table
        With as many columns.
    columns, tooltips
        Their headings, and what each means.
    """
    table.setHorizontalHeaderLabels(list(columns))
    for column, tooltip in enumerate(tooltips):
        item = table.horizontalHeaderItem(column)
        assert item is not None
        item.setToolTip(tooltip)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    header = table.horizontalHeader()
    assert header is not None
    header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
