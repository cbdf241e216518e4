"""Slides on workers that Slurm starts: `python slurm_cluster.py SLIDES STORES`, in a job or a
terminal that lasts.

`python slurm_cluster.py --script` prints the job that each worker is, and starts nothing. Needs
`pip install dask-jobqueue`.
"""

import sys

from dask_jobqueue import SLURMCluster
from distributed import Client

import napari_smoothsal as ss

JOBS = 8
RESOURCES = {
    "cores": 8,  # the threads that torch computes with: one task a worker computes at a time
    "processes": 1,  # one worker a job, and a job a GPU
    "memory": "32GB",
    "walltime": "08:00:00",
    "job_extra_directives": ["--gres=gpu:1"],  # leave it away for processors
    "job_script_prologue": ["export SMOOTHSAL_DEVICE=cuda:0"],
    # It ends before Slurm ends it, and hands its slide on.
    "worker_extra_args": ["--lifetime", "455m", "--lifetime-stagger", "15m"],
}


def explain(slides: str, stores: str) -> None:
    """Explain slides on as many workers as Slurm grants."""
    with SLURMCluster(**RESOURCES) as cluster, Client(cluster) as client:
        cluster.scale(jobs=JOBS)
        results = ss.explain_slides(
            slides, "demo-classifier", [ss.SaliencySpec(layer="layer2")], stores, client=client
        )
    for result in results:
        print(result.name, result.state, result.error or "")


if __name__ == "__main__":
    if sys.argv[1:] == ["--script"]:
        with SLURMCluster(**RESOURCES) as cluster:
            print(cluster.job_script())
    else:
        explain(*sys.argv[1:])
