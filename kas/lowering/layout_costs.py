"""What convolutions save with their channels last in memory, and what it costs to turn an image.

Measured on a CPU with AVX-512 (torch 2.13, one thread, float32) for images of 64 channels and 32x32 positions, 128 and 16x16,
256 and 8x8, for 1 and 32 samples; rounded, and the smaller one where the two batches differ.
"""

from __future__ import annotations

from kas.language.dims import ONE
from kas.lowering.code import Code
from kas.lowering.graph import Node

__all__ = ["LINES", "saved", "turning"]

LINES = 1.0  # nanoseconds an element to copy an image by lines, which products for each of them read and write

_CALL, _ELEMENT = 12_000.0, 0.6  # nanoseconds: a shuffle of channels, and of it an element
_LARGE = 65_536  # elements of a sample, from which a batch of 32 with channels first no longer stays in the cache
_FEW = 16  # outputs
_WEIGHTS = 300_000  # elements of a weight, whose own turning takes longer than it saves for one sample
_SMALL = 64  # positions: for one sample torch convolves so few by a slow path, if channels come first


def turning(node: Node, code: Code) -> float:
    """Nanoseconds to put the channels of an image last, or first again, for one sample."""
    return _CALL + _ELEMENT * node.shape.product.value(code.env)


def saved(node: Node, code: Code) -> float:
    """Nanoseconds that a convolution over both positions takes less for one sample if its image has its channels last."""
    return _per_element(node, code) * node.ins[0].shape.product.value(code.env)


def _per_element(node: Node, code: Code) -> float:
    conv, image = node.convolution, node.ins[0].shape
    channels, groups, out = (dim.value(code.env) for dim in (image.first.product, conv.groups, conv.out))
    positions, taps = image.second.product.value(code.env), conv.window.taps
    if conv.groups is not ONE:
        return _grouped(channels // groups, out // groups, taps, large=channels * positions >= _LARGE)
    if taps > 9:
        return 2.5 if out <= _FEW else -6.0
    if out <= _FEW:
        return 1.8
    spread = max(conv.window.d) > 1
    if spread and positions > _SMALL:
        return -2.0
    return 1.2 if out * channels * taps <= _WEIGHTS else -2.0


def _grouped(inner: int, out: int, taps: int, *, large: bool) -> float:
    """The same of a convolution in groups of so many inputs and outputs; depthwise ones have one of each."""
    if inner == out == 1:
        return 1.2 if taps <= 9 else (2.0 if large else 0.4) if taps <= 25 else -0.7
    return 4.0 if inner <= 4 and taps <= 9 else -2.0
