"""examine_machine: can this machine compute runs, and is there anything that would disturb them?

napari is looked for and never imported.
"""

from __future__ import annotations

import ctypes.util
import os
import re
import shutil
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import openslide
import psutil
import torch

from napari_smoothsal.attribution.precision import has_fast_bf16
from napari_smoothsal.core.findings import Finding, note, ok, wrong
from napari_smoothsal.runs.provenance import versions
from napari_smoothsal.slides.threads import default_threads

SAFE_OPENSLIDE = (4, 0, 1, 1)
"""Older builds let a crafted slide write into memory (CVE-2026-48977) or show pixels that nobody
wrote (CVE-2026-54604)."""
LITTLE_MEMORY = 4 << 30
LITTLE_DISK = 2 << 30
SLOW_WRITE_S = 0.5
_GIB = 2**30
_WRITTEN = 1 << 20
_QT = ("PyQt6", "PySide6")
_CGROUP = Path("/sys/fs/cgroup")


def examine_machine(folder: str | Path = ".") -> tuple[Finding, ...]:
    """Look at the machine that this runs on.

    Parameters
    ----------
    folder
        Where stores are to go; a small file is written there and is gone at once.

    Returns
    -------
    tuple of Finding
        Of versions, OpenSlide, devices, threads, memory, disk, space for temporary files, napari.
    """
    return (
        _versions(),
        openslide_finding(_installed("openslide-bin"), openslide.__library_version__),
        *_devices(),
        _threads(),
        memory_finding(_free_memory()),
        folder_finding(Path(folder)),
        _temporary(),
        *_viewer(),
    )


def _versions() -> Finding:
    return ok("versions", ", ".join(f"{name} {number}" for name, number in versions().items()))


def openslide_finding(packed: str | None, library: str) -> Finding:
    """Whether an OpenSlide is free of known holes.

    Parameters
    ----------
    packed
        Version of openslide-bin; None where OpenSlide comes from the system.
    library
        Version that OpenSlide says of itself, which lacks the last number.
    """
    found = packed or library
    numbers = tuple(int(n) for n in re.findall(r"\d+", found))
    wanted = ".".join(map(str, SAFE_OPENSLIDE))
    remedy = f'pip install "openslide-bin>={wanted}"'
    if numbers < (SAFE_OPENSLIDE if packed else SAFE_OPENSLIDE[:3]):
        said = f"{found}: a crafted slide can harm it (CVE-2026-48977, CVE-2026-54604)"
        return wrong("OpenSlide", said, remedy)
    if packed is None:
        said = f"{found}, the system's: whether it is as new as {wanted} cannot be seen"
        return note("OpenSlide", said, remedy)
    return ok("OpenSlide", found)


def _devices() -> list[Finding]:
    names = ["cpu"]
    said = [f"cpu ({torch.get_num_threads()} threads)"]
    for index in range(torch.cuda.device_count()):
        try:
            free, total = torch.cuda.mem_get_info(index)
            device = torch.cuda.get_device_name(index)
        except RuntimeError as error:
            text = str(error).partition("\n")[0]
            remedy = "look at nvidia-smi; --device cpu works"
            return [wrong("devices", f"cuda:{index} does not answer: {text}", remedy)]
        names.append(f"cuda:{index}")
        said.append(f"cuda:{index} {device}, {free / _GIB:.1f} of {total / _GIB:.1f} GiB free")
    if torch.backends.mps.is_available():
        names.append("mps")
        said.append("mps")
    fast = [name for name in names if has_fast_bf16(torch.device(name))]
    narrow = f"in hardware on {', '.join(fast)}" if fast else "not in hardware: fp32 is used"
    return [ok("devices", "; ".join(said)), ok("bf16", narrow)]


def _threads() -> Finding:
    return ok("threads", f"{default_threads()} to read with; {os.cpu_count()} cores in the machine")


def _free_memory() -> int:
    """Bytes that this process may still take: the machine's, or what its cgroup leaves."""
    free = int(psutil.virtual_memory().available)
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):  # no cgroup, or "max"
        return free
    return min(free, max(limit - used, 0))


def memory_finding(free: int) -> Finding:
    """Whether so many bytes suffice for a run."""
    said = f"{free / _GIB:.1f} GiB free"
    if free < LITTLE_MEMORY:
        remedy = "end other programs, or give a small --batch-size"
        return note("memory", f"{said}; a run on the CPU takes up to about 3", remedy)
    return ok("memory", said)


def folder_finding(folder: Path, name: str = "disk") -> Finding:
    """Whether a store can be written into a folder: by writing a little."""
    begun = time.perf_counter()
    try:
        free = shutil.disk_usage(folder).free
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * _WRITTEN)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        said = f"nothing can be written here: {error.strerror or error}"
        return wrong(name, said, "change to another folder, or give --out")
    seconds = time.perf_counter() - begun
    said = f"{free / _GIB:.1f} GiB free here; 1 MiB is on the disk within {1000 * seconds:.0f} ms"
    if free < LITTLE_DISK:
        return note(name, said, "free some space: a store takes 0.1 to several GB")
    if seconds > SLOW_WRITE_S:
        return note(name, f"{said}: slow", "give --out on a disk of this machine")
    return ok(name, said)


def _temporary() -> Finding:
    found = folder_finding(Path(tempfile.gettempdir()), "temporary files")
    remedy = "set TMPDIR to a folder with space" if found.remedy else ""
    return Finding(found.name, found.state, found.what.replace(" here", " there"), remedy)


def _viewer() -> list[Finding]:
    """What docks and layers need; a run needs none of it."""
    install = 'for the viewer: pip install "napari-smoothsal[viewer]"'
    napari = _installed("napari")
    if napari is None:
        return [note("napari", "not installed; the command line does without", install)]
    qt = [f"{name} {number}" for name in _QT if (number := _installed(name))]
    if not qt:
        return [wrong("napari", f"{napari}, and no Qt beside it", install)]
    found = [ok("napari", f"{napari} with {', '.join(qt)}")]
    if not sys.platform.startswith("linux"):
        return found
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        remedy = "for napari log in with a desktop, or use `ssh -X` or xvfb-run"
        found.append(note("display", "none; the command line does without", remedy))
    elif ctypes.util.find_library("GL") is None and ctypes.util.find_library("EGL") is None:
        found.append(note("display", "no OpenGL", "install Mesa's or the graphics card's libGL"))
    else:
        found.append(ok("display", "there is one, and OpenGL"))
    return found


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
