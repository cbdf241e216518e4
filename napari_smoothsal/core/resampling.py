"""The names of the ways in which a tile is made of finer pixels."""

from __future__ import annotations

from typing import Literal

Resampling = Literal["area", "bilinear", "bicubic", "lanczos", "box", "hamming", "nearest"]
"""``area``, the exact mean of what a pixel covers, or one of Pillow's filters by its name."""
