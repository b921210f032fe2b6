"""Lowering of matmul."""

from __future__ import annotations

from kas.language.primitives.matmul import Matmul
from kas.language.shapes import Shape
from kas.lowering._site import Plain, Site

__all__ = ["PLAIN"]


def _operand(site: Site, number: int, transposed: bool) -> str:
    """An input as a matrix `[N, rows, columns]`."""
    shape: Shape = site.shapes[number]
    matrix = site.input(number, (shape.first.product, shape.second.product))
    return f"{matrix}.transpose(1, 2)" if transposed else matrix


def _matmul(site: Site) -> str:
    step = site.step
    assert isinstance(step, Matmul)
    left, right = _operand(site, 0, step.t[0]), _operand(site, 1, step.t[1])
    over = site.shapes[0].sides[0 if step.t[0] else 1].product
    root = site.code.root(over)
    result = f"torch.bmm({left}, {right})" + (f" / {root}" if root else "")
    if step.softmax:
        result = f"torch.softmax({result}, 2)"
    elif root:
        result = f"({result})"
    return site.output(result, (site.result.first.product, site.result.second.product))


PLAIN: dict[str, Plain] = {"matmul": _matmul}
