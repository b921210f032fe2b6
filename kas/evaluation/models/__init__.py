"""Networks by name, and the user's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from kas.evaluation.factories import call_factory
from kas.evaluation.inputs import Shape, random_inputs
from kas.evaluation.models.from_torchvision import from_torchvision, torchvision_names
from kas.evaluation.models.mlp import mlp
from kas.evaluation.models.small_conv1d import small_conv1d
from kas.evaluation.models.small_convnext import small_convnext
from kas.evaluation.models.small_resnet import small_resnet
from kas.evaluation.models.small_vit import small_vit
from kas.evaluation.settings import ModelSettings, nearest
from kas.language.errors import KasError
from kas.replacement import materialised

__all__ = ["make_model", "model_names", "own_names"]

_MODELS: dict[str, Callable[..., nn.Module]] = {
    "small_resnet": small_resnet,
    "small_convnext": small_convnext,
    "small_vit": small_vit,
    "small_conv1d": small_conv1d,
    "mlp": mlp,
}


def own_names() -> list[str]:
    """The names of kas' own networks."""
    return list(_MODELS)


def model_names() -> list[str]:
    """The names that `model.name` knows: kas' own networks and torchvision's classifiers."""
    return [*own_names(), *torchvision_names()]


def make_model(
    settings: ModelSettings,
    num_classes: int | None,
    input_shape: Shape,
    overrides: dict[str, Any] | None = None,
    example: Any = None,
) -> nn.Module:
    """A new network for samples of `input_shape`; `overrides` (training.model, cost.model) win over `settings.args`.

    Weights are drawn from torch's global generator: seed it to have the same ones. Lazy layers of the user's have run once,
    on the example (by default on random inputs). num_classes: how many outputs it shall have; None: not known. Raises
    KasError if the name or an argument is unknown, or if the user's factory does not fit.
    """
    args = {**settings.args, **(overrides or {})}
    if settings.factory is not None:
        offered = {"num_classes": num_classes, "input_shape": input_shape}
        model = call_factory("model.factory", settings.factory, args, offered)
        if not isinstance(model, nn.Module):
            raise KasError(f"model.factory: {settings.factory} returned a {type(model).__name__}, not a torch.nn.Module")
        return materialised(model, random_inputs(input_shape, 2) if example is None else example)
    if num_classes is None:
        raise KasError(
            f"model {settings.name} needs to know how many outputs to have: give the data module the attribute num_classes"
        )
    if settings.name in _MODELS:
        function = _MODELS[settings.name]
        _check_args(settings.name, function, args)
        return function(num_classes=num_classes, input_shape=tuple(input_shape), **args)
    if settings.name in torchvision_names():
        return from_torchvision(settings.name, num_classes=num_classes, input_shape=tuple(input_shape), **args)
    raise KasError(
        f"model.name is {settings.name!r}; known are {', '.join(_MODELS)} and torchvision's classifiers"
        f"{nearest(settings.name, model_names())} (model.factory names your own)"
    )


def _check_args(name: str, function: Callable[..., nn.Module], args: dict[str, Any]) -> None:
    known = [key for key in inspect.signature(function).parameters if key not in ("num_classes", "input_shape")]
    for key, value in args.items():
        if key not in known:
            raise KasError(f"model {name} has no argument {key!r}; known are {', '.join(known)}{nearest(key, known)}")
        entries = value if isinstance(value, (list, tuple)) else [value]
        if any(isinstance(entry, bool) or not isinstance(entry, int) for entry in entries):
            raise KasError(f"model {name}: {key} is {value!r}; it must be a whole number")
