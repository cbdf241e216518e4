"""The recipes of docs/clusters.md: run where they can be, else checked for what they say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from batch_slides import tissue_tiffs
from dask_processes import client_of_processes, dask_processes

from napari_smoothsal import open_run
from napari_smoothsal.runs.at_worker import DEVICE

RECIPES = Path(__file__).parents[2] / "docs" / "recipes"
CLUSTERS = (RECIPES.parent / "clusters.md").read_text(encoding="utf-8")


def test_every_recipe_is_named_in_the_text() -> None:
    files = {file.name for file in RECIPES.iterdir() if file.is_file()}
    assert files == {name for name in files if f"(recipes/{name})" in CLUSTERS}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a script of bash")
def test_the_jobs_of_an_array_share_the_slides(
    model_folder_of_classifier: Path, tmp_path: Path
) -> None:
    tissue_tiffs(tmp_path / "slides", 3, 128)
    stores = tmp_path / "stores"
    # `smoothsal` as it is installed, but of this tree.
    command = tmp_path / "bin" / "smoothsal"
    command.parent.mkdir()
    main = "from napari_smoothsal.cli import main; main()"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{main}" "$@"\n')
    command.chmod(0o755)
    flags = ["--model", model_folder_of_classifier, "--predict-only", "--tissue", "all"]
    for task in (1, 2):
        given = {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_COUNT": "2"}
        path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", RECIPES / "slurm_array.sbatch", tmp_path / "slides", stores, *flags],
            env={**os.environ, **given, "SLURM_CPUS_PER_TASK": "1", "PATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert len(list(stores.glob("*.zarr"))) == (2, 3)[task - 1]
    assert all(open_run(store).status == "complete" for store in stores.glob("*.zarr"))


@pytest.mark.slow
def test_the_job_of_a_slurm_worker_is_what_the_recipe_asks_for(tmp_path: Path) -> None:
    pytest.importorskip("dask_jobqueue")
    done = subprocess.run(
        [sys.executable, RECIPES / "slurm_cluster.py", "--script"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.split("\n")
    assert lines[0] == "#!/usr/bin/env bash"
    for line in ("--cpus-per-task=8", "-n 1", "--mem=30G", "-t 08:00:00", "--gres=gpu:1"):
        assert f"#SBATCH {line}" in lines
    prologue, worker = lines.index(f"export {DEVICE}=cuda:0"), [w for w in lines if "tcp://" in w]
    assert prologue < lines.index(worker[0]) and len(worker) == 1
    # One worker with all threads, which ends before its job's eight hours do.
    words = worker[0].split()
    assert words[words.index("--nthreads") + 1] == "8" and "--nworkers" not in words
    latest = sum(
        int(words[words.index(flag) + 1].removesuffix("m"))
        for flag in ("--lifetime", "--lifetime-stagger")
    )
    assert "--nanny" in words and latest < 8 * 60


def test_the_resource_for_kubernetes_is_whole() -> None:
    text = (RECIPES / "kubernetes.yaml").read_text(encoding="utf-8")
    cluster = yaml.safe_load(text)
    assert (cluster["apiVersion"], cluster["kind"]) == ("kubernetes.dask.org/v1", "DaskCluster")
    name, spec = cluster["metadata"]["name"], cluster["spec"]
    (worker,), (scheduler,) = (spec[who]["spec"]["containers"] for who in ("worker", "scheduler"))
    # The operator fills in the worker's name; its threads are the cores that it is given.
    assert worker["args"][:4] == ["dask", "worker", "--name", "$(DASK_WORKER_NAME)"]
    threads = worker["args"][worker["args"].index("--nthreads") + 1]
    assert worker["resources"]["limits"]["cpu"] == threads
    assert {"name": "OMP_NUM_THREADS", "value": threads} in worker["env"]
    assert all(isinstance(word, str) for word in (*worker["args"], *scheduler["args"]))
    mounted = {mount["name"] for mount in worker["volumeMounts"]}
    assert mounted == {volume["name"] for volume in spec["worker"]["spec"]["volumes"]}
    # The service leads to the scheduler's ports, and not to the outside.
    service = spec["scheduler"]["service"]
    ports = {port["name"] for port in scheduler["ports"]}
    assert {port["targetPort"] for port in service["ports"]} == ports
    assert service["selector"] == {
        "dask.org/cluster-name": name,
        "dask.org/component": "scheduler",
    }
    assert service["type"] == "ClusterIP" and f"service/{name}-scheduler 8786" in text
    assert DEVICE in text


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="processes are ended by signals")
def test_the_example_with_a_client_runs(tmp_path: Path) -> None:
    tissue_tiffs(tmp_path / "slides", 1, 512)
    with dask_processes(tmp_path / "dask", "a") as cluster:
        with client_of_processes(cluster, 1):
            pass
        given = [cluster.address, tmp_path / "slides", tmp_path / "stores"]
        done = subprocess.run(
            [sys.executable, RECIPES / "with_client.py", *map(str, given)],
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    assert "slide0 complete " in done.stdout
