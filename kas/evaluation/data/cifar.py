"""CIFAR-10 and CIFAR-100 in the form that torchvision downloads (`cifar-10-batches-py`).

Those files are pickles, and an unpickler runs what a file tells it to. So they are read by one that knows nothing but
numpy arrays: a file with anything else in it is refused. The checksums are torchvision's business, when it downloads.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kas.evaluation.data._memory import MemoryData, Split, Splits, prepare, random_flip, random_shift
from kas.evaluation.data._mnist import hold_out
from kas.evaluation.data.preprocessing import Preprocessing
from kas.evaluation.settings import DataSettings
from kas.language.errors import KasError

__all__ = ["cifar10", "cifar100"]

_SIDE = 32
_HELD_OUT = 0.1  # of the training images of each class: the validation split


@dataclass(frozen=True)
class _Layout:
    """Where a CIFAR set keeps what, and its colour statistics."""

    name: str
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    meta: str
    names: str
    labels: str
    num_classes: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


_CIFAR10 = _Layout(
    name="CIFAR10",
    folder="cifar-10-batches-py",
    train=tuple(f"data_batch_{i}" for i in range(1, 6)),
    test=("test_batch",),
    meta="batches.meta",
    names="label_names",
    labels="labels",
    num_classes=10,
    mean=(0.491, 0.482, 0.447),
    std=(0.247, 0.243, 0.262),
)
_CIFAR100 = _Layout(
    name="CIFAR100",
    folder="cifar-100-python",
    train=("train",),
    test=("test",),
    meta="meta",
    names="fine_label_names",
    labels="fine_labels",
    num_classes=100,
    mean=(0.507, 0.487, 0.441),
    std=(0.267, 0.256, 0.276),
)


def cifar10(settings: DataSettings) -> MemoryData:
    """Ten classes, [3, 32, 32]; 45,000 images for training, 5,000 held out for validation, 10,000 (the test batch) for the
    test."""
    return _cifar(settings, _CIFAR10)


def cifar100(settings: DataSettings) -> MemoryData:
    """A hundred classes, [3, 32, 32]; 45,000 images for training, 5,000 held out for validation, 10,000 (the test file) for
    the test."""
    return _cifar(settings, _CIFAR100)


def _cifar(settings: DataSettings, layout: _Layout) -> MemoryData:
    size = settings.size or _SIDE
    folder = _folder(settings, layout)
    recipe = Preprocessing(
        mode="RGB",
        size=(size, size),
        mean=layout.mean,
        std=layout.std,
        classes=_class_names(folder, layout),
        raw_size=(_SIDE, _SIDE),
    )

    def load() -> Splits:
        learned, test = _read(folder, layout.train, layout, recipe), _read(folder, layout.test, layout, recipe)
        stays, held = hold_out(learned.labels.numpy(), _HELD_OUT)
        train, val = (Split(learned.inputs[chosen], learned.labels[chosen]) for chosen in (stays, held))
        return Splits(train, val, test)

    shift = random_shift(max(1, size // 8))

    def augment(inputs: Tensor, generator: torch.Generator) -> Tensor:
        return random_flip(shift(inputs, generator), generator)

    return MemoryData(settings, load=load, recipe=recipe, augment=augment)


def _folder(settings: DataSettings, layout: _Layout) -> Path:
    """The folder with the files, downloaded first if that is asked; KasError if a file is missing."""
    name = layout.name.lower()
    if settings.root is None:
        raise KasError(f"data.name {name} needs data.root: the folder that holds (or will hold) {layout.folder}")
    root = Path(settings.root).expanduser()
    folder = root / layout.folder
    if settings.download and not folder.is_dir():
        _download(root, layout)
    missing = [file for file in layout.train + layout.test if not (folder / file).is_file()]
    if missing:
        raise KasError(
            f"{name} is not in {folder.absolute()} (no {missing[0]}); set data.root to the folder that holds "
            f"{layout.folder}, or data.download: true to fetch it"
        )
    return folder


def _download(root: Path, layout: _Layout) -> None:
    from torchvision import datasets

    try:
        getattr(datasets, layout.name)(root, download=True)
    except (OSError, RuntimeError) as error:
        raise KasError(f"{layout.name.lower()} could not be downloaded to {root.absolute()}: {error}") from error


class _ArraysOnly(pickle.Unpickler):
    """Reads dictionaries, lists, numbers, strings and numpy arrays; anything else is refused, unexecuted."""

    _KNOWN = frozenset(
        (module, name)
        for module, names in {
            "numpy.core.multiarray": ("_reconstruct",),
            "numpy._core.multiarray": ("_reconstruct",),
            "numpy._core.numeric": ("_frombuffer",),
            "numpy.core.numeric": ("_frombuffer",),
            "numpy": ("ndarray", "dtype"),
            "_codecs": ("encode",),
        }.items()
        for name in names
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._KNOWN:
            raise pickle.UnpicklingError(f"it contains {module}.{name}, which no CIFAR file does")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _class_names(folder: Path, layout: _Layout) -> tuple[str, ...]:
    """The names of the classes, from the file that lists them; their numbers if it is not there or does not."""
    try:
        with (folder / layout.meta).open("rb") as file:
            names = tuple(map(str, _ArraysOnly(file, encoding="latin1").load()[layout.names]))
    except (OSError, pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError, AttributeError):
        names = ()
    return names if len(names) == layout.num_classes else tuple(map(str, range(layout.num_classes)))


def _read(folder: Path, files: tuple[str, ...], layout: _Layout, recipe: Preprocessing) -> Split:
    """The images of some files, [N, 3, size, size], and their labels."""
    images, labels = zip(*(_read_file(folder / file, layout) for file in files), strict=True)
    pixels = np.concatenate(images)
    inputs = torch.from_numpy(pixels) if recipe.size == recipe.raw_size else prepare(pixels.transpose(0, 2, 3, 1), recipe)
    return Split(inputs, torch.from_numpy(np.concatenate(labels)))


def _read_file(path: Path, layout: _Layout) -> tuple[np.ndarray, np.ndarray]:
    try:
        with path.open("rb") as file:
            entry = _ArraysOnly(file, encoding="latin1").load()
        images = np.asarray(entry["data"], dtype=np.uint8).reshape(-1, 3, _SIDE, _SIDE)
        labels = np.asarray(entry[layout.labels], dtype=np.int64)
    except (pickle.UnpicklingError, EOFError, KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise KasError(f"{path} is no {layout.name} batch file: {error}; fetch the data set again") from error
    if len(images) != len(labels) or (len(labels) and not 0 <= labels.min() <= labels.max() < layout.num_classes):
        raise KasError(f"{path} is no {layout.name} batch file: {len(images)} images, {len(labels)} labels, or bad labels")
    return images, labels
