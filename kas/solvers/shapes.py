"""Shapes inside a kernel: make products of dims match by putting a monomial in for one free variable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import product

from kas.language.dims import FREE_VARIABLES, ONE, SYMBOLS, Dim
from kas.language.primitives import Step

__all__ = ["factor_solutions", "replaced", "solutions", "substitute"]

_G = Dim.symbol("G")


def solutions(left: Dim, right: Dim) -> list[tuple[str, Dim]]:
    """All `(variable, monomial)` with `left == right` once the monomial, a legal dim without it, is put in for the variable.

    `solutions(x0*C, 9*x1)` is `[("x1", C*x0/9)]`: the other way would put C below a fraction. Equal monomials need no
    substitution: the answer is then empty, as it is where there is none. A variable that occurs with a power is solved
    for where the root is exact. Whether a program stays legal is seen by tracing it again (`substitute`).
    """
    return list(_solutions(left / right))


@lru_cache(maxsize=1 << 14)
def _solutions(ratio: Dim) -> tuple[tuple[str, Dim], ...]:
    found = []
    for variable in ratio.variables:
        monomial = _solve(ratio, variable)
        if monomial is not None and not monomial.fault:
            found.append((variable, monomial))
    return tuple(found)


def _solve(ratio: Dim, variable: str) -> Dim | None:
    """The monomial for the variable that makes the ratio 1; None if it needs a root that is not exact."""
    power = ratio.power_of(variable)
    rest, symbol = ratio, Dim.symbol(variable)
    for _ in range(abs(power)):
        rest = rest / symbol if power > 0 else rest * symbol
    if power > 0:
        rest = ONE / rest
    return rest if abs(power) == 1 else _root(rest, abs(power))


def _root(dim: Dim, degree: int) -> Dim | None:
    """The exact root of a monomial, None if there is none."""
    numerator, denominator = _integer_root(dim.numerator, degree), _integer_root(dim.denominator, degree)
    if numerator is None or denominator is None or any(power % degree for power in dim.powers):
        return None
    root = Dim.of(numerator) / Dim.of(denominator)
    for symbol, power in zip(SYMBOLS, dim.powers, strict=True):
        root = root * _power(Dim.symbol(symbol), power // degree)
    return root


def _integer_root(number: int, degree: int) -> int | None:
    near = round(number ** (1 / degree))
    return next((root for root in (near - 1, near, near + 1) if root > 0 and root**degree == number), None)


def _power(base: Dim, exponent: int) -> Dim:
    total = ONE
    for _ in range(abs(exponent)):
        total = total * base
    return ONE / total if exponent < 0 else total


def factor_solutions(left: Dim, right: Dim, *, groups: bool = False) -> list[tuple[str, Dim]]:
    """All `(variable, monomial)` that make `right / left` a legal dim: what a broadcast of `left` into `right` needs.

    A variable of `left` may become any factor of what the rest of the quotient leaves (`x0` into `9*C`: 9*C, 3*C, C, 9, 3
    or 1), with `groups` also one that splits a C into G and C/G. A variable of `right` alone gets its one value from
    `solutions`. Largest factors first (fewest repeats), then by text. Every factor is a legal dim without the variable.
    """
    return list(_factor_solutions(left, right, groups))


@lru_cache(maxsize=1 << 14)
def _factor_solutions(left: Dim, right: Dim, groups: bool) -> tuple[tuple[str, Dim], ...]:
    found = list(_solutions(left / right))
    for variable in left.variables:
        symbol = Dim.symbol(variable)
        if left.power_of(variable) - right.power_of(variable) != 1:
            continue
        whole = right / (left / symbol)
        for factor in sorted(set(_factors(whole, groups)), key=_size, reverse=True):
            if not factor.fault and not (whole / factor).fault and (variable, factor) not in found:
                found.append((variable, factor))
    return tuple(found)


def _size(dim: Dim) -> tuple[int, float, str]:
    return sum(dim.powers), dim.numerator / dim.denominator, dim.text


def _factors(dim: Dim, groups: bool) -> Iterator[Dim]:
    """Every monomial whose powers lie between none and those of the dim."""
    symbols = [
        [_power(Dim.symbol(name), e) for e in range(min(p, 0), max(p, 0) + 1)]
        for name, p in zip(SYMBOLS, dim.powers, strict=True)
        if p
    ]
    if groups and dim.power_of("C") > 0:
        symbols.append([ONE, _G, ONE / _G])
    numbers = [Dim.of(a) / Dim.of(b) for a in _divisors(dim.numerator) for b in _divisors(dim.denominator)]
    for number, *others in product(numbers, *symbols):
        for other in others:
            number = number * other
        yield number


def _divisors(number: int) -> list[int]:
    small = [d for d in range(1, int(number**0.5) + 1) if number % d == 0]
    return sorted({*small, *(number // d for d in small)})


def substitute(steps: Iterable[Step], variable: str, by: Dim) -> tuple[Step, ...]:
    """The steps with a free variable replaced by a monomial everywhere; steps without it stay the same objects.

    Tracing the result (`kas.language.rules.trace`) tells whether an invariant breaks. Raises ValueError for a name that is
    no free variable, or a monomial that contains the variable itself.
    """
    if variable not in FREE_VARIABLES:
        raise ValueError(f"{variable!r} is no free variable; they are x0 … x15")
    if variable in by.variables:
        raise ValueError(f"{variable} cannot be replaced by {by}, which contains it")
    return tuple(replaced(step, variable, by) for step in steps)


def replaced(step: Step, variable: str, by: Dim) -> Step:
    """One step with a free variable replaced by a monomial; the same object if it does not have it."""
    change = step.map_dims(lambda dim: dim.replaced(variable, by))
    return replace(step, **change) if change else step
