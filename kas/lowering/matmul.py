"""Lowering of matmul."""

from __future__ import annotations

from kas.language.primitives.matmul import Matmul
from kas.language.shapes import CHANNEL, Shape
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
_VECTOR = 16  # floats


def matrix(emitter: Emitter, node: Node, transposed: bool) -> str:
    """A node as a matrix `[N, rows, columns]`."""
    matrix = emitter.reshaped(node, (node.shape.first.product, node.shape.second.product))
    return f"{matrix}.mT" if transposed else matrix


def scaled(left: str, right: str, root: str, total: str = "") -> str:
    """The product of two batches of matrices over a root, and perhaps a sum added: one call, the division in the product.

    Where nothing is added, the call gets the module's buffer `zero`, times 0: on a CPU a new tensor takes 10 microseconds.
    """
    alpha = f", alpha=1 / {root}" if root else ""
    if total:
        return f"torch.baddbmm({total}, {left}, {right}{alpha})"
    return f"torch.baddbmm(self.zero, {left}, {right}, beta=0{alpha})" if root else f"torch.bmm({left}, {right})"


def _product(emitter: Emitter, node: Node, total: str = "", turned: bool = False) -> str:
    """The product, perhaps added to a total, or with its sides swapped."""
    step = node.step
    assert isinstance(step, Matmul)
    left, right = (matrix(emitter, operand, t is not turned) for operand, t in zip(node.ins, step.t, strict=True))
    left, right = (right, left) if turned else (left, right)
    root = emitter.divisor(node, emitter.code.root(node.ins[0].shape.sides[0 if step.t[0] else 1].product))
    return scaled(left, right, root, total)


def _emit_matmul(emitter: Emitter, node: Node) -> tuple[str, Form]:
    step = node.step
    assert isinstance(step, Matmul)
    if _better_turned(emitter, node):
        result = _product(emitter, node, turned=True)
        result = f"torch.softmax({result}, 1)" if step.softmax else result
        return f"{result}.mT", _result_form(node)
    result = _product(emitter, node)
    return f"torch.softmax({result}, 2)" if step.softmax else result, _result_form(node)


def _better_turned(emitter: Emitter, node: Node) -> bool:
    """Whether a product of channels is made faster with its sides swapped: its columns do not fill vectors, its rows do.

    On a CPU it then takes 0.5 to 0.8 of the time, its softmax 1 to 1.7 times as long. Rows of positions are left in order.
    """
    step, number = node.step, emitter.code.number
    assert isinstance(step, Matmul)
    rows, columns = (number(side.product) for side in node.shape)
    if node.shape.first.kind != CHANNEL:
        return False
    over = number(node.ins[0].shape.sides[0 if step.t[0] else 1].product)
    return rows % _VECTOR == 0 and columns % _VECTOR != 0 and columns > 1 and not (step.softmax and over < columns)


def added_matmul(emitter: Emitter, node: Node, other: Node) -> tuple[str, Form]:
    """A product without a softmax, added to another value."""
    return _product(emitter, node, emitter.reshaped(other, _result_form(node))), _result_form(node)


def _result_form(node: Node) -> Form:
    return (node.shape.first.product, node.shape.second.product)


OPTIMIZED: dict[str, Emit] = {"matmul": _emit_matmul}
