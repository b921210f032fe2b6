"""Products of two tensors for each of several groups, windows, rows or columns, and for each position."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from kas.language import attributes
from kas.language.dims import ONE, Dim
from kas.language.errors import InvalidKernel
from kas.language.primitives._base import Outcome, Step, check_axes, check_image
from kas.language.shapes import BATCHED, SPATIAL, Shape, Side

__all__ = ["Bmm", "Contraction", "Reassemble", "contraction"]

_BATCH = ("g", "kh", "kw", "h", "w")


@dataclass(frozen=True, slots=True)
class Contraction:
    """How a `bmm` reads its operands: the number of the side that each contracts, and its axes there, without the batch.

    `kept_l`, `kept_r`: names and dims that each contributes to the result, without the batch. `homes`: for each axis of
    the batch the side of the result that has it.
    """

    over_l: tuple[str, ...]
    over_r: tuple[str, ...]
    kept_l: tuple[str, ...]
    kept_r: tuple[str, ...]
    homes: tuple[int, ...]
    result: Shape
    contracted: Dim
    rows: Dim
    columns: Dim
    batch: Dim


@dataclass(frozen=True, slots=True)
class Bmm(Step):
    """`matmul` for each index of the axes `batch`, which both operands have under the same name with the same dim.

    Contracts side 1 of `l` (side 0 if `t[0]`) with side 0 of `r` (side 1 if `t[1]`), without the axes of the batch, over
    the square root of the contracted size; with `softmax`, then a softmax over the last side without the batch. An axis of
    the batch stays where the left operand keeps it, else where the right one does, else it joins the first side.
    """

    op: ClassVar[str] = "bmm"
    arity: ClassVar[int] = 2
    mixes: ClassVar[bool] = True
    batch: tuple[str, ...] = attributes.names(*_BATCH)
    t: tuple[bool, bool] = attributes.flags()
    softmax: bool = attributes.flag()

    def apply(self, *shapes: Shape) -> Outcome:
        parts = contraction(self, *shapes)
        if self.softmax and not parts.kept_r:
            raise InvalidKernel("a softmax over only empty axes is a constant")
        macs = parts.batch * parts.rows * parts.contracted * parts.columns
        return Outcome(parts.result, None, macs, (4 if self.softmax else 1, parts.result.product))


def contraction(step: Bmm, left: Shape, right: Shape) -> Contraction:
    """What a `bmm` does with two shapes. Raises InvalidKernel, without naming the step, if it does not fit."""
    dims = {name: _shared(name, left, right) for name in step.batch}
    sides = left.sides[not step.t[0]], left.sides[step.t[0]], right.sides[step.t[1]], right.sides[not step.t[1]]
    over_l, kept_l, over_r, kept_r = (_without(side, step.batch) for side in sides)
    if over_l.product is not over_r.product:
        raise InvalidKernel(f"contracts {over_l.product} with {over_r.product}, which are not equal")
    first, second, homes = kept_l, kept_r, []
    for name, dim in dims.items():
        home = 1 if name in _names(sides[3]) and name not in _names(sides[1]) else 0
        first, second = (_with(first, name, dim), second) if home == 0 else (first, _with(second, name, dim))
        homes.append(home)
    result = check_axes(Shape(_plain(first), _plain(second)))
    batch = ONE
    for dim in dims.values():
        batch = batch * dim
    names = (_names(over_l), _names(over_r), _names(kept_l), _names(kept_r))
    return Contraction(*names, tuple(homes), result, over_l.product, kept_l.product, kept_r.product, batch)


def _shared(name: str, left: Shape, right: Shape) -> Dim:
    """The dim of an axis of the batch, which each operand must have once."""
    found = []
    for shape in (left, right):
        dims = [dim for full, dim in shape.axes() if full[2:] == name]
        if len(dims) != 1:
            raise InvalidKernel(f"needs the axis {name} once in both tensors; {shape} has it {len(dims)} times")
        found += dims
    if found[0] is not found[1]:
        raise InvalidKernel(f"the axis {name} is {found[0]} in one tensor and {found[1]} in the other")
    return found[0]


def _names(side: Side) -> tuple[str, ...]:
    return tuple(name for name, _ in side.axes())


@lru_cache(maxsize=1 << 12)
def _without(side: Side, names: tuple[str, ...]) -> Side:
    return side.with_axes(**dict.fromkeys(names, ONE))


def _with(side: Side, name: str, dim: Dim) -> Side:
    """A side with an axis of the batch put in; positions become those of each group or window."""
    if side.kind == SPATIAL and name not in side.names:
        side = Side(BATCHED, (ONE, ONE, ONE, *side.dims))
    if name not in side.names:
        raise InvalidKernel(f"a {side.kind} side cannot keep the axis {name}")
    if side.dim(name) is not ONE:
        raise InvalidKernel(f"the axis {name} of the result is taken: {side}")
    return side.with_axes(**{name: dim})


def _plain(side: Side) -> Side:
    """Positions without a batch are an ordinary spatial side."""
    if side.kind == BATCHED and all(side.dim(name) is ONE for name in ("g", "kh", "kw")):
        return Side(SPATIAL, side.dims[3:])
    return side


@dataclass(frozen=True, slots=True)
class Reassemble(Step):
    """At each position the taps of `l` are recombined by the matrix `r`: `y[c, i] = sum over j of l[c, j]*r[j, i]`.

    `l` is `[g, c, kh, kw | h, w]`; `r` is `[g, kh*kw of l, kh', kw' | h, w]`, or without `g` the same for all groups. The
    result is `[g, c, kh', kw' | h, w]`. (Content-aware reassembly of features; without `kh'`, `kw'` an involution.)
    """

    op: ClassVar[str] = "reassemble"
    arity: ClassVar[int] = 2
    mixes: ClassVar[bool] = True

    def apply(self, *shapes: Shape) -> Outcome:
        left, places = check_image(shapes[0])
        right, others = check_image(shapes[1])
        if places is not others:
            raise InvalidKernel(f"needs the same positions in both tensors, not {places} and {others}")
        if right.dim("g") is not ONE and right.dim("g") is not left.dim("g"):
            raise InvalidKernel(f"needs as many groups in both tensors, not {left.dim('g')} and {right.dim('g')}")
        taps = left.dim("kh") * left.dim("kw")
        if taps is ONE or taps is not right.dim("c"):
            raise InvalidKernel(f"recombines {taps} taps with a matrix of {right.dim('c')} rows")
        channels = left.with_axes(kh=right.dim("kh"), kw=right.dim("kw"))
        result = check_axes(Shape(channels, places))
        return Outcome(result, None, result.product * taps)
