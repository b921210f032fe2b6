"""The product of two tensors as matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kas.language import attributes
from kas.language.errors import InvalidKernel
from kas.language.primitives._base import Outcome, Step, check_axes
from kas.language.shapes import Shape

__all__ = ["Matmul"]


@dataclass(frozen=True, slots=True)
class Matmul(Step):
    """Contracts side 1 of `l` (side 0 if `t[0]`) with side 0 of `r` (side 1 if `t[1]`), over sqrt(contracted size).

    With `softmax`, then a softmax over the whole last side: three multiply-adds an element. The scaling counts one.
    """

    op: ClassVar[str] = "matmul"
    arity: ClassVar[int] = 2
    mixes: ClassVar[bool] = True
    t: tuple[bool, bool] = attributes.flags()
    softmax: bool = attributes.flag()

    def apply(self, *shapes: Shape) -> Outcome:
        left, right = shapes
        keep_l, over_l = left.sides[::-1] if self.t[0] else left.sides
        over_r, keep_r = right.sides[::-1] if self.t[1] else right.sides
        if over_l.product is not over_r.product:
            raise InvalidKernel(f"contracts {over_l.product} with {over_r.product}, which are not equal")
        result = check_axes(Shape(keep_l, keep_r))
        if self.softmax and not keep_r.axes():
            raise InvalidKernel("a softmax over only empty axes is a constant")
        macs = keep_l.product * over_l.product * keep_r.product
        return Outcome(result, None, macs, (4 if self.softmax else 1, result.product))
