"""scikit-learn's 1,797 handwritten digits, 8x8 in 17 grey levels, up-sampled."""

from __future__ import annotations

import numpy as np
import torch

from kas.evaluation.data._memory import MemoryData, Split, random_shift
from kas.evaluation.data._mnist import stratified
from kas.evaluation.settings import DataSettings

__all__ = ["digits"]


def digits(settings: DataSettings) -> MemoryData:
    """Ten classes, [1, size, size] (16 by default); 1,438 images for training, 359 for validation, stratified."""
    size = settings.size or 16

    def load() -> tuple[Split, Split]:
        from sklearn.datasets import load_digits

        data = load_digits()
        grey = torch.from_numpy(np.asarray(data.images, dtype=np.float32)).unsqueeze(1) * (255 / 16)
        large = torch.nn.functional.interpolate(grey, size=(size, size), mode="bilinear", align_corners=False)
        inputs, labels = large.round().to(torch.uint8), np.asarray(data.target, dtype=np.int64)
        train, val = (torch.from_numpy(indices) for indices in stratified(labels, 0.2))
        targets = torch.from_numpy(labels)
        return Split(inputs[train], targets[train]), Split(inputs[val], targets[val])

    return MemoryData(
        settings,
        num_classes=10,
        input_shape=(1, size, size),
        load=load,
        mean=(0.3,),
        std=(0.35,),
        augment=random_shift(max(1, size // 16)),
    )
