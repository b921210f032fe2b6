"""One forward pass on an example, to see which layers run, in which order, on which sizes."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from kas.replacement.copying import cloned, copied
from kas.replacement.example import ExampleInput, arguments
from kas.replacement.running import run

__all__ = ["Call", "observe"]


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

    Runs a copy of the model in eval mode on a copy of the example, without gradients and with its own random state: the
    model, its mode, its running statistics and the example stay as they are. Raises KasError if the model cannot be
    copied or does not run on the example.
    """
    model, example_input = copied(model).eval(), cloned(example_input)
    args, kwargs = arguments(example_input)
    tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
    storages = {tensor.untyped_storage().data_ptr() for tensor in tensors}
    calls: dict[str, list[Call]] = {}
    with ExitStack() as stack:
        for name, layer in model.named_modules():
            if isinstance(layer, layer_types):
                handle = layer.register_forward_hook(_recorder(calls, name, storages), with_kwargs=True)
                stack.callback(handle.remove)
        run(model, example_input)
    return calls


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
