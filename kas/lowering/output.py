"""The output of a kernel, arranged to `[N, C, *size]`."""

from __future__ import annotations

from kas.language.shapes import CHANNEL, Shape
from kas.lowering.code import Code, Form

__all__ = ["arranged"]


def arranged(code: Code, tensor: str, form: Form, shape: Shape) -> str:
    """A tensor of a legal output shape as `[N, C, H, W]`; channels that come last stay last in memory."""
    space = tuple(dim for side in shape.sides if side.kind != CHANNEL for _, dim in side.axes())
    if shape.first.kind == CHANNEL:
        return code.view(tensor, form, (shape.first.product, *space))
    last = len(space) + 1
    order = ", ".join(map(str, (0, last, *range(1, last))))
    matrix = code.view(tensor, form, (*space, shape.second.product))
    return f"{matrix}.permute({order})" if space else matrix
