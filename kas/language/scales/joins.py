"""Functions of two tensors: element-wise after a broadcast, and the product of matrices."""

from __future__ import annotations

from math import erf, exp, inf, pi, sqrt

from kas.language.scales.signal import Parts, Signal, added, constant, density, few, rescaled

__all__ = ["joined", "matrix_product", "with_squares"]

_SMALLEST = 1e-3  # divisor


def joined(op: str, left: Signal, right: Signal, number: int) -> Signal:
    """Sum, difference, product, quotient, maximum or minimum of two tensors of the same axes."""
    if op == "mul":
        return _product(left, right, number)
    if op == "div":
        return _quotient(left, right, number)
    if op == "max":
        return _maximum(left, right, number)
    if op == "min":
        return _negative(_maximum(_negative(left), _negative(right), number))
    if op == "sub":
        right = _negative(right)
    parts = dict(left.parts)
    for bits, variance in right.parts.items():
        added(parts, bits, variance)
    centred = _centred(left, right)
    return Signal(left.mean + right.mean, few(parts), left.low + right.low, left.high + right.high, number, centred)


def _negative(x: Signal) -> Signal:
    return Signal(-x.mean, x.parts, -x.high, -x.low, x.root, x.centred)


def _centred(left: Signal, right: Signal) -> int:
    """The axes over which the parts of a sum add up to nothing."""
    if left.centred == right.centred:
        return left.centred
    for one, other in ((left, right), (right, left)):
        if one.centred and not any(bits & one.centred for bits in other.parts):
            return one.centred
    return 0


def _product(left: Signal, right: Signal, number: int) -> Signal:
    parts: Parts = {}
    shared = left.root == right.root
    for a, variance in _all(left):
        for b, other in _all(right):
            if a or b:
                added(parts, a | b, variance * other * (2.0 if shared and a and b else 1.0))
    mean = left.mean * right.mean
    if shared:
        mean += 0.7 * sqrt(left.variance * right.variance)
    low, high = (0.0, inf) if left.low >= 0 and right.low >= 0 else (-inf, inf)
    centred = _centred(left, right) if left.centred != right.centred else 0
    return Signal(mean, few(parts), low, high, number, centred)


def _all(x: Signal) -> list[tuple[int, float]]:
    """The parts of the second moment: the mean varies with nothing."""
    return [(0, x.mean * x.mean), *x.parts.items()]


def _quotient(left: Signal, right: Signal, number: int) -> Signal:
    variance = right.variance
    if left.root == right.root and variance > 0.0:  # both are small at once
        mean = sqrt(left.second / right.second)
        return Signal(mean, rescaled({**left.parts, **right.parts}, mean * mean), -inf, inf, number)
    square = max(right.mean * right.mean, _SMALLEST**2)
    if right.low > 0.0 or right.high < 0.0 or variance <= 0.0:  # few values near zero
        second, mean = (1 + 3 * variance / square) / square, 1 / right.mean if right.mean else 0.0
    else:  # values near zero have the density that they have at zero; the divisor is at least _SMALLEST
        second, mean = 4 * density(right.mean, variance) / _SMALLEST + 1 / (square + variance), 0.0
    inverse = Signal(mean, rescaled(right.parts, second - mean * mean), 0.0 if right.low >= 0.0 else -inf, inf, number)
    return _product(left, inverse, number)


def _maximum(left: Signal, right: Signal, number: int) -> Signal:
    """Of two normal variables: C. E. Clark, The greatest of a finite set of random variables, Operations Research 1961."""
    first, second = left.variance, right.variance
    gap = sqrt(first + second)
    low, high = max(left.low, right.low), max(left.high, right.high)
    if gap <= 0.0:
        return constant(max(left.mean, right.mean), number)
    at = (left.mean - right.mean) / gap
    share, bell = 0.5 * (1 + erf(at / sqrt(2))), exp(-min(at * at / 2, 700.0)) / sqrt(2 * pi)
    if _above(left, right) or _above(right, left):
        share, bell = float(_above(left, right)), 0.0
    mean = left.mean * share + right.mean * (1 - share) + gap * bell
    square = left.second * share + right.second * (1 - share) + (left.mean + right.mean) * gap * bell
    parts: Parts = {}
    for source, weight in ((left, share), (right, 1 - share)):
        for bits, variance in source.parts.items():
            added(parts, bits, variance * weight)
    return Signal(mean, few(rescaled(parts, square - mean * mean)), low, high, number)


def _above(x: Signal, y: Signal) -> bool:
    """Whether practically every value of x is above every value of y: the tails of a bounded tensor are short."""
    if x.low >= y.high:
        return True
    far, near = 5 * sqrt(y.variance), (2 if x.low > -inf else 5) * sqrt(x.variance)
    return x.mean - near > y.mean + far


def matrix_product(
    left: list[tuple[int, float, int]],
    right: list[tuple[int, float, int]],
    means: tuple[float, float],
    length: int,
    number: int,
) -> Signal:
    """The sum over `length` products, over its square root.

    Each part of the second moment of both, the mean's first, as (bits in the result, size, positions along the contracted
    axes that it varies over). Independent products add up to their number, equal ones to its square.
    """
    parts: Parts = {}
    for a, size, ours in left:
        for b, other, theirs in right:
            if a or b or ours > 1 or theirs > 1:
                added(parts, a | b, size * other * length / max(ours, theirs))
    return Signal(means[0] * means[1] * sqrt(length), few(parts), -inf, inf, number)


def with_squares(product: Signal, left: Signal, right: Signal, sizes: tuple[int, int], whole: int) -> Signal:
    """The product of a matrix with itself: the products of equal rows are the squares of their lengths.

    `sizes`: of the contracted axes, and the number of rows; `whole`: the bits that those products vary with.
    """
    length, rows = sizes
    parts = dict(product.parts)
    common = sqrt(left.variance * right.variance)
    added(parts, whole, length * common * common / rows)
    return product._replace(mean=product.mean + sqrt(length) * common / rows, parts=parts)
