"""Functions of each element by itself. One multiply-add an element."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kas.language.primitives._base import Outcome, Step
from kas.language.shapes import Shape

__all__ = ["Abs", "Exp", "Gelu", "Neg", "Pointwise", "Relu", "Sigmoid", "Sin", "Sqr", "Sqrt", "Tanh"]


@dataclass(frozen=True, slots=True)
class Pointwise(Step):
    """Base of the element-wise functions."""

    def apply(self, *shapes: Shape) -> Outcome:
        return Outcome(shapes[0], elementwise=(1, shapes[0].product))


class Gelu(Pointwise):
    """The exact GELU, `x * Phi(x)`."""

    __slots__ = ()
    op: ClassVar[str] = "gelu"


class Relu(Pointwise):
    """`max(x, 0)`."""

    __slots__ = ()
    op: ClassVar[str] = "relu"


class Sigmoid(Pointwise):
    """`1/(1 + exp(-x))`."""

    __slots__ = ()
    op: ClassVar[str] = "sigmoid"


class Tanh(Pointwise):
    """`tanh(x)`."""

    __slots__ = ()
    op: ClassVar[str] = "tanh"


class Abs(Pointwise):
    """`|x|`."""

    __slots__ = ()
    op: ClassVar[str] = "abs"


class Exp(Pointwise):
    """`exp(min(x, 10))`."""

    __slots__ = ()
    op: ClassVar[str] = "exp"


class Neg(Pointwise):
    """`-x`."""

    __slots__ = ()
    op: ClassVar[str] = "neg"


class Sin(Pointwise):
    """`sin(pi*x/2)`."""

    __slots__ = ()
    op: ClassVar[str] = "sin"


class Sqrt(Pointwise):
    """`sqrt(max(|x|, 1e-6))`."""

    __slots__ = ()
    op: ClassVar[str] = "sqrt"


class Sqr(Pointwise):
    """`x*x`."""

    __slots__ = ()
    op: ClassVar[str] = "sqr"
