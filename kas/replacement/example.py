"""Example inputs: one tensor, the positional arguments, or the keyword arguments of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from kas.language.errors import KasError

__all__ = ["ExampleInput", "arguments", "describe_input", "first_tensor"]

ExampleInput = Tensor | Sequence[Any] | Mapping[str, Any]


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
