"""`dask worker --preload`: bands of 16 rows, as `small_runs.small_bands` gives to one process."""

from napari_smoothsal.runs import layout, unit

layout.BAND = 16
layout.COARSEST_PX = 32
unit.MOST_TWICE = 9.0  # cut, whatever it costs
