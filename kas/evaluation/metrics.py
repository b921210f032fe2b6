"""The accuracy objective: top 1, or any other classification metric of torchmetrics that is the better the higher it is."""

from __future__ import annotations

import torch

from kas.evaluation._lightning import pl  # noqa: F401  torchmetrics imports torchvision, which this makes importable
from kas.evaluation.settings import nearest
from kas.language.errors import KasError

import torchmetrics.classification  # isort: skip
from torchmetrics import Metric  # isort: skip

__all__ = ["make_metric", "metric_names"]

_PREFIX = "Multiclass"


def metric_names() -> list[str]:
    """`accuracy`, and the multi-class metrics of torchmetrics, also those that are refused as an objective."""
    every = torchmetrics.classification.__all__
    return ["accuracy", *(name.removeprefix(_PREFIX) for name in every if name.startswith(_PREFIX))]


def make_metric(name: str, num_classes: int) -> Metric:
    """`accuracy`, or the multi-class metric of that name (`F1Score`, `AUROC`, `Recall` …), of logits [N, classes].

    Raises KasError if torchmetrics has none of that name, higher is not better, or it is not one number.
    """
    if name == "accuracy":
        return torchmetrics.classification.MulticlassAccuracy(num_classes=num_classes, average="micro")
    if name not in metric_names():
        raise KasError(
            f"training.metric is {name!r}, which torchmetrics.classification does not have{nearest(name, metric_names())}"
        )
    try:
        metric: Metric = getattr(torchmetrics.classification, _PREFIX + name)(num_classes=num_classes)
    except (TypeError, ValueError) as error:
        raise KasError(f"training.metric {name} cannot be used, it needs further arguments: {error}") from error
    if not metric.higher_is_better:
        raise KasError(f"training.metric {name} is not the better the higher it is; choose one that is, such as F1Score")
    if _numbers(metric, num_classes) != 1:
        raise KasError(f"training.metric {name} is not one number, but one for each class; choose another, such as F1Score")
    return metric


def _numbers(metric: Metric, num_classes: int) -> int:
    """How many numbers a metric gives, tried on one sample of each class."""
    tried = metric.clone()
    tried.update(torch.eye(num_classes), torch.arange(num_classes))
    return int(torch.as_tensor(tried.compute()).numel())
