"""Moves: primitives with their attributes, and what each makes of a shape, worked out once and kept.

A sampled program repeats the same few moves on the same few shapes as thousands of others before it. A move is one object for
equal attributes; the result of a move on a shape (or none, if a rule, a setting or a target refuses it) is looked up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from operator import attrgetter
from typing import Any, NamedTuple

from kas.generation.facts import Facts
from kas.generation.limits import Limits
from kas.generation.settings import GenerationSettings
from kas.language import Dim, InvalidKernel, Outcome, Shape, Step
from kas.language.dims import FREE_VARIABLES
from kas.language.primitives.binary import Binary
from kas.language.primitives.linear import Conv
from kas.language.primitives.reductions import Fold
from kas.language.primitives.spatial import Shift, Unfold
from kas.language.primitives.windows import SpatialShift
from kas.language.rules import apply_alone
from kas.solvers.shapes import replaced

__all__ = ["Key", "Move", "Moves", "Result", "is_local"]

Key = Any  # a Shape, or the two Shapes of a step with two operands
_MOST_RESULTS = 1 << 16  # kept; then all are forgotten


class Result(NamedTuple):
    """What a move makes of shapes: the outcome of its rule, what is where in it, and the least cost for each ceiling."""

    outcome: Outcome
    facts: Facts
    costs: tuple[float, ...]


class Move:
    """A step without operands.

    Attributes:
        step: the step, with zeros for operands. op, arity, mixes: of it.
        local: whether it reads neighbours. weighted: whether it has a weight. mean: whether it is a fold by the mean.
        distinct: whether it refuses the same tensor twice. variables: its free variables, one bit for each.
        results: by the shapes of the operands; None where the move does not fit. placed: the steps, by their operands.
    """

    __slots__ = (
        "arity", "distinct", "local", "mean", "mixes", "op", "placed", "results", "step", "variables", "weighted",
    )  # fmt: skip

    def __init__(self, step: Step):
        self.step = step
        self.op, self.arity, self.mixes = step.op, step.arity, step.mixes
        self.local = is_local(step)
        self.weighted = step.op in ("fc", "conv", "mix", "filter", "scale", "bias")
        self.mean = isinstance(step, Fold) and step.how == "mean"
        self.distinct = isinstance(step, Binary) and step.distinct
        self.variables = 0
        for _, dim in step.dims():
            for name in dim.variables:
                self.variables |= 1 << FREE_VARIABLES.index(name)
        self.results: dict[Key, Result | None] = {}
        self.placed: dict[tuple[int, ...], Step] = {}

    def at(self, ins: tuple[int, ...]) -> Step:
        """The step with these operands."""
        step = self.placed.get(ins)
        if step is None:
            step = self.placed[ins] = type(self.step)(ins, *_attributes(self.step))
        return step


class Moves:
    """All moves of one sampler, for its rank, limits and settings.

    Attributes:
        joins: the element-wise functions that close programs, the likelier ones twice.
    """

    def __init__(self, rank: int, limits: Limits, settings: GenerationSettings):
        self.rank, self.limits, self.settings = rank, limits, settings
        self.joins = [op for op in ("add", "mul", "add", "mul", "max") if settings.permits(op)]
        self._moves: dict[tuple[Any, ...], Move] = {}
        self._facts: dict[Shape, Facts] = {}
        self._replaced: dict[tuple[Move, str, Dim], Move] = {}
        self._kept = 0

    def get(self, primitive: type[Step], *attributes: Any) -> Move:
        """The move of a primitive with these attributes, in their order; the last ones may be left out."""
        key = (primitive, *attributes)
        move = self._moves.get(key)
        if move is None:
            step = primitive((0,) * primitive.arity, *attributes)
            full = (primitive, *_attributes(step))
            move = self._moves.get(full) or Move(step)
            self._moves[key] = self._moves[full] = move
        return move

    def of(self, step: Step) -> Move:
        """The move of a step."""
        return self.get(type(step), *_attributes(step))

    def replaced(self, move: Move, variable: str, by: Dim) -> Move:
        """The move with a monomial in the place of a free variable."""
        key = (move, variable, by)
        other = self._replaced.get(key)
        if other is None:
            other = self._replaced[key] = self.of(replaced(move.step, variable, by))
        return other

    def mapped(self, move: Move, change: Callable[[Dim], Dim]) -> Move:
        """The move with every dim in its attributes changed."""
        changed = move.step.map_dims(change)
        return self.of(replace(move.step, **changed)) if changed else move

    def facts(self, shape: Shape) -> Facts:
        """What is where in a tensor of this shape."""
        known = self._facts.get(shape)
        if known is None:
            known = self._facts[shape] = Facts(shape, self.rank)
        return known

    def result(self, move: Move, key: Key) -> Result | None:
        """What a move makes of the shapes of its operands, None if it does not fit."""
        shapes = (key,) if move.arity == 1 else key
        move.results[key] = found = self._result(move.step, shapes)
        self._kept += 1
        return found

    def _result(self, step: Step, shapes: tuple[Shape, ...]) -> Result | None:
        try:
            if not self.limits.reaches(step, shapes[0]):
                return None
            outcome = apply_alone(step, shapes, self.rank)
        except InvalidKernel:
            return None
        if not self.limits.allow(outcome):
            return None
        return Result(outcome, self.facts(outcome.shape), self.limits.costs(outcome))

    def forget(self) -> bool:
        """Drop what is kept if it has become much; says whether it did. Moves held elsewhere must not be used afterwards."""
        if self._kept <= _MOST_RESULTS:
            return False
        self._moves.clear()
        self._facts.clear()
        self._replaced.clear()
        self._kept = 0
        return True


def is_local(step: Step) -> bool:
    """Whether a step reads neighbours: an unfold, a shift (of parts), or a convolution with a kernel over 1."""
    return isinstance(step, Unfold | Shift | SpatialShift) or (isinstance(step, Conv) and step.k != (1, 1))


_GETTERS: dict[type[Step], Any] = {}


def _attributes(step: Step) -> tuple[Any, ...]:
    """The attributes of a step, in their order."""
    names = list(step.codecs())
    if len(names) < 2:
        return tuple([getattr(step, name) for name in names])
    getter = _GETTERS.get(type(step))
    if getter is None:
        getter = _GETTERS[type(step)] = attrgetter(*names)
    values: tuple[Any, ...] = getter(step)
    return values
