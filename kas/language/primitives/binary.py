"""Element-wise functions of two tensors; the left one is broadcast into the right one. One multiply-add an element."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kas.language import attributes
from kas.language.dims import ONE, Dim
from kas.language.primitives._base import Outcome, Step, check_dim, product
from kas.language.shapes import Shape, Side

__all__ = ["Add", "Alignment", "Binary", "Div", "Max", "Min", "Mul", "Sub", "align"]

Axis = tuple[str, Dim]


@dataclass(frozen=True, slots=True)
class Alignment:
    """How one side of the left operand is broadcast into the same side of the right one.

    By name: `names` are the right side's axes that the left one has, the others are repeated over.
    By cut: the left side is viewed as `[prefix, 1, rest, suffix]`, the right one as `[prefix, multiplier, rest, suffix]`.
    """

    by_name: bool
    names: tuple[str, ...] = ()
    prefix: Dim = ONE
    multiplier: Dim = ONE
    rest: Dim = ONE
    suffix: Dim = ONE


def align(left: Side, right: Side) -> Alignment:
    """The broadcast of one side. Raises InvalidKernel if the multiplier is no integer."""
    ours, theirs = left.axes(), right.axes()
    if set(ours) <= set(theirs):
        return Alignment(True, names=tuple(name for name, _ in ours))
    a, b = [dim for _, dim in ours], [dim for _, dim in theirs]
    suffix = _common(a[::-1], b[::-1])
    a, b = a[: len(a) - suffix], b[: len(b) - suffix]
    tail = [dim for _, dim in ours][len(a) :]
    prefix = _common(a, b)
    head, a, b = a[:prefix], a[prefix:], b[prefix:]
    multiplier = check_dim(product(b) / product(a), "the multiplier of the broadcast")
    return Alignment(False, (), product(head), multiplier, product(a), product(tail))


def _common(a: list[Dim], b: list[Dim]) -> int:
    """The length of the common start of two lists."""
    count = 0
    for ours, theirs in zip(a, b, strict=False):
        if ours is not theirs:
            break
        count += 1
    return count


@dataclass(frozen=True, slots=True)
class Binary(Step):
    """Base of the element-wise functions of two tensors."""

    arity: ClassVar[int] = 2
    distinct: ClassVar[bool] = False  # refuses the same tensor twice: the result would be a constant or the tensor itself
    commutative: ClassVar[bool] = True

    def apply(self, *shapes: Shape) -> Outcome:
        left, right = shapes
        multipliers = (align(ours, theirs).multiplier for ours, theirs in zip(left, right, strict=True))
        return Outcome(right, elementwise=(1, right.product), quotients=tuple(m for m in multipliers if m is not ONE))


class Add(Binary):
    """`l + r`."""

    __slots__ = ()
    op: ClassVar[str] = "add"


class Mul(Binary):
    """`l * r`."""

    __slots__ = ()
    op: ClassVar[str] = "mul"


class Max(Binary):
    """`max(l, r)`."""

    __slots__ = ()
    op: ClassVar[str] = "max"
    distinct: ClassVar[bool] = True


class Min(Binary):
    """`min(l, r)`."""

    __slots__ = ()
    op: ClassVar[str] = "min"
    distinct: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class _Swappable(Binary):
    distinct: ClassVar[bool] = True
    commutative: ClassVar[bool] = False
    swap: bool = attributes.flag()


class Sub(_Swappable):
    """`l - r`; with `swap`, `r - l`."""

    __slots__ = ()
    op: ClassVar[str] = "sub"


class Div(_Swappable):
    """`l * sign(r) / max(|r|, 1e-3)` with sign(0) = 1; with `swap`, the same of r and l."""

    __slots__ = ()
    op: ClassVar[str] = "div"
