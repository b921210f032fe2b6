"""What convolutions save with their channels last in memory, and what it costs to turn an image.

Measured on a CPU with AVX2 (an AMD EPYC; torch 2.13, one thread, float32) for images of 64 channels and 32x32 positions, 128
and 16x16, 256 and 8x8, for 1 and 32 samples; rounded, and the smaller one where the two batches differ.
"""

from __future__ import annotations

from kas.language.dims import ONE
from kas.lowering.code import Code
from kas.lowering.graph import Node, Window

__all__ = ["BLOCK", "LINES", "MARGIN", "NARROW_COLUMNS", "fills", "rows", "saved", "turning"]

LINES = 1.0  # nanoseconds an element to copy an image by lines, which products for each of them read and write
MARGIN = 8_000.0  # nanoseconds, below which nothing is turned
NARROW_COLUMNS = 12  # channels, below which a product of positions takes two to three times as long by channels last

_CALL, _ELEMENT = 12_000.0, 0.6  # nanoseconds: a shuffle of channels, and of it an element
_ROWS = 8_000.0  # nanoseconds: the calls that make an image of the rows that a linear map writes
_WEIGHT = 4_000.0  # nanoseconds to put the channels of a weight last
_LARGE = 65_536  # elements of a sample, from which a batch of 32 with channels first no longer stays in the cache
BLOCK = 8  # outputs: with channels last, oneDNN is fast for multiples of it; with channels first for those of twice as many
_FILLED = 24  # outputs, up to which they are filled with zeros to whole halves: it then takes 0.6 to 0.95 of the time
_FILL = 8_000.0  # nanoseconds to add zeros to a weight
_WEIGHTS = 300_000  # elements of a weight, whose own turning takes longer than it saves for one sample
_SMALL = 64, 20_480  # positions and elements: one sample of so few torch convolves by a slow path, if channels come first
_NARROW = 32  # channels, below which one sample takes longer with channels last
_REACH = 4  # positions on either side, above which oneDNN has only its slow way for dilated depthwise convolutions
_WIDE = 11  # taps of a row, from which it has only that for depthwise ones with channels first


def turning(node: Node, code: Code) -> float:
    """Nanoseconds to put the channels of an image last, or first again, for one sample."""
    elements = node.shape.product.value(code.env)
    return _CALL + (_ELEMENT if elements <= 2 * _LARGE else 2 * _ELEMENT) * elements


def rows(node: Node, code: Code, *, last: bool) -> float:
    """Nanoseconds that a linear map takes more for one sample if it writes rows; `last` if it reads an image that has them."""
    if last:
        return _ROWS
    narrow = node.shape.first.product.value(code.env) < NARROW_COLUMNS
    return _ROWS + (5.0 if narrow else 0.5) * node.ins[0].shape.product.value(code.env)


def fills(node: Node, code: Code) -> bool:
    """Whether a convolution of an image with its channels last is faster with its outputs filled up to a multiple of 8.

    With fewer outputs or taps it is for many samples only, as the weight is filled for each call.
    """
    conv = node.convolution
    out = conv.out.value(code.env)
    few = conv.groups is ONE and BLOCK < out <= _FILLED and out % BLOCK > 0
    return few and conv.window.taps > 9 and 1 not in conv.window.k


def saved(node: Node, code: Code, *, filled: bool) -> float:
    """Nanoseconds that a convolution over both positions takes less for one sample if its image has its channels last.

    `filled`: with its outputs filled up to a multiple of 8.
    """
    conv, image = node.convolution, node.ins[0].shape
    channels, groups, out = (dim.value(code.env) for dim in (image.first.product, conv.groups, conv.out))
    positions = image.second.product.value(code.env)
    elements = channels * positions
    if conv.groups is not ONE:
        return elements * _grouped(channels // groups, out // groups, conv.window, large=elements >= _LARGE)
    if out * channels * conv.window.taps > _WEIGHTS or out > 2 * channels:
        return max(channels, out) * positions * -2.0
    if channels < _NARROW:
        return elements * _narrow(out, conv.window) - _WEIGHT
    small = positions <= _SMALL[0] and elements <= _SMALL[1]
    if small and out % BLOCK and out > BLOCK and conv.window.taps > 9:
        return elements * -4.0
    if filled:
        return elements * _dense(out + -out % BLOCK, conv.window) - _WEIGHT - _FILL
    each = _small(out, conv.window) if small else _dense(out, conv.window)
    spread = max(conv.window.d) > 1 and 1 not in conv.window.k and elements <= _SMALL[1]
    return elements * (max(each, 3.0) if spread else each) - _WEIGHT


# The others are in nanoseconds for each element of the image.


def _narrow(out: int, window: Window) -> float:
    """Of a convolution in one group of few channels."""
    if 1 in window.k:
        return -0.5
    if max(window.d) > 1:
        return 2.0
    return -0.5 if window.taps <= 9 else 4.0 if out % (2 * BLOCK) == 0 else 0.8


def _small(out: int, window: Window) -> float:
    """Of a convolution in one group of a small image."""
    if out <= BLOCK:
        return 1.0 + _dense(out, window)
    if window.taps > 9:
        return _dense(out, window)
    if 1 in window.k:
        return 1.5 if out <= 4 * BLOCK else -8.0
    return 5.0 if max(window.d) > 1 else 3.0 if out <= 2 * BLOCK else 1.5


def _dense(out: int, window: Window) -> float:
    """Of a convolution in one group."""
    if out <= BLOCK:
        return 0.2 * window.taps
    half = out % (2 * BLOCK) == BLOCK  # the last block of 16 is half full
    if window.taps > 9:
        return 0.1 * window.taps if half or out == 2 * BLOCK else -4.0
    if out % BLOCK:
        return 0.6 if window.k[0] == 1 else 0.3
    slower = max(window.d) > 1 or (1 in window.k and window.taps > 3)
    return -0.5 if slower and not half and out > 2 * BLOCK else 1.3


def _grouped(inner: int, out: int, window: Window, *, large: bool) -> float:
    """Of a convolution in groups of so many inputs and outputs; depthwise ones have one of each."""
    if inner > 1 or out > 1:
        if inner == 1:
            return -4.0
        return (0.45 if inner <= 4 else 0.8 if inner % BLOCK else -0.2) * window.taps
    if max(window.d) > 1 and max(window.padding) > _REACH:
        return -20.0
    if window.k[1] >= _WIDE:
        return 0.8 * window.taps
    if window.taps <= _WIDE:
        return 0.9
    return (0.7 if large else 0.4) if window.taps <= 25 else -0.7
