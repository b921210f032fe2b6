"""One forward pass on an example, to see which layers run, in which order, on which sizes."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from kas.language.errors import KasError

__all__ = ["Call", "ExampleInput", "arguments", "describe_input", "first_tensor", "observe"]

# One tensor, the positional arguments, or the keyword arguments of the network.
ExampleInput = Tensor | Sequence[Any] | Mapping[str, Any]


@dataclass(frozen=True)
class Call:
    """One call of a layer: the shapes of its only argument and its result; None where these are not single tensors.

    reads_input: the argument is (a view of) a tensor of the example itself, not something computed from it.
    """

    inputs: tuple[int, ...] | None
    outputs: tuple[int, ...] | None
    reads_input: bool


def observe(model: nn.Module, example_input: ExampleInput, layer_types: tuple[type[nn.Module], ...]) -> dict[str, list[Call]]:
    """The calls of each layer of the given types that ran, by qualified name, in the order of the first calls.

    Runs a copy of the model in eval mode, without gradients and with its own random state: the model, its mode and its
    running statistics stay as they are. Raises KasError if the model does not run on the example.
    """
    try:
        model = copy.deepcopy(model).eval()
    except Exception as error:
        raise KasError(f"{type(model).__name__} cannot be copied: {type(error).__name__}: {error}") from error
    args, kwargs = arguments(example_input)
    tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
    storages = {tensor.untyped_storage().data_ptr() for tensor in tensors}
    calls: dict[str, list[Call]] = {}
    with ExitStack() as stack:
        for name, layer in model.named_modules():
            if isinstance(layer, layer_types):
                handle = layer.register_forward_hook(_recorder(calls, name, storages), with_kwargs=True)
                stack.callback(handle.remove)
        devices = sorted({tensor.device.index for tensor in tensors if tensor.is_cuda})
        stack.enter_context(torch.random.fork_rng(devices=devices))
        stack.enter_context(torch.no_grad())
        try:
            model(*args, **kwargs)
        except Exception as error:
            where = f"{type(model).__name__} does not run on the example input {describe_input(example_input)}"
            raise KasError(f"{where}: {type(error).__name__}: {error}") from error
    return calls


def first_tensor(example_input: ExampleInput) -> Tensor:
    """The first tensor of an example: the network's input. Raises KasError if there is none."""
    args, kwargs = arguments(example_input)
    for value in (*args, *kwargs.values()):
        if isinstance(value, Tensor):
            return value
    raise KasError(f"the example input holds no tensor: {type(example_input).__name__}")


def describe_input(example_input: ExampleInput) -> str:
    """The shape of an example, for messages."""
    return str(list(first_tensor(example_input).shape))


def arguments(example_input: ExampleInput) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The positional and the keyword arguments of a call on the example."""
    if isinstance(example_input, Tensor):
        return (example_input,), {}
    if isinstance(example_input, Mapping):
        return (), dict(example_input)
    if isinstance(example_input, Sequence) and not isinstance(example_input, str):
        return tuple(example_input), {}
    given = type(example_input).__name__
    raise KasError(f"the example input is a {given}; expected a tensor, a tuple of arguments or a dict of them")


def _recorder(calls: dict[str, list[Call]], name: str, storages: set[int]) -> Any:
    """A forward hook that notes the call of one layer."""

    def record(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        values = (*args, *kwargs.values())
        single = values[0] if len(values) == 1 and isinstance(values[0], Tensor) else None
        calls.setdefault(name, []).append(
            Call(
                inputs=None if single is None else tuple(single.shape),
                outputs=tuple(result.shape) if isinstance(result, Tensor) else None,
                reads_input=single is not None and single.untyped_storage().data_ptr() in storages,
            )
        )

    return record
