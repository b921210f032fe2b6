"""Functions of single elements: mean and second moment of a function of a normal variable, by Gauss-Hermite quadrature."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import erf, exp, inf, pi, sin, sqrt, tanh

import numpy as np

from kas.language.scales.signal import POSITIVE, Signal, constant, rescaled

__all__ = ["FUNCTIONS", "applied"]

_POINTS, _MASSES = (tuple(map(float, row)) for row in np.polynomial.hermite_e.hermegauss(8))
_NODES = tuple(zip(_POINTS, (mass / sqrt(2 * pi) for mass in _MASSES), strict=True))
_LARGE = 1e30


def _gelu(x: float) -> float:
    return x * 0.5 * (1 + erf(x / sqrt(2)))


def _relu(x: float) -> float:
    return x if x > 0.0 else 0.0


def _sigmoid(x: float) -> float:
    return 0.5 * (1 + tanh(x / 2))


def _exp(x: float) -> float:
    return exp(max(min(x, 10.0), -700.0))


def _neg(x: float) -> float:
    return -x


def _sin(x: float) -> float:
    return sin(pi * x / 2)


def _sqrt(x: float) -> float:
    return sqrt(max(abs(x), 1e-6))


def _sqr(x: float) -> float:
    return x * x


FUNCTIONS: dict[str, Callable[[float], float]] = {
    "gelu": _gelu,
    "relu": _relu,
    "sigmoid": _sigmoid,
    "tanh": tanh,
    "abs": abs,
    "exp": _exp,
    "neg": _neg,
    "sin": _sin,
    "sqrt": _sqrt,
    "sqr": _sqr,
}
_EVEN = ("abs", "sqrt", "sqr")
_SMOOTH = ("gelu", "sigmoid", "tanh", "exp", "sin")
_TINY = 1e-3  # second moment of values for which a smooth function is linear, nearly


def applied(op: str, x: Signal) -> Signal:
    """A function of each element of a tensor."""
    function = FUNCTIONS[op]
    variance = x.variance
    if variance <= 0.0:
        return constant(function(x.mean), x.root)
    low, high = x.low, x.high
    mean, second = _moments(op, x.mean, variance, low, high)
    spread = second - mean * mean
    parts = rescaled(x.parts, spread) if spread > 1e-12 * second else {}
    linear = op == "neg" or (op in _SMOOTH and x.second < _TINY)
    return Signal(mean, parts, *_bounds(op, low, high), x.root, x.centred if linear else 0)


@lru_cache(maxsize=1 << 12)
def _moments(op: str, mean: float, variance: float, low: float, high: float) -> tuple[float, float]:
    """Mean and second moment of a function of a bounded normal variable."""
    function, deviation = FUNCTIONS[op], sqrt(variance)
    first = second = 0.0
    for node, mass in _NODES:
        at = mean + deviation * node
        value = function(low if at < low else high if at > high else at)
        first += mass * value
        second += mass * value * value
    return first, second


def _bounds(op: str, low: float, high: float) -> tuple[float, float]:
    """Where the values of a function lie."""
    function = FUNCTIONS[op]
    if op == "sin":
        return -1.0, 1.0
    if op == "sigmoid":
        return max(_sigmoid(low), POSITIVE), _sigmoid(high)
    if op == "neg":
        return -high, -low
    if op in _EVEN:
        far = max(abs(low), abs(high))
        near = 0.0 if low <= 0.0 <= high else min(abs(low), abs(high))
        return function(near), inf if far == inf else function(far)
    if op == "gelu":
        return (-0.17 if low < 0.0 else function(low)), high if high == inf else _gelu(max(high, 0.0))
    lowest = function(max(low, -_LARGE)) if op != "tanh" or low > -_LARGE else -1.0
    return lowest, high if high == inf and op == "relu" else function(min(high, _LARGE))
