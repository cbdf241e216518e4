"""What the GUI thread does: frames that are drawn, and how long code of the package holds it.

Every function of the package is entered through a line that this module writes into it while it
is imported, so that no slot, timer, callback or array is forgotten; what it enters in turn is part
of it. Drawing is taken off, and what napari itself does to add or remove a layer told apart.
"""

from __future__ import annotations

import ast
import builtins
import importlib.abc
import importlib.machinery
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PACKAGE = "napari_smoothsal"
HELD = "__held__"


@dataclass
class Hold:
    """One time that the package was entered on the GUI thread, and left again.

    Attributes
    ----------
    seconds, cpu_s
        Without drawing.
    adding_s, adding_cpu_s
        Of these, what napari took to add or remove layers, without what it called of the package.
    """

    name: str
    seconds: float
    cpu_s: float
    adding_s: float
    adding_cpu_s: float


class Holds:
    """Keeps what enters the package on the thread that made this."""

    def __init__(self) -> None:
        self.all: list[Hold] = []
        self._thread = threading.get_ident()
        self._inside = self._adding = False
        self._drawn = self._added = np.zeros(2)

    def record(self) -> None:
        """From now on modules of the package are imported with the line; before any of them is."""
        assert f"{PACKAGE}.viewer" not in sys.modules, "what is imported cannot be rewritten"
        setattr(builtins, HELD, self.entry)
        sys.meta_path.insert(0, _Finder())
        from napari.components.layerlist import LayerList

        for name in ("insert", "__delitem__"):
            setattr(LayerList, name, self._apart(getattr(LayerList, name)))

    def entry(self, name: str) -> _Entry:
        """Count what is done within as an entry."""
        return _Entry(self, name)

    def draw(self, drawing: Callable[[], None]) -> None:
        """Draw; what enters the package meanwhile counts, the drawing itself does not."""
        before = self._inside, self._adding, self._added, self._drawn
        self._inside = self._adding = False
        start = _clocks()
        drawing()
        took = _clocks() - start
        self._inside, self._adding, self._added, drawn = before
        self._drawn = drawn + took

    def now(self) -> NDArray[np.float64]:
        """Seconds and seconds of CPU time, without drawing."""
        return _clocks() - self._drawn

    def _apart(self, change: Callable[..., None]) -> Callable[..., None]:
        """A method of napari's whose time is told apart."""

        def changed(*args: Any) -> None:
            if not self._inside or self._adding or threading.get_ident() != self._thread:
                change(*args)
                return
            self._adding, start = True, self.now()
            change(*args)
            self._adding, self._added = False, self._added + self.now() - start

        return changed


def _clocks() -> NDArray[np.float64]:
    return np.array([time.perf_counter(), time.thread_time()])


class _Entry:
    __slots__ = ("_counts", "_holds", "_name", "_start", "_within")

    def __init__(self, holds: Holds, name: str) -> None:
        self._holds, self._name = holds, name

    def __enter__(self) -> None:
        holds = self._holds
        here = threading.get_ident() == holds._thread
        self._counts = here and not holds._inside
        self._within = here and holds._adding
        if self._counts:
            holds._inside, holds._drawn, holds._added = True, np.zeros(2), np.zeros(2)
        if self._within:
            holds._adding = False
        if self._counts or self._within:
            self._start = holds.now()

    def __exit__(self, *_: object) -> None:
        if self._counts or self._within:
            holds = self._holds
            took = holds.now() - self._start
            if self._within:
                holds._adding, holds._added = True, holds._added - took
            else:
                holds._inside = False
                holds.all.append(Hold(self._name, *took.tolist(), *holds._added.tolist()))


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if not name.startswith(PACKAGE):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def get_code(self, name: str) -> Any:
        tree = ast.parse(self.get_data(self.path))
        _Entered(name.removeprefix(f"{PACKAGE}.")).visit(tree)
        return compile(ast.fix_missing_locations(tree), self.path, "exec")


class _Entered(ast.NodeTransformer):
    """Puts ``with __held__(name):`` around what functions do."""

    def __init__(self, name: str) -> None:
        self._name = name

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        before, self._name = self._name, f"{self._name}.{node.name}"
        self.generic_visit(node)
        self._name = before
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        before, self._name = self._name, f"{self._name}.{node.name}"
        self.generic_visit(node)
        # A generator is left and entered again; who asks it for the next value counts.
        if not any(isinstance(x, ast.Yield | ast.YieldFrom) for x in ast.walk(node)):
            held = ast.Call(ast.Name(HELD, ast.Load()), [ast.Constant(self._name)], [])
            node.body = [ast.With([ast.withitem(held)], node.body)]
        self._name = before
        return node


class Frames:
    """What vispy's canvas draws: when, for how long, and with ``look`` the pixels.

    Attributes
    ----------
    ends, seconds
        Of every frame: when it was finished, and how long drawing it took.
    pixels
        (h, w, 3) of the last one that was looked at.
    look
        Whether pixels are read; costs a few milliseconds.
    """

    def __init__(self, holds: Holds | None = None) -> None:
        from vispy import gloo
        from vispy.app.backends import _qt

        self.ends: list[float] = []
        self.seconds: list[float] = []
        self.pixels: NDArray[np.uint8] | None = None
        self.look = False
        paint = _qt.CanvasBackendDesktop.paintGL

        def painted(canvas: Any) -> None:
            start = time.perf_counter()
            if holds is None:
                paint(canvas)
            else:
                holds.draw(lambda: paint(canvas))
            # Reading waits until what was asked of the GPU is drawn.
            gloo.read_pixels((0, 0, 1, 1))
            end = time.perf_counter()
            self.ends.append(end)
            self.seconds.append(end - start)
            if self.look:
                scale = canvas.devicePixelRatio()
                size = (round(canvas.width() * scale), round(canvas.height() * scale))
                self.pixels = gloo.read_pixels((0, 0, *size), alpha=False)

        _qt.CanvasBackendDesktop.paintGL = painted
