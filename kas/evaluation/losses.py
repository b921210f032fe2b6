"""The loss of a training: a class of torch.nn, or what a factory of the user's returns."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn
from torch.nn.modules import loss as torch_losses

from kas.evaluation.factories import call_factory
from kas.evaluation.settings import TrainingSettings, nearest
from kas.language.errors import KasError

__all__ = ["make_loss"]

_WEIGHTS = ("pos_weight", "weight")  # what losses call the weights of classes


def make_loss(settings: TrainingSettings, default: str, width: int, weights: list[float] | None = None) -> nn.Module:
    """`training.loss`, or `default`, with `training.loss_args` and the settings of classes that it takes.

    width: outputs of the network; weights: of the classes. Raises KasError if there is none of that name, or it does not take
    an argument.
    """
    name = settings.loss or default
    given = _of_classes(settings)
    if not name:
        raise KasError("task custom needs training.loss, a name of torch.nn or package.module:function, and training.metric")
    if ":" in name:
        offered = {"num_classes": width, "class_weights": weights, **given}
        made = call_factory("training.loss", name, settings.loss_args, offered)
        if not callable(made):
            raise KasError(
                f"training.loss: {name} returned a {type(made).__name__}; a torch.nn.Module (output, targets) is expected"
            )
        return made if isinstance(made, nn.Module) else _Called(made)
    known = [one for one in torch_losses.__all__ if one.endswith("Loss")]
    if name not in known:
        raise KasError(f"training.loss is {name!r}, which torch.nn does not have as a loss{nearest(name, known)}")
    kind = getattr(nn, name)
    taken = inspect.signature(kind).parameters
    for key, value in given.items():
        if key not in taken and value is not None:
            raise KasError(f"training.{key} is {value}, but {name} has no {key}; leave it out, or choose another training.loss")
    arguments = {key: value for key, value in given.items() if value is not None}
    if settings.class_weights is not None:
        taker = next((key for key in _WEIGHTS if key in taken), None)
        if taker is None:
            raise KasError(f"training.class_weights: {name} has no weights of classes; leave them out")
        arguments[taker] = None if weights is None else torch.tensor(weights)
    try:
        return kind(**{**arguments, **settings.loss_args})  # type: ignore[no-any-return]
    except (TypeError, ValueError) as error:
        raise KasError(f"training.loss {name} does not take training.loss_args {settings.loss_args}: {error}") from error


def _of_classes(settings: TrainingSettings) -> dict[str, Any]:
    smoothing = settings.label_smoothing or None
    return {"ignore_index": settings.ignore_index, "label_smoothing": smoothing}


class _Called(nn.Module):
    """A plain function as a module."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, output: Any, targets: Any) -> Any:
        return self.function(output, targets)
