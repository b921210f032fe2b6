"""Whole blocks as targets: what a call of a module shows of it, and what is said against it."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from kas.replacement.layers import Axis, axes_of
from kas.replacement.observe import Call
from kas.solvers.targets import NormKind, Rounding, Target

__all__ = ["BLOCK_REASONS", "NO_WORK", "axes_of_target", "describe_block", "is_attention", "norm_of", "reason_against_block"]

SEVERAL_INPUTS = "takes more than one tensor"
OUTPUT = "output is not one tensor"
NO_MAP = "maps no [N, C, ...] or tokens [N, ..., C] to the same, with the batch first"
NO_STRIDE = "output size is not that of its input over a whole stride"
NO_WORK = "has no multiply-adds"
BLOCK_REASONS = (SEVERAL_INPUTS, OUTPUT, NO_MAP, NO_STRIDE, NO_WORK)
_LARGEST_STRIDE = 64


def reason_against_block(block: nn.Module, call: Call, batch: int) -> str | None:
    """Why a block that is called once, as here, is no target; None for a target. batch: that of the network's input."""
    if call.others or not call.parts:
        return SEVERAL_INPUTS
    if call.first is None or (call.outputs is None and not is_attention(block)):
        return OUTPUT
    shapes = [*call.parts, call.first]
    if not all(2 <= len(shape) <= 4 and shape[0] == batch and len(shape) == len(call.first) for shape in shapes):
        return NO_MAP
    if is_attention(block) and not block.batch_first:
        return NO_MAP
    sizes = {_size(shape, has_tokens(block, call)) for shape in call.parts}
    if len(sizes) > 1 or 0 in (*call.first, *next(iter(sizes))):
        return NO_MAP
    if _geometry(block, call) is None:
        return NO_STRIDE
    return NO_WORK if call.macs < batch else None


def describe_block(name: str, block: nn.Module, call: Call, norm: NormKind | None = None) -> Target:
    """The target that a block is, which is called once, as here; norm: None for the kind that the block holds."""
    tokens, geometry = has_tokens(block, call), _geometry(block, call)
    assert call.first is not None
    assert geometry is not None
    channels = -1 if tokens else 1
    return Target(
        name=name,
        in_channels=sum(shape[channels] for shape in call.parts),
        out_channels=call.first[channels],
        size=_size(call.first, tokens),
        stride=geometry[0],
        block=type(block).__name__,
        block_macs=call.macs // call.first[0],
        block_params=sum(parameter.numel() for parameter in block.parameters()),
        rounding=geometry[1],
        tokens=tokens,
        norm=norm_of(block) if norm is None else norm,
    )


def axes_of_target(target: Target, module: nn.Module) -> tuple[Axis, ...]:
    """The geometry of a layer, or that of a block as of a convolution whose windows touch and start at the first position."""
    if not target.block:
        return axes_of(module)
    return tuple(Axis(s - 1, s, 0, s - 1 if target.rounding == "up" else 0) for s in target.strides)


def is_attention(block: nn.Module) -> bool:
    """Whether a block is called as torch's own attention, `(query, key, value)`, and returns `(output, weights)`."""
    return isinstance(block, nn.MultiheadAttention)


def norm_of(block: nn.Module) -> NormKind:
    """The kind of norm that a block holds most of: batch norms, or norms over channels (layer, group, RMS), or none."""
    kinds = Counter(_norm_kind(module) for module in block.modules() if not [*module.children()])
    batch, layer = kinds["batch"], kinds["layer"]
    return "none" if batch == layer == 0 else "batch" if batch >= layer else "layer"


def has_tokens(block: nn.Module, call: Call) -> bool:
    """Whether the channels of a block are the last axis: the first layer in it that fits one of the two decides."""
    shape = call.parts[0]
    for module in block.modules() if len(shape) > 2 else ():
        last = _features(module)
        if last is not None and last == shape[-1]:
            return True
        channels = getattr(module, "in_channels", None) or getattr(module, "num_features", None)
        if channels is not None and len(call.parts) == 1 and channels == shape[1]:
            return False
    grows = call.first is not None and any(m > n for n, m in zip(shape[2:], call.first[2:], strict=False))
    return len(shape) > 2 and grows  # channels may grow, a size that does is none


def _features(module: nn.Module) -> int | None:
    """How long the last axis must be for a layer that works on that axis."""
    if isinstance(module, nn.Linear):
        return module.in_features
    if isinstance(module, nn.MultiheadAttention):
        return int(module.embed_dim)
    if type(module) is nn.LayerNorm:  # a subclass may work on the channels
        return int(module.normalized_shape[-1])
    return None


def _norm_kind(module: nn.Module) -> NormKind:
    """The kind of a single module, by the name of its class, as not every norm is one of torch."""
    name = type(module).__name__
    if "Norm" not in name or name.startswith("_"):  # torch keeps its weight normalisation in modules with an underscore
        return "none"
    return "batch" if "Batch" in name else "layer"


def _size(shape: Sequence[int], tokens: bool) -> tuple[int, ...]:
    """The spatial size of a tensor."""
    return tuple(shape[1:-1]) if tokens else tuple(shape[2:])


def _geometry(block: nn.Module, call: Call) -> tuple[tuple[int, ...], Rounding] | None:
    """Stride and rounding of a block. Where the sizes of the call leave a doubt, the block runs at other sizes, too."""
    tokens = has_tokens(block, call)
    assert call.first is not None
    seen = [(_size(call.parts[0], tokens), _size(call.first, tokens))]
    if any(m < n or n == 1 for n, m in zip(*seen[0], strict=True)):
        for more in (1, 2):
            size = tuple(n + more for n in seen[0][0])
            outputs = _outputs_at(block, [_resized(shape, size, tokens) for shape in call.parts])
            if outputs is not None and len(outputs) == len(call.first):
                seen.append((size, _size(outputs, tokens)))
    roundings: tuple[Rounding, Rounding] = ("up", "down")
    for rounding in roundings:
        strides = [_stride([(n[axis], m[axis]) for n, m in seen], rounding) for axis in range(len(seen[0][0]))]
        if all(strides):
            return tuple(stride for stride in strides if stride), rounding
    return None


def _stride(seen: Sequence[tuple[int, int]], rounding: Rounding) -> int | None:
    """The smallest stride that fits all pairs of input and output size; None if no whole one does."""
    fits: Callable[[int, int, int], bool] = lambda n, m, s: m == (-(-n // s) if rounding == "up" else n // s)  # noqa: E731
    strides = range(1, _LARGEST_STRIDE + 1)
    return next((s for s in strides if all(fits(n, m, s) for n, m in seen)), None)


def _resized(shape: Sequence[int], size: tuple[int, ...], tokens: bool) -> tuple[int, ...]:
    """A shape with another spatial size, and a batch of one."""
    return (1, *size, shape[-1]) if tokens else (1, shape[1], *size)


def _outputs_at(block: nn.Module, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...] | None:
    """The shape of what a block makes of inputs of these shapes; None if it does not take them."""
    like = next(block.parameters(), torch.zeros(()))
    inputs = [torch.zeros(shape, device=like.device, dtype=like.dtype) for shape in shapes]
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[like.device] if like.is_cuda else []):
            output = copy.deepcopy(block).eval()(inputs[0] if len(inputs) == 1 else inputs)
    except Exception:  # whatever the block's own code says to another size
        return None
    return tuple(output.shape) if isinstance(output, Tensor) else None
