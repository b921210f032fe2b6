"""The accuracy objective: top 1, or any other classification metric of torchmetrics that has a direction."""

from __future__ import annotations

from kas.evaluation._lightning import pl  # noqa: F401  torchmetrics imports torchvision, which this makes importable
from kas.evaluation.settings import nearest
from kas.language.errors import KasError

import torchmetrics.classification  # isort: skip
from torchmetrics import Metric  # isort: skip

__all__ = ["make_metric", "metric_direction"]

_PREFIX = "Multiclass"


def make_metric(name: str, num_classes: int) -> Metric:
    """`accuracy`, or the multi-class metric of that name (`F1Score`, `AUROC`, `Recall` …), of logits [N, classes].

    Raises KasError if torchmetrics has none of that name, it has no direction, or is not one number.
    """
    if name == "accuracy":
        return torchmetrics.classification.MulticlassAccuracy(num_classes=num_classes, average="micro")
    known = [key.removeprefix(_PREFIX) for key in torchmetrics.classification.__all__ if key.startswith(_PREFIX)]
    if name not in known:
        raise KasError(
            f"training.metric is {name!r}, which torchmetrics.classification does not have"
            f"{nearest(name, ['accuracy', *known])}"
        )
    try:
        metric: Metric = getattr(torchmetrics.classification, _PREFIX + name)(num_classes=num_classes)
    except (TypeError, ValueError) as error:
        raise KasError(f"training.metric {name} cannot be used, it needs further arguments: {error}") from error
    if metric.higher_is_better is None:
        raise KasError(
            f"training.metric {name} has no direction (better or worse); choose one that has, such as F1Score"
        )
    return metric


def metric_direction(name: str) -> str:
    """`maximize` or `minimize`. Raises KasError as `make_metric`."""
    return "maximize" if make_metric(name, 2).higher_is_better else "minimize"
