"""The inference form of a whole network, or of a kernel alone."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from kas.language.errors import KasError
from kas.lowering.fusing import Fused
from kas.lowering.fusing.checking import equal_up_to_rounding
from kas.lowering.fusing.report import mark
from kas.replacement.copying import copied
from kas.replacement.example import ExampleInput, arguments
from kas.replacement.fusing.layers import fuse_layer
from kas.replacement.fusing.pairs import followers, is_layer

__all__ = ["fuse"]


def fuse(module: nn.Module, example_input: ExampleInput | None = None) -> nn.Module:
    """The inference form of a module of `kas.build`, or of a network with such modules in it: a new module in eval mode.

    Linear parts of kernels between non-linearities (parallel and sequential convolutions, fc, mix, unfold, scales,
    biases, mean folds, sums, views), what an adapter has around them, and the BatchNorm behind become one convolution
    wherever that is exact, borders included, and cheaper. So do a network's own convolutions with their BatchNorms.
    The module itself stays as it is; the new one shares nothing with it. Its attribute `fused` lists what became of
    what (`kas.lowering.fusing.Fused`); it is empty where there was nothing to merge.

    Every part is checked in float64, to 1e-9, on random input; with `example_input` (a tensor, the positional or the
    keyword arguments) the whole network is, too, in its own precision: to 1e-5 of its largest output in float32, or four
    times what rounding alone does to it.

    Raises KasError if a check fails, or if the network cannot be traced by torch.fx and no example is given.

    >>> fused = fuse(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)))
    >>> fused[1], len(fused.fused)
    (Identity(), 1)
    """
    model = copied(module).eval()
    original = copied(model)
    pairs, untraced = followers(model)
    if pairs and untraced and example_input is None:
        raise KasError(
            f"fuse: {type(module).__name__} cannot be traced ({untraced}), so which BatchNorm reads which layer is a "
            f"guess that must be checked on an example: fuse(module, example_input)"
        )
    parts: list[Fused] = []
    for name, layer in _layers(model):
        norm = pairs.get(name)
        made, took_norm, found = fuse_layer(layer, None if norm is None else model.get_submodule(norm))
        if took_norm and norm is not None:
            model.set_submodule(norm, nn.Identity())
        if not name:
            model = made
        elif found:
            model.set_submodule(name, made)
        parts += [replace(part, name=name) for part in found]
    if example_input is not None and parts:
        equal, difference = equal_up_to_rounding(original, model, *arguments(example_input))
        if not equal:
            raise KasError(
                f"fuse: {type(module).__name__} changes by {difference:.1e} of its largest output on the example when it is "
                f"fused; " + ("a BatchNorm may read more than the layer before it" if untraced else "please report it")
            )
    return mark(model, tuple(parts))


def _layers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The outermost layers, by name; those with hooks stay as they are."""
    found: list[tuple[str, nn.Module]] = []
    for name, module in model.named_modules():
        inside = any(not outer or name.startswith(f"{outer}.") for outer, _ in found)
        if is_layer(module) and not inside:
            found.append((name, module))
    return [(name, module) for name, module in found if not (module._forward_hooks or module._forward_pre_hooks)]
