"""Data sets by name, each a LightningDataModule with `num_classes` and `input_shape`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kas.evaluation._lightning import pl
from kas.evaluation.data._base import ClassificationData, has_test_split, preprocessing_of
from kas.evaluation.data.cifar import cifar10, cifar100
from kas.evaluation.data.cluttered import cluttered
from kas.evaluation.data.digits import digits
from kas.evaluation.data.imagefolder import imagefolder
from kas.evaluation.data.mnist5k import mnist5k, mnist5k_columns
from kas.evaluation.factories import call_factory
from kas.evaluation.settings import DataSettings, nearest
from kas.language.errors import KasError

__all__ = ["ClassificationData", "data_names", "has_test_split", "make_data", "preprocessing_of"]

_DATA: dict[str, Callable[[DataSettings], Any]] = {
    "digits": digits,
    "mnist5k": mnist5k,
    "mnist5k_columns": mnist5k_columns,
    "cluttered": cluttered,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "imagefolder": imagefolder,
}


def data_names() -> list[str]:
    """The names that `data.name` knows."""
    return list(_DATA)


def make_data(settings: DataSettings) -> Any:
    """A LightningDataModule with `num_classes` and `input_shape` ((C, H, W), (C, L) or (features,)).

    Raises KasError if the name is unknown, the data is not where it should be, or the user's factory does not fit.
    """
    if settings.factory is not None:
        return _own(settings)
    if settings.name not in _DATA:
        raise KasError(
            f"data.name is {settings.name!r}; known are {', '.join(_DATA)}{nearest(settings.name, _DATA)} "
            f"(data.factory names your own)"
        )
    return _DATA[settings.name](settings)


def _own(settings: DataSettings) -> Any:
    factory = str(settings.factory)
    data = call_factory("data.factory", factory, settings.factory_args, {"settings": settings})
    if not isinstance(data, pl.LightningDataModule):
        raise KasError(
            f"data.factory: {factory} returned a {type(data).__name__}; a pytorch_lightning.LightningDataModule is needed"
        )
    classes = getattr(data, "num_classes", None)
    if not isinstance(classes, int) or classes < 2:
        raise KasError(f"data.factory: the data module of {factory} needs an attribute num_classes, at least 2")
    if getattr(data, "input_shape", None) is None:
        data.input_shape = _first_shape(data, factory)  # type: ignore[attr-defined]
    return data


def _first_shape(data: pl.LightningDataModule, factory: str) -> tuple[int, ...]:
    """The shape of the first validation sample, without the batch."""
    data.prepare_data()
    data.setup("fit")
    batch = next(iter(data.val_dataloader()))
    if not isinstance(batch, (tuple, list)) or len(batch) != 2 or not hasattr(batch[0], "shape"):
        raise KasError(f"data.factory: the batches of {factory} must be pairs (inputs, labels)")
    return tuple(batch[0].shape[1:])
