"""From source that was just generated to a module."""

from __future__ import annotations

import linecache
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256

from torch import nn

from kas.language.kernel import Kernel
from kas.lowering.module_source import class_name, source
from kas.lowering.origin import Origin

__all__ = ["build", "load"]


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

    Its parameters are one tensor for each weighted step, in step order, named after the step (`w3`). Raises
    Infeasible with the step, the dim and the value if the kernel does not exist at these sizes.
    """
    text = source(kernel, channels=channels, size=size, groups=groups, values=values, lowering=lowering)
    module = load(text, class_name(kernel))()
    assert isinstance(module, nn.Module)
    Origin(kernel.to_json(), channels, tuple(size), groups, dict(values or {})).mark(module)
    return module


@lru_cache(maxsize=1024)
def load(text: str, name: str) -> type[nn.Module]:
    """The class of a source text that this package has just generated from a checked program; equal texts share it."""
    file = f"<kas {name} {sha256(text.encode()).hexdigest()[:8]}>"
    scope: dict[str, object] = {"__name__": f"kas.generated.{name}"}
    exec(compile(text, file, "exec"), scope)
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)  # for tracebacks
    found = scope[name]
    assert isinstance(found, type)
    return found
