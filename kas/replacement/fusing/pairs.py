"""Which BatchNorm reads which layer, and nothing else does: found in the traced graph of a network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import fx, nn

from kas.lowering.origin import origin_of
from kas.replacement.adapters import AdaptedLayer
from kas.replacement.layers import REPLACEABLE

__all__ = ["followers", "has_fixed_statistics", "is_layer"]

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def followers(model: nn.Module) -> tuple[dict[str, str], str]:
    """The name of the BatchNorm behind each layer that one can be folded into, by the layer's name.

    A layer is a convolution, a linear layer, a module of `kas.build` or an adapter around one, called once, whose result
    only the BatchNorm reads. The text says why the network cannot be traced, if so: then neighbours in `nn.Sequential`
    count, which is a guess (another module may read the result) that a comparison on an example has to prove.
    """
    modules = dict(model.named_modules())
    try:
        graph = _Tracer().trace(model)
    except Exception as error:  # whatever the network's own code does with a proxy
        return dict(_pairs_of_sequentials(modules)), f"{type(error).__name__}: {error}"
    return dict(_pairs_of_graph(graph, modules)), ""


def is_layer(module: nn.Module) -> bool:
    """Whether a BatchNorm may be folded into a module."""
    return isinstance(module, (*REPLACEABLE, AdaptedLayer)) or origin_of(module) is not None


def has_fixed_statistics(module: nn.Module) -> bool:
    """Whether a module is a BatchNorm that in eval mode is a scale and a bias of channels."""
    return isinstance(module, _NORMS) and module.running_mean is not None and module.running_var is not None


class _Tracer(fx.Tracer):
    """Layers stay whole."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_layer(m) or super().is_leaf_module(m, module_qualified_name)


def _pairs_of_graph(graph: fx.Graph, modules: dict[str, nn.Module]) -> Iterator[tuple[str, str]]:
    calls = Counter(id(modules[str(node.target)]) for node in graph.nodes if node.op == "call_module")
    touched = {str(node.target).rpartition(".")[0] for node in graph.nodes if node.op == "get_attr"}
    for node in graph.nodes:
        if node.op != "call_module" or len(node.all_input_nodes) != 1:
            continue
        before: Any = node.all_input_nodes[0]
        if before.op != "call_module" or len(before.users) != 1:
            continue
        names = str(before.target), str(node.target)
        if any(calls[id(modules[name])] > 1 or name in touched for name in names):
            continue
        if _foldable(modules[names[0]], modules[names[1]]):
            yield names


def _pairs_of_sequentials(modules: dict[str, nn.Module]) -> Iterator[tuple[str, str]]:
    for name, module in modules.items():
        if type(module) is nn.Sequential:
            children = [(f"{name}.{key}".lstrip("."), child) for key, child in module.named_children()]
            for (first, layer), (second, norm) in pairwise(children):
                if first in modules and second in modules and _foldable(layer, norm):
                    yield first, second


def _foldable(layer: nn.Module, norm: nn.Module) -> bool:
    hooked = any(m._forward_hooks or m._forward_pre_hooks for m in (layer, norm))
    return is_layer(layer) and has_fixed_statistics(norm) and not hooked and not _parametrized(layer)


def _parametrized(layer: nn.Module) -> bool:
    """Whether its weight is computed from others (weight norm, pruning)."""
    return bool(torch.nn.utils.parametrize.is_parametrized(layer)) or hasattr(layer, "weight_g")
