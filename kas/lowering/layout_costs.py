"""What convolutions save with their channels last in memory, and what it costs to turn an image.

Measured on a CPU with AVX2 (an AMD EPYC; torch 2.13, one thread, float32) for images of 64 channels and 32x32 positions, 128
and 16x16, 256 and 8x8, and about a quarter of the channels, for 1 and 32 samples; rounded, the smaller one where the two
batches differ, except where it says so. Weights that are parameters are stored in the order that is needed, at no cost.
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
_FILLED = 24  # outputs, up to which they are filled with zeros to whole blocks: it then takes 0.6 to 0.95 of the time
_FILL, _FILL_ELEMENT = 8_000.0, 0.4  # nanoseconds to add zeros to a weight: a call, and of it an element
_FULL = 16_384  # elements of an image, from which that pays
_WEIGHTS = 300_000  # elements of a weight, whose own turning takes longer than it saves for one sample
_SMALL = 20_480  # elements: one sample of so few torch convolves by a slow path, above all if channels come first
_POSITIONS = 64  # an image of so few saves less than others of as many elements
_NARROW = 48  # channels, below which that path is the slower one with channels last; also of half as many as positions
_REACH = 4  # positions on either side, from which (depthwise: above which) oneDNN has only its slow way for dilated ones
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

    With fewer taps the values between which nothing is read, and the weight filled for each call, cost as much.
    """
    conv = node.convolution
    out, elements = (dim.value(code.env) for dim in (conv.out, node.ins[0].shape.product))
    few = conv.groups is ONE and BLOCK < out <= _FILLED and out % BLOCK > 0
    return few and conv.window.taps > 9 and 1 not in conv.window.k and elements >= _FULL


def saved(node: Node, code: Code, *, filled: bool) -> float:
    """Nanoseconds that a convolution over both positions takes less for one sample if its image has its channels last.

    `filled`: with its outputs filled up to a multiple of 8. A weight that is a parameter is stored in the order that it needs.
    """
    conv, image = node.convolution, node.ins[0].shape
    channels, groups, out = (dim.value(code.env) for dim in (image.first.product, conv.groups, conv.out))
    positions = image.second.product.value(code.env)
    elements, size = channels * positions, out * channels * conv.window.taps
    if conv.groups is not ONE:
        return elements * _grouped(channels // groups, out // groups, conv.window, large=elements >= _LARGE)
    stored = conv.weight.kind == "parameter"
    if out > 2 * channels or (not stored and size > _WEIGHTS):
        return max(out, channels) * positions * -2.0
    made = out + -out % BLOCK if filled else out
    if elements <= _SMALL:
        each = _small(made, conv.window, wide=channels >= _NARROW and 2 * channels >= positions)
    else:
        each = _dense(made, conv.window, large=elements >= _LARGE, few_positions=positions <= _POSITIONS)
    return elements * each - (0.0 if stored else _WEIGHT) - (_FILL + _FILL_ELEMENT * size if filled else 0.0)


# The others are in nanoseconds for each element of the image.


def _small(out: int, window: Window, *, wide: bool) -> float:
    """Of a convolution in one group of a small image: the mean of one sample and of many, as these differ most here."""
    if window.taps > 9 and 1 not in window.k:
        usual = _dense(out, window, large=False, few_positions=False)
        return usual if wide else max(usual, 1.5)
    if max(window.d) > 1:
        return 5.0 if 1 not in window.k else 3.0
    ragged = out % BLOCK > 0
    if not wide:
        return -0.5 if ragged else 1.0 if 1 in window.k else 1.5
    if out <= BLOCK:
        return 0.4 * window.taps
    if 1 in window.k:
        return 1.3 if ragged else 2.5
    return 3.0 if ragged else 5.0


def _dense(out: int, window: Window, *, large: bool, few_positions: bool) -> float:
    """Of a convolution in one group."""
    if window.d[1] > 1 and window.padding[1] >= _REACH:
        return 0.8 * window.taps
    few, ragged = out <= _FILLED, out % BLOCK > 0
    half = -(-out // BLOCK) % 2 == 1  # the last block of 16 is half full
    if 1 in window.k:
        return _line(out, window, half=half)
    if out <= BLOCK:
        return 0.2 * window.taps
    if window.taps > 9:
        if out <= 2 * BLOCK:
            return 1.5 if ragged else 2.8
        return 2.5 if half and not (few and ragged) else -4.0
    if max(window.d) > 1:
        if few:
            return (0.7 if ragged else 1.7) if large else 1.2 if ragged else 2.7
        return -0.5 if large else 0.5 if few_positions else 2.0
    if ragged:
        return 1.0 if not few else 0.4 if large else 0.9
    return 1.5


def _line(out: int, window: Window, *, half: bool) -> float:
    """Of a convolution over one axis."""
    few, ragged, wide = out <= _FILLED, out % BLOCK > 0, window.k[0] == 1
    if out <= BLOCK:
        return 0.3 * window.taps if wide else 0.7
    if few:
        return 1.3 if not ragged else 0.8 if wide else 0.4
    if window.taps > 3 and wide and max(window.d) == 1:
        return 1.3 if half else 0.2
    return 0.8 if ragged and window.taps > 3 else 1.6


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
