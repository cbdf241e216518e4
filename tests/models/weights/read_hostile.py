"""Reads files one after the other in a process of little memory, and says what came of each.

``python read_hostile.py FOLDER CANARY``; a process of its own, since a guard that fails may take
the memory of the machine, or end the process that asked.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import psutil

from napari_smoothsal.models.weights import read_weights, state_dict_in

ROOM_BYTES = 1 << 30


def limit_memory() -> None:
    """Where the system can: this much more address space than now, and no swap of the machine."""
    try:
        import resource
    except ImportError:  # Windows
        return
    most = psutil.Process().memory_info().vms + ROOM_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main(folder: Path, canary: Path) -> None:
    limit_memory()
    for path in sorted(folder.iterdir()):
        before, start = peak_bytes(), time.perf_counter()
        error, message = "", ""
        try:
            state_dict_in(read_weights(path), "hostile")
        except BaseException as raised:  # noqa: BLE001 -- what came of it is the answer
            error, message = type(raised).__name__, str(raised)
        told = {
            "file": path.name,
            "error": error,
            "message": message,
            "ran": canary.exists(),
            "rise_bytes": peak_bytes() - before,
            "seconds": time.perf_counter() - start,
        }
        canary.unlink(missing_ok=True)
        print(json.dumps(told), flush=True)  # noqa: T201


def peak_bytes() -> int:
    about = psutil.Process().memory_info()
    if hasattr(about, "peak_wset"):
        return int(about.peak_wset)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
