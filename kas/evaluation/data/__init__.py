"""Data sets by name, each a LightningDataModule with `num_classes` and `input_shape`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from kas.evaluation._lightning import pl
from kas.evaluation.batches import Batches
from kas.evaluation.data._base import ClassificationData, has_test_split, plain_shape, preprocessing_of
from kas.evaluation.data.cifar import cifar10, cifar100
from kas.evaluation.data.cluttered import cluttered
from kas.evaluation.data.digits import digits
from kas.evaluation.data.elpv import elpv
from kas.evaluation.data.imagefolder import imagefolder
from kas.evaluation.data.mnist5k import mnist5k, mnist5k_columns
from kas.evaluation.data.watch import watch
from kas.evaluation.factories import call_factory
from kas.evaluation.inputs import sample_shape
from kas.evaluation.settings import DataName, DataSettings
from kas.language.errors import KasError

__all__ = ["ClassificationData", "has_test_split", "make_data", "plain_shape", "preprocessing_of"]

_DATA: dict[DataName, Callable[[DataSettings], Any]] = {
    "digits": digits,
    "mnist5k": mnist5k,
    "mnist5k_columns": mnist5k_columns,
    "cluttered": cluttered,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "imagefolder": imagefolder,
    "elpv": elpv,
    "watch": watch,
}


def make_data(settings: DataSettings) -> Any:
    """A LightningDataModule with `num_classes` (None where it does not say) and `input_shape` ((C, H, W), (C, L) or
    (features,); a tuple or dict of such shapes where batches have several inputs).

    Raises KasError if the data is not where it should be, or the user's factory or its batches do not fit.
    """
    if settings.factory is not None:
        return _own(settings)
    return _DATA[settings.name](settings)


def _own(settings: DataSettings) -> Any:
    factory = str(settings.factory)
    data: Any = call_factory("data.factory", factory, settings.factory_args, {"settings": settings})
    if not isinstance(data, pl.LightningDataModule):
        raise KasError(
            f"data.factory: {factory} returned a {type(data).__name__}; a pytorch_lightning.LightningDataModule is needed"
        )
    classes = getattr(data, "num_classes", None)
    if classes is not None and (isinstance(classes, bool) or not isinstance(classes, int) or classes < 1):
        raise KasError(
            f"data.factory: num_classes of the data module of {factory} is {classes!r}; a whole number from 1 on is needed"
        )
    if classes is not None and getattr(data, "input_shape", None) is not None:
        return data
    inputs, targets, _ = Batches(settings.batch).first(data, "train")
    if getattr(data, "input_shape", None) is None:
        data.input_shape = sample_shape(inputs)  # type: ignore[attr-defined]
    if classes is None:
        data.num_classes = _outputs(targets)  # type: ignore[attr-defined]
    return data


def _outputs(targets: Tensor) -> int | None:
    """How many outputs targets ask for: their own number, of numbers or shares; None for labels, which may not all be there."""
    if targets.ndim <= 2 and targets.is_floating_point():
        return int(targets.shape[1]) if targets.ndim == 2 else 1
    return int(targets.shape[1]) if targets.ndim == 2 and targets.shape[1] > 1 else None
