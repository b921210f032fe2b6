"""Data sets that fit in memory: tensors, cut into batches without worker processes, augmented a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from kas.evaluation.data._base import ClassificationData, balanced
from kas.evaluation.data.preprocessing import Preprocessing
from kas.evaluation.settings import DataSettings

__all__ = ["Augment", "MemoryData", "MemoryLoader", "Split", "Splits", "prepare", "random_flip", "random_shift"]

Augment = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Split:
    """Samples of one split: `inputs` uint8 [N, C, H, W] (or [N, C, L]; float32 of signals), `labels` int64 [N]."""

    inputs: Tensor
    labels: Tensor


class Recipe(Protocol):
    """How a raw sample becomes the network's input, as far as the loaders do it: `unit` is what inputs are divided by."""

    @property
    def input_shape(self) -> tuple[int, ...]: ...

    @property
    def mean(self) -> tuple[float, ...]: ...

    @property
    def std(self) -> tuple[float, ...]: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def unit(self) -> float: ...

    def to_dict(self) -> dict[str, Any]: ...


class Splits(NamedTuple):
    """The three parts of a data set; no sample is in two of them."""

    train: Split
    val: Split
    test: Split


class MemoryLoader:
    """Batches of a split, as float tensors: divided by the recipe's `unit`, normalised by `mean` and `std` of each channel.

    With `epoch` (a callable that returns the number of the running epoch) the order and the augmentation are drawn
    anew from (seed, epoch), so an epoch that is done again after a crash is the same epoch. Without it: in order, as is.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        recipe: Recipe,
        *,
        epoch: Callable[[], int] | None = None,
        seed: int = 0,
        augment: Augment | None = None,
    ) -> None:
        self.split, self.batch_size = split, batch_size
        self._epoch, self._seed, self._augment = epoch, seed, augment
        shape = (1, -1) + (1,) * (split.inputs.ndim - 2)
        mean, std = torch.tensor(recipe.mean).view(shape), torch.tensor(recipe.std).view(shape)
        self._scale, self._shift = 1 / (recipe.unit * std), -mean / std

    def __len__(self) -> int:
        return -(-len(self.split.labels) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        count = len(self.split.labels)
        if self._epoch is None:
            order, generator = torch.arange(count), None
        else:
            epoch_seed = int(np.random.SeedSequence([self._seed, self._epoch()]).generate_state(1, np.uint64)[0] >> 1)
            generator = torch.Generator().manual_seed(epoch_seed)
            order = torch.randperm(count, generator=generator)
        for chosen in torch.split(order, self.batch_size):
            inputs = self.split.inputs[chosen]
            if generator is not None and self._augment is not None:
                inputs = self._augment(inputs, generator)
            yield torch.addcmul(self._shift, inputs.float(), self._scale), self.split.labels[chosen]


class MemoryData(ClassificationData):
    """A data module around a function that makes the splits; it is called once, on the first use."""

    def __init__(
        self,
        settings: DataSettings,
        *,
        load: Callable[[], Splits],
        recipe: Recipe,
        augment: Augment | None = None,
    ) -> None:
        super().__init__(len(recipe.classes), recipe.input_shape)
        self.settings = settings
        self._load, self._recipe, self._augment = load, recipe, augment
        self._splits: Splits | None = None

    def splits(self) -> Splits:
        """The samples, cut to `train_samples`, `val_samples` and `test_samples`."""
        if self._splits is None:
            loaded = self._load()
            cuts = (f"{name}_samples" for name in Splits._fields)
            self._splits = Splits(
                *(_subset(split, getattr(self.settings, cut), f"data.{cut}") for split, cut in zip(loaded, cuts, strict=True))
            )
        return self._splits

    def preprocessing(self) -> dict[str, Any]:
        return self._recipe.to_dict()

    def prepare_data(self) -> None:
        self.splits()

    def train_dataloader(self) -> MemoryLoader:
        augment = self._augment if self.settings.augment else None
        return MemoryLoader(
            self.splits().train,
            self.settings.batch_size,
            self._recipe,
            epoch=self.current_epoch,
            seed=self.seed,
            augment=augment,
        )

    def val_dataloader(self) -> MemoryLoader:
        return self._in_order(self.splits().val)

    def test_dataloader(self) -> MemoryLoader:
        return self._in_order(self.splits().test)

    def _in_order(self, split: Split) -> MemoryLoader:
        return MemoryLoader(split, self.settings.eval_batch_size, self._recipe)


def prepare(images: Any, recipe: Preprocessing) -> Tensor:
    """Raw images as uint8 inputs, [N, C, H, W] or (layout NCL) [N, C, L]."""
    pixels = torch.from_numpy(np.stack([recipe.pixels(image) for image in images]))
    if recipe.layout == "NCL":
        return pixels
    # A permuted single channel would count as contiguous with the strides of channels last, and torch 2.13 on a CPU then writes
    # beyond its memory in the backward pass of narrow convolutions.
    return pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2).contiguous()


def _subset(split: Split, count: int | None, key: str) -> Split:
    chosen = torch.from_numpy(balanced(split.labels.numpy(), count, key))
    return split if len(chosen) == len(split.labels) else Split(split.inputs[chosen], split.labels[chosen])


def random_shift(pixels: int) -> Augment:
    """Moves each sample by up to `pixels` along every spatial axis; what comes in is zero (a random crop with padding)."""

    def shift(inputs: Tensor, generator: torch.Generator) -> Tensor:
        count, sizes = inputs.shape[0], inputs.shape[2:]
        padded = torch.nn.functional.pad(inputs, (pixels, pixels) * len(sizes))
        ones = [1] * len(sizes)
        index = [torch.arange(count).view(-1, 1, *ones), torch.arange(inputs.shape[1]).view(1, -1, *ones)]
        for axis, size in enumerate(sizes):
            start = torch.randint(0, 2 * pixels + 1, (count, 1), generator=generator)
            view = [*ones[:axis], size, *ones[axis + 1 :]]
            index.append((start + torch.arange(size)).view(count, 1, *view))
        return padded[tuple(index)]

    return shift


def random_flip(inputs: Tensor, generator: torch.Generator) -> Tensor:
    """Mirrors every second image [N, C, H, W], at random, left to right."""
    mirrored = torch.rand((len(inputs), 1, 1, 1), generator=generator) < 0.5
    return torch.where(mirrored, inputs.flip(-1), inputs)
