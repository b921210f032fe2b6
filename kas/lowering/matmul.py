"""Lowering of matmul."""

from __future__ import annotations

from kas.language.primitives.matmul import Matmul
from kas.language.shapes import Shape
from kas.lowering._site import Plain, Site
from kas.lowering.code import Form
from kas.lowering.emitter import Emit, Emitter
from kas.lowering.graph import Node

__all__ = ["OPTIMIZED", "PLAIN", "added_matmul", "matrix", "scaled"]


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


def matrix(emitter: Emitter, node: Node, transposed: bool) -> str:
    """A node as a matrix `[N, rows, columns]`."""
    matrix = emitter.reshaped(node, (node.shape.first.product, node.shape.second.product))
    return f"{matrix}.transpose(1, 2)" if transposed else matrix


def scaled(left: str, right: str, root: str, total: str = "") -> str:
    """The product of two batches of matrices over a root, and perhaps a sum added: one call, the division in the product.

    Where nothing is added, the call gets the module's buffer `zero`, times 0: on a CPU a new tensor takes 10 microseconds.
    """
    alpha = f", alpha=1 / {root}" if root else ""
    if total:
        return f"torch.baddbmm({total}, {left}, {right}{alpha})"
    return f"torch.baddbmm(self.zero, {left}, {right}, beta=0{alpha})" if root else f"torch.bmm({left}, {right})"


def _product(emitter: Emitter, node: Node, total: str = "") -> str:
    step = node.step
    assert isinstance(step, Matmul)
    left, right = (matrix(emitter, operand, t) for operand, t in zip(node.ins, step.t, strict=True))
    root = emitter.divisor(node, emitter.code.root(node.ins[0].shape.sides[0 if step.t[0] else 1].product))
    return scaled(left, right, root, total)


def _emit_matmul(emitter: Emitter, node: Node) -> tuple[str, Form]:
    step, result = node.step, _product(emitter, node)
    assert isinstance(step, Matmul)
    return f"torch.softmax({result}, 2)" if step.softmax else result, _result_form(node)


def added_matmul(emitter: Emitter, node: Node, other: Node) -> tuple[str, Form]:
    """A product without a softmax, added to another value."""
    return _product(emitter, node, emitter.reshaped(other, _result_form(node))), _result_form(node)


def _result_form(node: Node) -> Form:
    return (node.shape.first.product, node.shape.second.product)


OPTIMIZED: dict[str, Emit] = {"matmul": _emit_matmul}
