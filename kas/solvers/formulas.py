"""Cost formulas for people: what a kernel costs as sympy expressions in C, H, W, G and its free variables."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from kas.language.costs import live_tensors
from kas.language.dims import SYMBOLS, Dim
from kas.language.kernel import Kernel

__all__ = ["formula", "text"]


def formula(kernel: Kernel) -> dict[str, Any]:
    """`macs`, `params`, `elementwise`, `work` and `memory` (bytes) of a kernel, each as a simplified sympy expression.

    The symbols are positive integers named as in the language. `memory` is a `Max` over the steps where more than one may
    be the largest. Importing sympy takes half a second, so that it is loaded here.
    """
    import sympy

    symbols = {name: sympy.Symbol(name, positive=True, integer=True) for name in SYMBOLS}

    def read(dim: Dim) -> Any:
        value = sympy.Rational(dim.numerator, dim.denominator)
        for name, power in zip(SYMBOLS, dim.powers, strict=True):
            value *= symbols[name] ** power
        return value

    def total(parts: list[Any]) -> Any:
        return sympy.factor_terms(sympy.Add(*parts))

    outcomes = kernel.outcomes
    macs = [read(o.macs) for o in outcomes if o.macs is not None]
    params = [read(o.params) for o in outcomes if o.params is not None]
    elementwise = [o.elementwise[0] * read(o.elementwise[1]) for o in outcomes if o.elementwise is not None]
    rows = [_sum([kernel.shapes[i].product for i in row]) for row in live_tensors(kernel)]
    peaks = [total([4 * factor * read(dim) for dim, factor in row.items()]) for row in _largest(rows)]
    return {
        "macs": total(macs),
        "params": total(params),
        "elementwise": total(elementwise),
        "work": total([*macs, *(part / 2 for part in elementwise)]),
        "memory": peaks[0] if len(peaks) == 1 else sympy.Max(*peaks, evaluate=False),  # comparing them takes seconds
    }


def _sum(dims: list[Dim]) -> dict[Dim, Fraction]:
    """A sum of dims: each monomial without its number, with the factor before it."""
    found: dict[Dim, Fraction] = {}
    for dim in dims:
        monomial = dim * Dim.of(dim.denominator) / Dim.of(dim.numerator)
        found[monomial] = found.get(monomial, Fraction(0)) + Fraction(dim.numerator, dim.denominator)
    return found


def _largest(sums: list[dict[Dim, Fraction]]) -> list[dict[Dim, Fraction]]:
    """The sums that some other one does not cover wherever all symbols are at least 1."""
    kept: list[dict[Dim, Fraction]] = []
    for one in sums:
        if not any(_covers(other, one) for other in kept):
            kept = [*(other for other in kept if not _covers(one, other)), one]
    return kept


def _covers(large: dict[Dim, Fraction], small: dict[Dim, Fraction]) -> bool:
    """Whether one sum is at least the other: each term of the small one is taken out of terms with no smaller powers."""
    left = dict(large)
    for monomial, factor in small.items():
        for other in sorted(left, key=lambda dim: dim is not monomial):  # the same monomial first
            if all(high >= low for high, low in zip(other.powers, monomial.powers, strict=True)):
                taken = min(factor, left[other])
                factor, left[other] = factor - taken, left[other] - taken
        if factor:
            return False
    return True


def text(kernel: Kernel) -> dict[str, str]:
    """The formulas as text, for example `{"macs": "C*H*W*x0*(C + 9)", ...}`."""
    return {key: str(expression) for key, expression in formula(kernel).items()}
