"""Any torchvision classifier by its name, with as many classes and input channels as the data has."""

from __future__ import annotations

import warnings
from typing import Any

from torch import nn

from kas.language.errors import KasError
from kas.replacement._torchvision import ensure_importable

__all__ = ["from_torchvision", "torchvision_names"]


def torchvision_names() -> list[str]:
    """The classifiers that torchvision has."""
    ensure_importable()
    import torchvision

    return list(torchvision.models.list_models(module=torchvision.models))


def from_torchvision(name: str, *, num_classes: int, input_shape: tuple[int, ...], **args: Any) -> nn.Module:
    """torchvision's `name`; `weights` among `args` (such as "DEFAULT") downloads pretrained ones and fits a new head.

    Raises KasError if the data has no images, or the network does not take `args`.
    """
    ensure_importable()
    import torchvision

    if len(input_shape) != 3:
        raise KasError(f"model {name} needs images (C, H, W), but the data has samples of shape {input_shape}")
    pretrained = args.get("weights") is not None
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*default weight initialization.*", category=FutureWarning)
            model = torchvision.models.get_model(name, **args, **({} if pretrained else {"num_classes": num_classes}))
    except (TypeError, ValueError, KeyError, OSError) as error:
        raise KasError(f"model {name} cannot be built with model.args {args}: {error}") from error
    if pretrained:
        _fit_last(model, nn.Linear, lambda old: _linear(old, num_classes), last=True)
    if input_shape[0] != 3:
        _fit_last(model, nn.Conv2d, lambda old: _convolution(old, input_shape[0]), last=False)
    return model  # type: ignore[no-any-return]


def _fit_last(model: nn.Module, kind: type[nn.Module], fit: Any, *, last: bool) -> None:
    """Replace the first or last module of a kind by what `fit` makes of it."""
    names = [name for name, module in model.named_modules() if isinstance(module, kind)]
    if not names:
        raise KasError(f"{type(model).__name__} has no {kind.__name__} layer to fit to the data")
    parent, _, child = names[-1 if last else 0].rpartition(".")
    holder = model.get_submodule(parent)
    setattr(holder, child, fit(getattr(holder, child)))


def _linear(old: nn.Linear, num_classes: int) -> nn.Linear:
    return old if old.out_features == num_classes else nn.Linear(old.in_features, num_classes)


def _convolution(old: nn.Conv2d, in_channels: int) -> nn.Conv2d:
    return nn.Conv2d(
        in_channels,
        old.out_channels,
        old.kernel_size,  # type: ignore[arg-type]
        old.stride,  # type: ignore[arg-type]
        old.padding,  # type: ignore[arg-type]
        bias=old.bias is not None,
    )
