"""The Slurm script and the Kubernetes manifest: valid, and their commands run here as plain processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from compose_files import DOCKER, ROOT

from kas.study.commands._parser import parser

MANIFEST = list(yaml.safe_load_all((DOCKER / "kubernetes.yaml").read_text(encoding="utf-8")))
SHORT = ["--trials=4", "--set", "training.epochs=1", "--set", "data.train_samples=200", "--set", "data.val_samples=100",
         "--set", "objectives.cost=work"]  # fmt: skip


def resource(kind: str, name: str) -> dict[str, Any]:
    (found,) = [one for one in MANIFEST if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return dict(found)


def container(kind: str, name: str) -> dict[str, Any]:
    (found,) = resource(kind, name)["spec"]["template"]["spec"]["containers"]
    return dict(found)


@pytest.mark.parametrize("one", MANIFEST, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_it_follows_the_schemas_of_kubernetes(one: dict[str, Any]) -> None:
    kubernetes_validate.validate(one, "1.37", strict=True)


def test_the_schemas_notice_mistakes() -> None:
    broken = {**resource("Job", "kas-worker"), "spec": {"paralelism": 4}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.37", strict=True)


def test_no_secret_is_written_down_and_the_proxy_is_for_workers_alone() -> None:
    assert not any(one["kind"] == "Secret" for one in MANIFEST)
    assert "://kas:" not in (DOCKER / "kubernetes.yaml").read_text()
    assert all(one["spec"].get("type", "ClusterIP") == "ClusterIP" for one in MANIFEST if one["kind"] == "Service")
    policy = resource("NetworkPolicy", "kas-proxy")["spec"]
    assert policy["ingress"] == [{"from": [{"podSelector": {"matchLabels": {"app": "kas-worker"}}}]}]
    assert resource("Job", "kas-worker")["spec"]["template"]["metadata"]["labels"] == {"app": "kas-worker"}


@pytest.mark.parametrize(("kind", "name"), [("Deployment", "kas-proxy"), ("Job", "kas-worker")])
def test_its_commands_are_those_of_kas(kind: str, name: str) -> None:
    command = container(kind, name)["command"]
    assert command[:3] == ["python", "-m", "kas.study"]
    parser().parse_args(command[3:])


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[str]:
    """The manifest's proxy, in front of a database of this machine: its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [
        word for word in container("Deployment", "kas-proxy")["command"][1:] if not word.startswith(("--storage", "--host"))
    ]
    line = [sys.executable, *words, f"--storage=sqlite:///{tmp_path}/study.db", f"--port={port}"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "workers use" in process.stdout.readline()
    yield f"127.0.0.1:{port}"
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    process.stdout.close()


@pytest.mark.system
def test_workers_of_both_share_a_study(proxy: str, tmp_path: Path) -> None:
    """Two tasks of a Slurm array and one worker of Kubernetes: exactly the wanted trials."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "srun").write_text('#!/bin/sh\nexec "$@" ' + " ".join(SHORT))
    (tools / "srun").chmod(0o755)
    own = {"KAS_STORAGE": f"grpc://{proxy}", "KAS_RUNS": str(tmp_path / "runs"), "KAS_PYTHON": sys.executable}
    slurm = {**os.environ, **own, "PATH": f"{tools}:{os.environ['PATH']}", "SLURM_CPUS_PER_TASK": "1"}
    script = [str(DOCKER / "slurm.sh"), "studies/digits.yaml"]
    words = [word.replace("kas-proxy:13000", proxy) for word in container("Job", "kas-worker")["command"][1:]]
    here = [sys.executable, *(f"--dir={tmp_path / 'runs'}" if word.startswith("--dir") else word for word in words), *SHORT]
    workers = [subprocess.Popen(script, cwd=ROOT, env=slurm) for _ in range(2)] + [subprocess.Popen(here, cwd=ROOT)]
    assert [worker.wait(500) for worker in workers] == [0, 0, 0]
    status = [sys.executable, "-m", "kas.study", "status", "digits", "--json", "--dir", str(tmp_path / "runs")]
    found = json.loads(subprocess.run([*status, f"--storage=grpc://{proxy}"], capture_output=True, check=True).stdout)
    assert (found["finished"], found["running"]) == (4, 0)


def test_the_script_says_what_it_needs(tmp_path: Path) -> None:
    plain = {key: value for key, value in os.environ.items() if key != "KAS_STORAGE"}
    done = subprocess.run([DOCKER / "slurm.sh"], env=plain, capture_output=True, text=True)
    assert done.returncode != 0
    assert "the study file, as in: sbatch" in done.stderr
    done = subprocess.run([DOCKER / "slurm.sh", "studies/digits.yaml"], env=plain, capture_output=True, text=True)
    assert done.returncode != 0
    assert "KAS_STORAGE: a storage that all nodes reach" in done.stderr
