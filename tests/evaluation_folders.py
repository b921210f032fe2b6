"""Tiny data sets, written in the real on-disk formats."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["write_cifar10", "write_cifar100", "write_imagefolder"]


def write_cifar10(root: Path, per_batch: int = 20) -> Path:
    """`cifar-10-batches-py` with five training batches and a test batch, as the original archive lays them out."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for index, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        _write(folder / name, {"labels": [i % 10 for i in range(per_batch)], "data": _pixels(index, per_batch)})
    return root


def write_cifar100(root: Path, count: int = 100) -> Path:
    """`cifar-100-python` with the files train and test."""
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    for index, name in enumerate(["train", "test"]):
        labels = {"fine_labels": [i % 100 for i in range(count)], "coarse_labels": [i % 20 for i in range(count)]}
        _write(folder / name, {**labels, "data": _pixels(index, count)})
    return root


def write_imagefolder(root: Path, classes: int = 3, per_class: int = 6) -> Path:
    """`train/CLASS/*.jpg` and `val/CLASS/*.jpg`, images of several sizes."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for label in range(classes):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True)
            for index in range(per_class):
                pixels = rng.integers(0, 256, (30 + index, 40, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.jpg")
    return root


def _pixels(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype=np.uint8)


def _write(path: Path, entry: dict[str, object]) -> None:
    with path.open("wb") as file:
        pickle.dump(entry, file, protocol=2)  # the protocol of the original files
