"""One step of a program on its way to torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kas.language.dims import Dim
from kas.language.primitives import Step
from kas.language.shapes import Shape
from kas.lowering.code import Code, Form, axis_position, form_of

__all__ = ["Plain", "Site"]


@dataclass(frozen=True)
class Site:
    """A step, what it reads and what it makes. Tensors are in the form of one torch axis for each non-empty axis.

    Attributes:
        code: where the lines go.
        step: the step.
        weight: the expression of its parameter.
        ins: the expressions of what it reads.
        shapes: their shapes.
        result: the shape of what it makes.
    """

    code: Code
    step: Step
    weight: str
    ins: tuple[str, ...]
    shapes: tuple[Shape, ...]
    result: Shape

    def input(self, number: int = 0, form: Form | None = None) -> str:
        """An input, as it is or viewed in another form."""
        own = form_of(self.shapes[number])
        return self.code.view(self.ins[number], own, own if form is None else form)

    def output(self, tensor: str, form: Form) -> str:
        """A tensor of some form viewed in the form of the result."""
        return self.code.view(tensor, form, form_of(self.result))

    def positions(self, axes: tuple[str, ...]) -> tuple[int, ...]:
        """The torch axes of named axes of the first input."""
        return tuple(axis_position(self.shapes[0], name) for name in axes)

    def size(self, dim: Dim) -> str:
        return self.code.size(dim)


Plain = Callable[[Site], str]
