"""What every data module of kas has: the number of classes, the shape of a sample, and an order drawn from (seed, epoch)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kas.evaluation._lightning import pl
from kas.language.errors import KasError

__all__ = ["ClassificationData", "balanced", "has_test_split", "plain_shape", "preprocessing_of"]


class ClassificationData(pl.LightningDataModule):
    """A data module for classification, with loaders for training, validation, and a test split that neither has seen.

    Attributes: `num_classes`; `input_shape`, (C, H, W) or (C, L); `seed`, which the training sets before it starts.
    """

    def __init__(self, num_classes: int, input_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.input_shape = input_shape
        self.seed = 0

    def preprocessing(self) -> dict[str, Any]:
        """How a raw image of the data set becomes the network's input, as JSON types; see `Preprocessing.to_dict`."""
        return {}

    def current_epoch(self) -> int:
        """The number of the running epoch, from 0; 0 outside of a training."""
        trainer: Any = self.trainer
        return int(trainer.current_epoch) if trainer is not None else 0


def has_test_split(data: pl.LightningDataModule) -> bool:
    """Whether a data module, ours or the user's, has a `test_dataloader`."""
    return type(data).test_dataloader is not pl.LightningDataModule.test_dataloader


def preprocessing_of(data: pl.LightningDataModule) -> dict[str, Any]:
    """What a data module, ours or the user's, says about its preprocessing (a dict, or a method that returns one).

    At least `input_shape`, the shape of one sample, without which no network is built. Raises KasError if it is no dict.
    """
    said = getattr(data, "preprocessing", None)
    said = said() if callable(said) else said
    if said is not None and not isinstance(said, dict):
        raise KasError(f"{type(data).__name__}.preprocessing is a {type(said).__name__}; it must be a dict of JSON types")
    return {"input_shape": plain_shape(data.input_shape), **(said or {})}  # type: ignore[attr-defined]


def plain_shape(shape: Any) -> Any:
    """A shape, or several of them, as JSON types."""
    if isinstance(shape, dict):
        return {str(name): plain_shape(one) for name, one in shape.items()}
    return [plain_shape(one) for one in shape] if isinstance(shape, (tuple, list)) else int(shape)


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
