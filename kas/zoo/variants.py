"""A known kernel with other inner widths and group counts: what still goes by its name.

A width is inner if another can stand in its place: the program stays legal. `C` itself counts as one in short programs only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import product

from kas.language import InvalidKernel, Kernel
from kas.language.dims import FREE_VARIABLES, ONE, SYMBOLS, Dim
from kas.language.primitives import Outcome, Step
from kas.language.primitives.reductions import Fold
from kas.language.rules import apply_alone, check_mean, check_program
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
    with usual numbers of groups for G. Each program comes once."""
    maker = _Maker(kernel.rank)
    maker.is_new(kernel.steps)
    yield kernel
    for counted in (kernel, *_with_counts(kernel, maker)):
        loose = list(_loosened(counted, maker))
        yield from (one for one in loose if maker.is_new(one.steps))
        if len(loose) <= _MOST_LOOSE:
            for one in loose:
                yield from _filled(one, maker)


def loosened(kernel: Kernel) -> Iterator[Kernel]:
    """Every way in which the inner widths can be free, those of two steps one variable or two."""
    return _loosened(kernel, _Maker(kernel.rank))


class _Maker:
    """Makes the programs that differ from a legal one in dims alone; what they have in common is worked out once."""

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self._outcomes: dict[tuple[Step, tuple[Shape, ...]], Outcome | None] = {}
        self._changed: dict[tuple[Step, tuple[tuple[str, Dim], ...]], Step] = {}
        self._symbols: dict[Step, list[str]] = {}
        self._had: set[tuple[Step, ...]] = set()

    def is_new(self, steps: tuple[Step, ...]) -> bool:
        """Whether this is asked for these steps for the first time."""
        before = len(self._had)
        self._had.add(steps)
        return len(self._had) > before

    def outcome(self, steps: Sequence[Step], shapes: Sequence[Shape]) -> Outcome | None:
        """Of the last of `steps`, given the shapes of the tensors before it; None if it is not legal."""
        step = steps[-1]
        key = step, tuple([shapes[i] for i in step.ins])
        try:
            if key not in self._outcomes:
                self._outcomes[key] = None
                self._outcomes[key] = apply_alone(step, key[1], self.rank)
            if isinstance(step, Fold) and step.how == "mean":
                check_mean(step, steps, shapes)
        except InvalidKernel:
            return None
        return self._outcomes[key]

    def kernel(self, steps: Sequence[Step], outcomes: Sequence[Outcome]) -> Iterator[Kernel]:
        """The program of steps that are legal one by one; nothing if it is not legal as a whole."""
        try:
            check_program(self.rank, steps, outcomes)
        except InvalidKernel:
            return
        yield Kernel.of_outcomes(self.rank, steps, outcomes)

    def traced(self, steps: tuple[Step, ...]) -> Iterator[Kernel]:
        """The program of these steps; nothing if it is not legal."""
        shapes, outcomes = [input_shape(self.rank)], list[Outcome]()
        for number in range(1, len(steps) + 1):
            outcome = self.outcome(steps[:number], shapes)
            if outcome is None:
                return
            outcomes.append(outcome)
            shapes.append(outcome.shape)
        yield from self.kernel(steps, outcomes)

    def replaced(self, kernel: Kernel, values: dict[str, Dim]) -> tuple[Step, ...]:
        """The steps of a kernel with dims for symbols."""
        return tuple([self._with(step, values) for step in kernel.steps])

    def _with(self, step: Step, values: dict[str, Dim]) -> Step:
        """The step with dims for symbols."""
        symbols = self._symbols.get(step)
        if symbols is None:
            symbols = self._symbols[step] = [name for name in SYMBOLS if any(dim.power_of(name) for _, dim in step.dims())]
        key = step, tuple([(name, values[name]) for name in symbols if name in values])
        if not key[1]:
            return step
        if key not in self._changed:
            self._changed[key] = replace(step, **step.map_dims(partial(_replaced, key[1])))
        return self._changed[key]


def _replaced(values: tuple[tuple[str, Dim], ...], dim: Dim) -> Dim:
    """The dim with others for symbols."""
    for symbol, value in values:
        dim = dim.replaced(symbol, value)
    return dim


def _loosened(kernel: Kernel, maker: _Maker) -> Iterator[Kernel]:
    weighted = sum(step.op in ("fc", "conv", "mix") for step in kernel.steps)
    yield from _assign(kernel, maker, [], [], 0, weighted <= _FEW_WIDTHS)


def _assign(
    kernel: Kernel, maker: _Maker, steps: list[Step], outcomes: list[Outcome], used: int, also_c: bool
) -> Iterator[Kernel]:
    """Give widths to the steps from `len(steps)` on; `used`: how many variables there are so far."""
    if len(steps) == len(kernel.steps):
        yield from maker.kernel(steps, outcomes)
        return
    shapes = [input_shape(kernel.rank), *[outcome.shape for outcome in outcomes]]
    for step in _options(kernel.steps[len(steps)], used, also_c):
        outcome = maker.outcome([*steps, step], shapes)
        if outcome is None:
            continue
        new = any(dim.variables and dim.variables[0] == FREE_VARIABLES[used] for _, dim in step.dims())
        yield from _assign(kernel, maker, [*steps, step], [*outcomes, outcome], used + new, also_c)


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


def _with_counts(kernel: Kernel, maker: _Maker) -> Iterator[Kernel]:
    """The kernel with numbers for G."""
    if kernel.uses_groups:
        for count in _GROUPS:
            yield from maker.traced(maker.replaced(kernel, {"G": count}))


def _filled(kernel: Kernel, maker: _Maker) -> Iterator[Kernel]:
    """The kernel with usual widths for its free variables: all combinations if they are few, otherwise one at a time.
    Nothing that has come before."""
    names = kernel.variables
    if (len(_WIDTHS) + 1) ** len(names) <= _MOST_FILLED:
        choices = product((None, *_WIDTHS), repeat=len(names))
        combinations = [{n: d for n, d in zip(names, one, strict=True) if d is not None} for one in choices]
    else:
        combinations = [{name: width} for name in names for width in _WIDTHS]
    for combination in combinations:
        steps = maker.replaced(kernel, combination)
        if maker.is_new(steps):
            yield from maker.traced(steps)
