"""Cost formulas for people: what a kernel costs as sympy expressions in C, H, W, G and its free variables."""

from __future__ import annotations

from typing import Any

from kas.language.costs import live_tensors
from kas.language.dims import SYMBOLS, Dim
from kas.language.kernel import Kernel

__all__ = ["formula", "text"]


def formula(kernel: Kernel) -> dict[str, Any]:
    """`macs`, `params`, `elementwise`, `work` and `memory` (bytes) of a kernel, each as a simplified sympy expression.

    The symbols are positive integers named as in the language. `memory` is a `Max` over the steps where it is more than
    one expression. Importing sympy takes half a second, so that it is loaded here.
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
    sizes = [read(shape.product) for shape in kernel.shapes]
    rows = {frozenset(row) for row in live_tensors(kernel)}
    largest = [row for row in sorted(map(sorted, rows)) if not any(set(row) < other for other in rows)]
    peaks = list(dict.fromkeys(total([4 * sizes[i] for i in row]) for row in largest))
    return {
        "macs": total(macs),
        "params": total(params),
        "elementwise": total(elementwise),
        "work": total([*macs, *(part / 2 for part in elementwise)]),
        "memory": peaks[0] if len(peaks) == 1 else sympy.Max(*peaks, evaluate=False),  # comparing them takes seconds
    }


def text(kernel: Kernel) -> dict[str, str]:
    """The formulas as text, for example `{"macs": "C*H*W*x0*(C + 9)", ...}`."""
    return {key: str(expression) for key, expression in formula(kernel).items()}
