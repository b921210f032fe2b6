"""scikit-learn's 1,797 handwritten digits, 8x8 in 17 grey levels, up-sampled."""

from __future__ import annotations

import numpy as np
import torch

from kas.evaluation.data._memory import MemoryData, Split, Splits, prepare, random_shift
from kas.evaluation.data._mnist import three_way
from kas.evaluation.data.preprocessing import Preprocessing
from kas.evaluation.settings import DataSettings

__all__ = ["digits"]


def digits(settings: DataSettings) -> MemoryData:
    """Ten classes, [1, size, size] (16 by default); 1,079 images for training, 359 each for validation and the test."""
    size = settings.size or 16
    recipe = Preprocessing(
        mode="L",
        size=(size, size),
        mean=(0.3,),
        std=(0.35,),
        classes=tuple(map(str, range(10))),
        raw_range=(0, 16),
        raw_size=(8, 8),
    )

    def load() -> Splits:
        from sklearn.datasets import load_digits

        data = load_digits()
        labels = np.asarray(data.target, dtype=np.int64)
        inputs, targets = prepare(data.images, recipe), torch.from_numpy(labels)
        return Splits(*(Split(inputs[chosen], targets[chosen]) for chosen in map(torch.from_numpy, three_way(labels))))

    return MemoryData(settings, load=load, recipe=recipe, augment=random_shift(max(1, size // 16)))
