"""What every data module of kas has: the number of classes, the shape of a sample, and an order drawn from (seed, epoch)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kas.evaluation._lightning import pl
from kas.language.errors import KasError

__all__ = ["ClassificationData", "balanced"]


class ClassificationData(pl.LightningDataModule):
    """A data module for classification.

    Attributes: `num_classes`; `input_shape`, (C, H, W) or (C, L); `seed`, which the training sets before it starts.
    """

    def __init__(self, num_classes: int, input_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.input_shape = input_shape
        self.seed = 0

    def current_epoch(self) -> int:
        """The number of the running epoch, from 0; 0 outside of a training."""
        trainer: Any = self.trainer
        return int(trainer.current_epoch) if trainer is not None else 0


def balanced(labels: npt.NDArray[Any], count: int | None, key: str) -> npt.NDArray[np.int64]:
    """Indices of the first `count` samples, taken from the classes in turn; all if None.

    Raises KasError, which names `key`, if there are fewer.
    """
    if count is None:
        return np.arange(len(labels))
    if count > len(labels):
        raise KasError(f"{key} is {count}, but the data set has only {len(labels)} samples")
    rank = np.zeros(len(labels), dtype=np.int64)  # how many earlier samples are of the same class
    for label in np.unique(labels):
        where = np.flatnonzero(labels == label)
        rank[where] = np.arange(len(where))
    return np.sort(np.lexsort((np.arange(len(labels)), rank))[:count])
