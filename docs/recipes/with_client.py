"""Slides on a Dask cluster from Python: `python with_client.py SCHEDULER SLIDES STORES`."""

import sys

from distributed import Client

import napari_smoothsal as ss


def explain(scheduler: str, slides: str, stores: str) -> None:
    """Explain slides, and say how each went."""
    with Client(scheduler) as client:
        print("dashboard:", client.dashboard_link)
        results = ss.explain_slides(
            slides,
            "demo-classifier",  # a name, a folder, or a function of a module that workers have
            [ss.SaliencySpec(layer="layer2", samples=4)],
            out=stores,
            client=client,
        )
    for result in results:
        print(result.name, result.state, result.error or len(result.run.tiles))


if __name__ == "__main__":
    explain(*sys.argv[1:])
