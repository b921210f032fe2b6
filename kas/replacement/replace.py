"""A new network with kernels in place of its convolutions or blocks."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from kas.language.errors import KasError
from kas.replacement.adapters import adapt
from kas.replacement.checks import check_replaced, only_replaced_train
from kas.replacement.copying import copied
from kas.replacement.example import ExampleInput
from kas.replacement.finding import find_targets
from kas.replacement.layers import REPLACEABLE, describe, rank_of
from kas.replacement.resize import Downsampling
from kas.replacement.running import materialised
from kas.solvers.targets import Target

if TYPE_CHECKING:
    from kas.language import Kernel

__all__ = ["replace", "replace_layers"]

_LOG = logging.getLogger(__name__)


def replace(
    model: nn.Module,
    kernel: Kernel,
    example_input: ExampleInput,
    targets: Sequence[Target] | None = None,
    budget: Mapping[str, Any] | None = None,
    *,
    sizes: Any = None,
    downsampling: Downsampling = "average",
    lowering: str = "optimized",
    check: bool = True,
) -> nn.Module:
    """A copy of `model` in which `kernel` stands in place of the targets, each in an adapter.

    The interface is that of `model`: every replaced layer gives exactly the output size that it gave, at any input size
    (a kernel with `fixed_size` only at the sizes of the example). All other weights and buffers are equal bit for bit;
    the model itself stays as it is. New weights are drawn from torch's global generator. Hooks of replaced layers go
    with them. What stands in a layer's place answers as that did (`kas.replacement.standin.StandIn`), and pads in its
    padding mode: where that is not zeros, a kernel runs on a margin as well, whose work no budget counts. Lazy layers run
    once on the example, in the copy.

    targets: None finds those of the kernel's rank with `find_targets`.
    budget, sizes: the limits that `kas.solve` keeps to, or what it has already found for these targets.
    downsampling: `average` over each stride window, or `subsample`. lowering: as in `kas.build`.
    check: run the new network once on the example, to see that it calls what was replaced.

    Raises KasError if nothing is found, a target is not that layer, the model cannot be copied, or the check fails (then
    with the names of the layers), Infeasible if no sizes satisfy the budget or a padding mode cannot be kept.

    >>> import kas, torch
    >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Conv2d(8, 8, 3, padding=1))
    >>> new = replace(network, kas.zoo.get("depthwise_separable"), torch.zeros(1, 3, 16, 16), budget={"macs": 0.5})
    >>> new(torch.zeros(1, 3, 20, 20)).shape, new[1].kernel_size, new[1].weight.dtype
    (torch.Size([1, 8, 20, 20]), (3, 3), torch.float32)
    """
    from kas.lowering import build

    model = materialised(model, example_input)
    if targets is None:
        targets = find_targets(model, example_input, rank=kernel.rank)
    if wrong := [target for target in targets if target.rank != kernel.rank]:
        raise KasError(f"replace: target {wrong[0].name!r} has rank {wrong[0].rank}, the kernel rank {kernel.rank}")
    if sizes is None:
        from kas.solvers import solve

        sizes = solve(kernel, targets, budget)
    if missing := [target.name for target in targets if target.name not in sizes.values]:
        raise KasError(f"replace: the sizes have no values for {missing}; they hold {sorted(sizes.values)}")

    def template(target: Target) -> nn.Module:
        values = sizes.values[target.name]
        return build(kernel, channels=target.channels, size=target.size, groups=sizes.groups, values=values, lowering=lowering)

    new = replace_layers(model, targets, template, downsampling)
    if check:
        check_replaced(new, targets, example_input)
        if sentence := only_replaced_train(model):
            _LOG.warning(sentence)
    return new


def replace_layers(
    model: nn.Module,
    targets: Sequence[Target],
    build_template: Callable[[Target], nn.Module],
    downsampling: Downsampling = "average",
) -> nn.Module:
    """As `replace`, with any templates: modules `[N, C_t, *size]` → the same shape, one call for each that is needed.

    Raises KasError for a target that is not in the model or not as it says.
    """
    if not targets:
        raise KasError("replace: no targets; find_targets(model, example_input) gives those of a model")
    layers = {target.name: _layer(model, target) for target in targets}
    if len(layers) < len(targets):
        raise KasError(f"replace: targets of the same name in {[target.name for target in targets]}")
    # deepcopy takes what the memo holds for an object in its place, wherever the model refers to it.
    memo: dict[int, Any] = {}
    for target in targets:
        layer = layers[target.name]
        memo[id(layer)] = _like(adapt(target, layer, build_template, downsampling), layer)
    return copied(model, memo)


def _layer(model: nn.Module, target: Target) -> nn.Module:
    """The layer that a target names, checked against it."""
    layer = dict(model.named_modules()).get(target.name)
    if layer is None:
        raise KasError(f"replace: {type(model).__name__} has no module {target.name!r}")
    if target.block:
        return _block(layer, target)
    if not isinstance(layer, REPLACEABLE):
        raise KasError(f"replace: {target.name!r} is a {type(layer).__name__}; expected a Conv1d, Conv2d or Linear")
    if rank_of(layer) != target.rank:
        raise KasError(f"replace: {target.name!r} has rank {rank_of(layer)}, its target rank {target.rank}")
    actual = dataclasses.replace(describe(target.name, layer, target.size), prefer=target.prefer)
    if actual != target:
        raise KasError(f"replace: the model's layer is {actual}, not {target}")
    return layer


def _block(block: nn.Module, target: Target) -> nn.Module:
    """The block that a target names, checked against it."""
    params = sum(parameter.numel() for parameter in block.parameters())
    if (type(block).__name__, params) != (target.block, target.block_params):
        actual = f"{type(block).__name__} of {params} parameters"
        raise KasError(f"replace: {target.name!r} is a {actual}, its target a {target.block} of {target.block_params}")
    return block


def _like(module: nn.Module, layer: nn.Module) -> nn.Module:
    """The new module with the mode, device, dtype and memory format of the layer or block that it replaces."""
    tensors = [*layer.parameters(), *layer.buffers()]
    like = next((tensor for tensor in tensors if tensor.is_floating_point()), torch.zeros(()))
    module = module.to(device=like.device, dtype=like.dtype).train(layer.training)
    weight = next((tensor for tensor in tensors if tensor.dim() == 4), like)
    channels_last = weight.dim() == 4 and weight.is_contiguous(memory_format=torch.channels_last)
    if channels_last and not weight.is_contiguous():
        module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module
