"""Colour scenes composed from real MNIST digits: harder than the digits, and small enough to train on in seconds.

One digit in a random place, size, rotation and colour lies on a two-colour texture among fragments of other digits.
The scenes are drawn from a fixed seed, so that everybody has the same ones; the scenes of training, validation and test
are made of different source images.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

from kas.evaluation.data._memory import MemoryData, Split, Splits, random_shift
from kas.evaluation.data._mnist import Images, Labels, mnist_splits
from kas.evaluation.data.preprocessing import Preprocessing
from kas.evaluation.settings import DataSettings

__all__ = ["cluttered"]

TRAIN_SCENES, VAL_SCENES, TEST_SCENES = 4000, 1000, 1000
FRAGMENTS = 3
_CHUNK = 500


def cluttered(settings: DataSettings) -> MemoryData:
    """Ten classes, [3, size, size] (32 by default); 4,000 scenes for training, 1,000 each for validation and the test.

    A scene is composed at its size, so a raw image of the data set has it already.
    """
    size = settings.size or 32
    counts = (
        settings.train_samples or TRAIN_SCENES,
        settings.val_samples or VAL_SCENES,
        settings.test_samples or TEST_SCENES,
    )
    recipe = Preprocessing(
        mode="RGB",
        size=(size, size),
        mean=(0.5, 0.5, 0.5),
        std=(0.27, 0.27, 0.27),
        classes=tuple(map(str, range(10))),
        raw_size=(size, size),
    )

    def load() -> Splits:
        sources = zip(mnist_splits(), counts, strict=True)
        return Splits(*(_compose(*source, count, size, seed=seed) for seed, (source, count) in enumerate(sources, 1)))

    return MemoryData(settings, load=load, recipe=recipe, augment=random_shift(max(1, size // 16)))


def _compose(images: Images, labels: Labels, count: int, size: int, seed: int) -> Split:
    """`count` scenes [3, size, size]; their digits are the images in a shuffled order, again and again."""
    rng = np.random.default_rng(seed)
    rounds = [rng.permutation(len(labels)) for _ in range(-(-count // len(labels)))]
    chosen = np.concatenate(rounds)[:count]
    sources = torch.from_numpy(images).float().div(255).unsqueeze(1)
    scenes = [
        _scenes(sources, chosen[start : start + _CHUNK], size, np.random.default_rng([seed, start]))
        for start in range(0, count, _CHUNK)
    ]
    return Split(torch.cat(scenes), torch.from_numpy(labels[chosen]))


def _scenes(sources: Tensor, chosen: np.ndarray, size: int, rng: np.random.Generator) -> Tensor:
    """Scenes uint8 [n, 3, size, size] that show `sources[chosen]`."""
    count = len(chosen)
    dark = _uniform(rng, 0, 1, (count, 3, 1, 1))
    light = (dark + _uniform(rng, -0.35, 0.35, dark.shape)).clamp(0, 1)
    coarse = _uniform(rng, -0.4, 1.4, (count, 1, int(rng.integers(3, 9)), int(rng.integers(3, 9))))
    texture = interpolate(coarse, size=(size, size), mode="bicubic", align_corners=False).clamp(0, 1)
    scene = torch.lerp(dark, light, texture) + _uniform(rng, -0.05, 0.05, (count, 3, size, size))
    for _ in range(FRAGMENTS):
        others = torch.from_numpy(rng.integers(0, len(sources), count))
        shape = _place(sources[others] * _window(rng, count), size, rng, scales=(0.4, 0.7), reach=0.9, turn=np.pi)
        scene = torch.lerp(scene, _uniform(rng, 0, 1, (count, 3, 1, 1)), 0.65 * shape)
    shape = _place(sources[torch.from_numpy(chosen)], size, rng, scales=(0.65, 1.0), reach=0.25, turn=0.5)
    scene = torch.lerp(scene, _contrasting(rng, dark, light), shape)
    return scene.clamp(0, 1).mul(255).round().to(torch.uint8)


def _place(
    sources: Tensor, size: int, rng: np.random.Generator, *, scales: tuple[float, float], reach: float, turn: float
) -> Tensor:
    """Opacity [n, 1, size, size] of images [n, 1, 28, 28], scaled (1 fills the scene), turned and moved at random."""
    count = len(sources)
    scale, angle = rng.uniform(*scales, count), rng.uniform(-turn, turn, count)
    place = rng.uniform(-reach, reach, (count, 2, 1))
    cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
    turned = np.stack([np.stack([cosine, sine], -1), np.stack([-sine, cosine], -1)], -2)
    affine = torch.from_numpy(np.concatenate([turned, -turned @ place], -1)).float()
    grid = affine_grid(affine, [count, 1, size, size], align_corners=False)
    return grid_sample(sources, grid, mode="bilinear", padding_mode="zeros", align_corners=False).clamp(0, 1)


def _window(rng: np.random.Generator, count: int) -> Tensor:
    """Masks [n, 1, 28, 28] that keep 10 to 15 rows and columns near the middle: a fragment of a digit."""
    masks = []
    for _ in range(2):
        start, length = rng.integers(4, 12, (count, 1)), rng.integers(10, 16, (count, 1))
        position = np.arange(28)
        masks.append((position >= start) & (position < start + length))
    rows, columns = (torch.from_numpy(mask).float() for mask in masks)
    return (rows.unsqueeze(2) * columns.unsqueeze(1)).unsqueeze(1)


def _contrasting(rng: np.random.Generator, dark: Tensor, light: Tensor) -> Tensor:
    """A colour [n, 3, 1, 1]: of six drawn, the one that is farthest from both colours of the background."""
    drawn = _uniform(rng, 0, 1, (6, *dark.shape))
    distance = torch.minimum((drawn - dark).abs().sum(2), (drawn - light).abs().sum(2)).squeeze(-1).squeeze(-1)
    return drawn[distance.argmax(0), torch.arange(len(dark))]


def _uniform(rng: np.random.Generator, low: float, high: float, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(rng.uniform(low, high, shape).astype(np.float32))
