"""A folder of images, a sub-folder a class: `root/train/CLASS/*.jpg` and `root/val/CLASS/*.jpg` (ImageNet's form).

`root/test/CLASS/*.jpg` is the test split if it is there; see `ImageFolderData` for what is done without.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from kas.evaluation.data._base import ClassificationData, balanced
from kas.evaluation.data._mnist import hold_out
from kas.evaluation.data.preprocessing import Preprocessing
from kas.evaluation.settings import DataSettings
from kas.language.errors import KasError

__all__ = ["ImageFolderData", "imagefolder"]

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_HELD_OUT = 0.1  # of the training images of each class, where root/val is the test split
_Draw = tuple[int, int]  # the index of a sample, and the seed of its augmentation


def imagefolder(settings: DataSettings) -> ImageFolderData:
    """As many classes as folders, [3, size, size] (224 by default)."""
    if settings.root is None:
        raise KasError("data.name imagefolder needs data.root: the folder that holds train/CLASS/ and val/CLASS/")
    return ImageFolderData(settings, Path(settings.root).expanduser())


class ImageFolderData(ClassificationData):
    """Images from disk: random resized crop and flip for training, resize and centre crop for validation and the test.

    Where there is a `root/test`, it is the test split and `root/val` the validation split. Otherwise `root/val` is the test
    split, and a tenth of each class of `root/train` is held out for validation.
    """

    def __init__(self, settings: DataSettings, root: Path) -> None:
        self.settings, size = settings, settings.size or 224
        train, val, test = _three_parts(root)
        super().__init__(len(train.classes), (3, size, size))
        self._recipe = Preprocessing(
            mode="RGB", size=(size, size), mean=_MEAN, std=_STD, classes=tuple(train.classes), shorter=round(size * 8 / 7)
        )
        self._train = _Images(train, settings.train_samples, "data.train_samples", self._recipe, settings.augment)
        self._val = _Images(val, settings.val_samples, "data.val_samples", self._recipe, augment=False)
        self._test = _Images(test, settings.test_samples, "data.test_samples", self._recipe, augment=False)

    def preprocessing(self) -> dict[str, Any]:
        return self._recipe.to_dict()

    def train_dataloader(self) -> DataLoader[Any]:
        order = _EpochOrder(len(self._train), lambda: (self.seed, self.current_epoch()))
        return self._loader(self._train, self.settings.batch_size, order)

    def val_dataloader(self) -> DataLoader[Any]:
        return self._loader(self._val, self.settings.eval_batch_size, _InOrder(len(self._val)))

    def test_dataloader(self) -> DataLoader[Any]:
        return self._loader(self._test, self.settings.eval_batch_size, _InOrder(len(self._test)))

    def _loader(self, images: _Images, batch_size: int, order: Sampler[_Draw]) -> DataLoader[Any]:
        workers = self.settings.workers
        return DataLoader(
            images,
            batch_size=batch_size,
            sampler=order,
            num_workers=workers,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=workers > 0,
        )


class _EpochOrder(Sampler[_Draw]):
    """A permutation drawn from (seed, epoch), with a seed for each sample's augmentation, whoever loads it."""

    def __init__(self, count: int, epoch: Callable[[], tuple[int, int]]) -> None:
        self.count, self.epoch = count, epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[_Draw]:
        rng = np.random.default_rng(self.epoch())
        order, seeds = rng.permutation(self.count), rng.integers(0, 2**62, self.count)
        yield from zip(order.tolist(), seeds.tolist(), strict=True)


class _InOrder(Sampler[_Draw]):
    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[_Draw]:
        yield from ((index, 0) for index in range(self.count))


@dataclass(frozen=True)
class _Part:
    """Some of the images of a folder: where each lies and the number of its class."""

    samples: list[tuple[str, int]]
    classes: list[str]


class _Images(Dataset[tuple[Tensor, int]]):
    """Decoded, cropped and normalised images [3, size, size] and their labels."""

    def __init__(self, part: _Part, count: int | None, key: str, recipe: Preprocessing, augment: bool) -> None:
        self.recipe, self.augment = recipe, augment
        chosen = balanced(np.asarray([label for _, label in part.samples]), count, key)
        self.samples = [part.samples[index] for index in chosen]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, draw: _Draw) -> tuple[Tensor, int]:
        from torchvision.datasets.folder import default_loader
        from torchvision.transforms import functional

        index, seed = draw
        path, label = self.samples[index]
        image = default_loader(path)
        if self.augment:
            rng = np.random.default_rng(seed)
            image = functional.resized_crop(image, *_crop(rng, image.height, image.width), list(self.recipe.size))
            image = functional.hflip(image) if rng.random() < 0.5 else image
        else:
            image = self.recipe.pixels(image)
        return functional.normalize(functional.to_tensor(image), list(_MEAN), list(_STD)), label


def _three_parts(root: Path) -> tuple[_Part, _Part, _Part]:
    """Training, validation and test. Raises KasError if a folder or a class is missing."""
    train, val = _open(root / "train"), _open(root / "val")
    test = _open(root / "test") if (root / "test").is_dir() else None
    for name, other in (("val", val), ("test", test or val)):
        if train.classes != other.classes:
            differing = sorted(set(train.classes) ^ set(other.classes))
            raise KasError(f"{root}: train and {name} must have the same classes; {differing[0]!r} is in one alone")
    if test is not None:
        return train, val, test
    stays, held = hold_out(np.asarray([label for _, label in train.samples]), _HELD_OUT)
    parts = [_Part([train.samples[index] for index in np.sort(chosen)], train.classes) for chosen in (stays, held)]
    return parts[0], parts[1], val


def _open(folder: Path) -> _Part:
    from torchvision.datasets import ImageFolder

    try:
        found = ImageFolder(str(folder))
    except FileNotFoundError as error:
        raise KasError(
            f"there are no images in {folder.absolute()} ({error}); data.root must hold train/CLASS/ and val/CLASS/"
        ) from error
    return _Part(found.samples, found.classes)


def _crop(rng: np.random.Generator, height: int, width: int) -> tuple[int, int, int, int]:
    """top, left, height, width of a crop of 8 % to 100 % of the area, sides 3:4 to 4:3; the centre if none fits."""
    for _ in range(10):
        area = height * width * rng.uniform(0.08, 1)
        ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        rows, columns = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < rows <= height and 0 < columns <= width:
            return int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1)), rows, columns
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side, side
