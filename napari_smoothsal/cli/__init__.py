"""The ``smoothsal`` command. Commands import what they need when they run."""

from napari_smoothsal.cli.app import main, registered

__all__ = ["main", "registered"]
