"""The first objective: a metric of torchmetrics by its name, or the user's own, with the direction in which it is better."""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kas.evaluation._lightning import pl  # noqa: F401  torchmetrics imports torchvision, which this makes importable
from kas.evaluation.factories import call_factory
from kas.evaluation.settings import TrainingSettings, nearest
from kas.language.errors import KasError

import torchmetrics.classification  # isort: skip
import torchmetrics.regression  # isort: skip
from torchmetrics import Metric  # isort: skip

__all__ = ["Measure", "make_measure", "metric_names"]

_HOMES = (torchmetrics.classification, torchmetrics.regression, torchmetrics)
_CLASSES = ("num_classes", "num_labels")


@dataclass(frozen=True)
class Measure:
    """A metric, what it is called, its direction (`maximize` or `minimize`), and whether it is a share of 1.

    metric: None where a LightningModule logs it by itself.
    """

    metric: Metric | None
    name: str
    direction: str
    share: bool


def metric_names(family: str) -> list[str]:
    """The metrics of torchmetrics for a family (`Multiclass`, `Multilabel`, `Binary`; of numbers: ""), with those refused."""
    if not family:
        return list(torchmetrics.regression.__all__)
    every = torchmetrics.classification.__all__
    return ["accuracy", *(name.removeprefix(family) for name in every if name.startswith(family))]


def make_measure(
    settings: TrainingSettings, default: str, family: str, width: int, tried: tuple[Tensor, Tensor] | None
) -> Measure:
    """`training.metric`, or `default`, with `training.metric_args`: a new one.

    family: as in `metric_names`. width: outputs of the network. tried: predictions and targets that must give one number.
    Raises KasError if torchmetrics has none of that name, it has no direction, or is not one number.
    """
    name = settings.metric or default
    if not name:
        raise KasError(
            "task custom needs training.metric, a name of torchmetrics or package.module:function, and training.loss"
        )
    offered = {"ignore_index": settings.ignore_index, **dict.fromkeys(_CLASSES, width)}
    if ":" in name:
        metric = call_factory("training.metric", name, settings.metric_args, offered)
        if not isinstance(metric, Metric):
            raise KasError(f"training.metric: {name} returned a {type(metric).__name__}; a torchmetrics.Metric is expected")
    else:
        metric = _named(name, family, settings.metric_args, offered)
    direction = _direction(metric, name, settings.direction)
    if tried is not None and ":" not in name and (numbers := _numbers(metric, tried, name)) != 1:
        raise KasError(
            f"training.metric {name} is not one number, but {numbers}; choose another, such as {default}, or arguments with "
            f"which it is, in training.metric_args"
        )
    lower, upper = metric.plot_lower_bound, metric.plot_upper_bound
    return Measure(metric, name.partition(":")[2] or name, direction, (lower, upper) == (0.0, 1.0))


def _named(name: str, family: str, given: dict[str, Any], offered: dict[str, Any]) -> Metric:
    title = "Accuracy" if name == "accuracy" else name
    kind = next((found for home in _HOMES if (found := getattr(home, family + title, None)) is not None), None)
    kind = kind or next((found for home in _HOMES if (found := getattr(home, title, None)) is not None), None)
    if not (isinstance(kind, type) and issubclass(kind, Metric)):
        known = metric_names(family)
        raise KasError(f"training.metric is {name!r}, which torchmetrics does not have for this task{nearest(name, known)}")
    taken = inspect.signature(kind).parameters
    arguments = {key: value for key, value in offered.items() if key in taken and value is not None}
    if name == "accuracy" and "average" in taken:
        arguments["average"] = "micro"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of how much memory some metrics take
            return kind(**{**arguments, **given})
    except (TypeError, ValueError) as error:
        raise KasError(f"training.metric {name} cannot be used, it needs further arguments: {error}") from error


def _direction(metric: Metric, name: str, wanted: str | None) -> str:
    if wanted is not None:
        return wanted
    if metric.higher_is_better is None:
        raise KasError(
            f"training.metric {name} has no direction (better or worse); say training.direction: maximize or minimize, or "
            f"choose one that has"
        )
    return "maximize" if metric.higher_is_better else "minimize"


def _numbers(metric: Metric, tried: tuple[Tensor, Tensor], name: str) -> int:
    """How many numbers a metric gives."""
    trial = metric.clone()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of so few samples
        try:
            trial.update(*tried)
            found = trial.compute()
        except Exception as error:  # of many kinds: whatever a metric meets
            raise KasError(f"training.metric {name} does not take this task's predictions: {error}") from error
    return int(torch.as_tensor(found).numel()) if isinstance(found, (Tensor, float, int)) else 0
