"""A known kernel with other inner widths and group counts: what still goes by its name.

A width is inner if another can stand in its place: the program stays legal. `C` itself counts as one in short programs only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import product

from kas.language import InvalidKernel, Kernel
from kas.language.dims import FREE_VARIABLES, ONE, Dim
from kas.language.primitives import Step
from kas.language.rules import apply_step
from kas.language.shapes import Shape, input_shape

__all__ = ["loosened", "variants"]

_C, _G = Dim.of("C"), Dim.of("G")
_GROUPS = tuple(Dim.of(number) for number in (2, 4, 8, 16, 32))  # counts that stand for G
_WIDTHS = tuple(Dim.of(text) for text in ("C", "C/2", "C/4", "C/8", "2*C", "3*C", "4*C"))  # that stand for a free variable
_MOST_LOOSE = 20  # a program with more ways to be loose is not filled at all
_MOST_FILLED = 64  # above so many combinations, one width at a time is filled
_FEW_WIDTHS = 4  # weighted steps of a program in which a width of `C` may be inner too


def variants(kernel: Kernel) -> Iterator[Kernel]:
    """The kernel itself, then with inner widths free, equal or different, or fixed to usual multiples of C; and all of that
    with usual numbers of groups for G. Some come twice."""
    yield kernel
    for counted in (kernel, *_with_counts(kernel)):
        loose = list(loosened(counted))
        yield from loose
        if len(loose) <= _MOST_LOOSE:
            for one in loose:
                yield from _filled(one)


def loosened(kernel: Kernel) -> Iterator[Kernel]:
    """Every way in which the inner widths can be free, those of two steps one variable or two."""
    weighted = sum(step.op in ("fc", "conv", "mix") for step in kernel.steps)
    yield from _assign(kernel, [], [input_shape(kernel.rank)], 0, weighted <= _FEW_WIDTHS)


def _assign(kernel: Kernel, steps: list[Step], shapes: list[Shape], used: int, also_c: bool) -> Iterator[Kernel]:
    """Give widths to the steps from `len(steps)` on; `used`: how many variables there are so far."""
    if len(steps) == len(kernel.steps):
        with suppress(InvalidKernel):
            yield Kernel(kernel.rank, steps)
        return
    for step in _options(kernel.steps[len(steps)], used, also_c):
        try:
            outcome = apply_step([*steps, step], shapes, kernel.rank)
        except InvalidKernel:
            continue
        new = any(dim.variables and dim.variables[0] == FREE_VARIABLES[used] for _, dim in step.dims())
        yield from _assign(kernel, [*steps, step], [*shapes, outcome.shape], used + new, also_c)


def _options(step: Step, used: int, also_c: bool) -> Iterator[Step]:
    """The step with its width as it is if it is fixed, and with each variable so far and a new one in its place."""
    to = _width(step, also_c)
    if to is None or not to.variables:
        yield step
    if to is None:
        return
    for name in FREE_VARIABLES[: used + 1]:
        for free in _free(to, Dim.of(name)):
            yield replace(step, **step.map_dims(lambda dim, free=free: free if dim is to else dim))  # type: ignore[misc]


def _width(step: Step, also_c: bool) -> Dim | None:
    """The width of a step that another may stand for; None if it has none."""
    if step.op not in ("fc", "conv", "mix"):
        return None
    free = [dim for name, dim in step.dims() if name == "to" and dim.variables]
    if free or step.op == "mix":
        return free[0] if free else None
    to = next(dim for name, dim in step.dims() if name == "to")
    return None if to is ONE or (to is _C and not also_c) else to


def _free(to: Dim, variable: Dim) -> list[Dim]:
    """A variable in place of a width, also a multiple of the groups where the width is one."""
    if not to.variables:
        return [variable]
    factor = to / Dim.of(to.variables[0])
    return [variable] if factor is ONE else [variable, factor * variable]


def _with_counts(kernel: Kernel) -> Iterator[Kernel]:
    """The kernel with numbers for G."""
    if kernel.uses_groups:
        for count in _GROUPS:
            yield from _replaced(kernel, {"G": count})


def _filled(kernel: Kernel) -> Iterator[Kernel]:
    """The kernel with usual widths for its free variables: all combinations if they are few, otherwise one at a time."""
    names = kernel.variables
    if (len(_WIDTHS) + 1) ** len(names) <= _MOST_FILLED:
        choices = product((None, *_WIDTHS), repeat=len(names))
        combinations = [{n: d for n, d in zip(names, one, strict=True) if d is not None} for one in choices]
    else:
        combinations = [{name: width} for name in names for width in _WIDTHS]
    for combination in combinations:
        if combination:
            yield from _replaced(kernel, combination)


def _replaced(kernel: Kernel, values: dict[str, Dim]) -> Iterator[Kernel]:
    """The kernel with dims for symbols; nothing if that is not legal."""

    def change(dim: Dim) -> Dim:
        for symbol, value in values.items():
            dim = dim.replaced(symbol, value)
        return dim

    with suppress(InvalidKernel):
        yield Kernel(kernel.rank, [replace(step, **step.map_dims(change)) for step in kernel.steps])
