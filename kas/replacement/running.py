"""One run of a network on an example, without traces."""

from __future__ import annotations

from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from kas.language.errors import KasError
from kas.replacement.copying import cloned, copied
from kas.replacement.example import ExampleInput, arguments, describe_input, first_tensor
from kas.replacement.frames import user_frames

__all__ = ["materialised", "run"]


def run(model: nn.Module, example_input: ExampleInput) -> Any:
    """The output of a model for an example: without gradients, with a random state of its own.

    Modes and statistics of the model are the caller's business. Raises KasError if it does not run.
    """
    args, kwargs = arguments(example_input)
    devices = sorted({value.device.index for value in (*args, *kwargs.values()) if isinstance(value, Tensor) and value.is_cuda})
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        try:
            return model(*args, **kwargs)
        except Exception as error:
            where = f"{type(model).__name__} does not run on the example input {describe_input(example_input)}"
            reason = f"{type(error).__name__}: {error}{_hint(model, example_input)}"
            raise KasError(f"{where}: {reason}{user_frames(error)}") from error


def materialised(model: nn.Module, example_input: ExampleInput) -> nn.Module:
    """The model itself; if it has lazy layers without weights, a copy in which they have run once, on the example.

    Their weights come from torch's generator, which is left as it was. Raises KasError as `run`.
    """
    if not any(map(torch.nn.parameter.is_lazy, chain(model.parameters(), model.buffers()))):
        return model
    model = copied(model)
    modes = {module: module.training for module in model.modules()}
    run(model.eval(), cloned(example_input))
    for module, mode in modes.items():
        module.training = mode
    return model


def _hint(model: nn.Module, example_input: ExampleInput) -> str:
    """What an example of another type or on another device than the weights should be."""
    weight = next((p for p in model.parameters() if p.is_floating_point()), None)
    example = first_tensor(example_input)
    if example.dtype == torch.uint8:
        return ". Its inputs are uint8, from 0 to 255: let the data set return floats, as in image.float() / 255"
    if weight is None or not example.is_floating_point():
        return ""
    if weight.dtype != example.dtype:
        return f". Its weights are {weight.dtype}, the example is {example.dtype}: give it .to({weight.dtype})"
    if weight.device != example.device:
        return f". Its weights are on {weight.device}, the example is on {example.device}: give it .to({str(weight.device)!r})"
    return ""
