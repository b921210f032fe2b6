"""From a program with sizes to a module: its source is generated, loaded as a module of `kas.generated`, and its class called.

A built module is pickled as its program and sizes with its state (weights, buffers, hooks, mode): whoever reads it checks the
program and generates the source anew. No file holds source that is run.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

from torch import nn

from kas.generated import load
from kas.language.kernel import Kernel
from kas.lowering.module_source import class_name, source
from kas.lowering.origin import Origin, origin_of

__all__ = ["build", "rebuilt"]

_classes: weakref.WeakValueDictionary[tuple[Any, ...], type[nn.Module]] = weakref.WeakValueDictionary()


def build(
    kernel: Kernel,
    *,
    channels: int,
    size: tuple[int, ...],
    groups: int = 1,
    values: Mapping[str, int] | None = None,
    lowering: str = "optimized",
) -> nn.Module:
    """A module `[N, channels, *size] -> [N, channels, *size]` with fresh weights from torch's generator.

    Its parameters are one tensor for each weighted step, in step order, named after the step (`w3`). It can be copied,
    pickled, and loaded in another process. Raises Infeasible with the step, the dim and the value if the kernel does not
    exist at these sizes.

    >>> import kas, torch
    >>> module = build(kas.zoo.get("depthwise_separable"), channels=16, size=(8, 8))
    >>> module
    Kernel63da457741(channels=16, size=8x8: conv → C 3×3 depthwise; relu; fc → C)
    >>> module(torch.zeros(2, 16, 8, 8)).shape
    torch.Size([2, 16, 8, 8])
    """
    origin = Origin(kernel.to_json(), channels, tuple(size), groups, dict(values or {}), lowering)
    module = _class_of(origin, kernel)()
    origin.mark(module)
    return module


def rebuilt(*arguments: Any) -> nn.Module:
    """The module of an `Origin`'s arguments, without its state: what a pickled module calls when it is read.

    Raises InvalidKernel for a program that is none, Infeasible for sizes at which it does not exist.
    """
    origin = Origin.of_arguments(arguments)
    found = _classes.get(origin.arguments) or _class_of(origin, origin.kernel)
    return found.__new__(found)


def _class_of(origin: Origin, kernel: Kernel) -> type[nn.Module]:
    """The class of a kernel at the sizes of `origin`, generated once for as long as it is used."""
    found = _classes.get(origin.arguments)
    if found is None:
        sizes: dict[str, Any] = {"channels": origin.channels, "size": origin.size, "groups": origin.groups}
        text = source(kernel, **sizes, values=origin.values, lowering=origin.lowering)
        found = _classes[origin.arguments] = load(text, class_name(kernel))
        found.__reduce_ex__ = _reduce_ex  # type: ignore[assignment]
        found.extra_repr = _extra_repr
    return found


def _extra_repr(module: nn.Module) -> str:
    """The sizes and the program of a built module, in the line in which torch prints it."""
    origin = origin_of(module)
    if origin is None:
        return ""
    size = "x".join(map(str, origin.size)) or "-"
    groups = {} if origin.groups == 1 else {"groups": origin.groups}
    sizes = {"channels": origin.channels, "size": size, **groups, **origin.values}
    steps = repr(origin.kernel).partition(": ")[2].removesuffix(">")
    return f"{', '.join(f'{name}={value}' for name, value in sizes.items())}: {steps}"


def _reduce_ex(module: nn.Module, protocol: Any) -> Any:
    """How a built module is copied and pickled; a class derived from its own (a parametrized one) as any other."""
    origin = origin_of(module)
    standard = object.__reduce_ex__(module, max(protocol, 2))
    if origin is None or "__reduce_ex__" not in vars(type(module)):
        return standard
    assert isinstance(standard, tuple)
    return (rebuilt, origin.arguments, *standard[2:])
