"""The ``smoothsal`` command. Commands import what they need when they run."""

from napari_smoothsal.cli.app import app, main

__all__ = ["app", "main"]
