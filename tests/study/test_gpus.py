"""GPUs are dealt out to workers, as a program of that name lists them."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest

from kas.study.workers.gpus import own_gpu
from kas.study.workers.process import Worker

LISTED = "GPU 0: NVIDIA H200 (UUID: GPU-aa)\\nGPU 1: NVIDIA H200 (UUID: GPU-bb)\\n"


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nprintf '{LISTED}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("two")
def test_each_worker_has_its_own() -> None:
    assert [own_gpu("auto", number).get("CUDA_VISIBLE_DEVICES") for number in (1, 2, 3)] == ["0", "1", "0"]
    assert own_gpu("cuda:1", 1) == own_gpu("cpu", 1) == {}


@pytest.mark.usefixtures("two")
def test_what_the_environment_allows_is_dealt_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-bb")
    assert [own_gpu("cuda", number)["CUDA_VISIBLE_DEVICES"] for number in (1, 2)] == ["3", "GPU-bb"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert own_gpu("cuda", 2) == {}


def test_without_a_gpu_nothing_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert own_gpu("auto", 1) == {}


def test_a_worker_is_started_with_it() -> None:
    worker = Worker(1, partial(print), {"CUDA_VISIBLE_DEVICES": "7"})
    environment = Path(f"/proc/{worker.process.pid}/environ")
    if sys.platform == "linux":
        assert b"CUDA_VISIBLE_DEVICES=7\0" in environment.read_bytes()
    worker.close()
