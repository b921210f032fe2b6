"""Lowering of bmm and reassemble."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from kas.language.dims import ONE, Dim
from kas.language.primitives._base import product
from kas.language.primitives.products import Bmm, Contraction, contraction
from kas.language.shapes import Shape
from kas.lowering._site import Plain, Site
from kas.lowering.code import Code, Form, axis_position, form_of, reshaped
from kas.lowering.emitter import Emit, Emitter
from kas.lowering.graph import Node
from kas.lowering.matmul import scaled

__all__ = ["OPTIMIZED", "PLAIN", "added_bmm", "made_in_order"]

View = Callable[[Form], str]  # the expression of an input in a form


def _bmm(code: Code, step: Bmm, tensors: list[str], shapes: list[Shape]) -> tuple[str, Form]:
    """Both operands as `[N, batch, rows, columns]`, one `torch.matmul`, and the axes put in the order of the result."""
    parts = contraction(step, *shapes)
    l, r = _operands(code, step, tensors, shapes)  # noqa: E741
    root = code.root(parts.contracted)
    result = f"torch.matmul({l}, {r})" + (f" / {root}" if root else "")
    if step.softmax:
        result = f"torch.softmax({result}, 3)"
    elif root:
        result = f"({result})"
    return _placed(code, step, parts, result, (parts.batch, parts.rows, parts.columns))


def _operands(code: Code, step: Bmm, tensors: list[str], shapes: list[Shape], joined: bool = False) -> tuple[str, str]:
    """Both operands as `[N, batch, rows, columns]`, or joined as `[N * batch, rows, columns]`."""
    parts = contraction(step, *shapes)
    over_l, over_r = int(not step.t[0]), int(step.t[1])
    left = [(1 - over_l, parts.kept_l), (over_l, parts.over_l)]
    right = [(over_r, parts.over_r), (1 - over_r, parts.kept_r)]
    return (
        _matrices(code, tensors[0], shapes[0], step.batch, left, joined),
        _matrices(code, tensors[1], shapes[1], step.batch, right, joined),
    )


def _placed(code: Code, step: Bmm, parts: Contraction, result: str, form: Form | None) -> tuple[str, Form]:
    """The product with its axes in the order of the result; `form` is None where the batch is joined."""
    made = _made(step, parts)
    wanted = [name for name, _ in parts.result.axes()]
    axes = tuple(parts.result.axis(name) for name in made)
    result = code.reshape(result, axes) if form is None else code.view(result, form, axes)
    if made != wanted:
        result += f".permute(0, {', '.join(str(1 + made.index(name)) for name in wanted)})"
    return result, form_of(parts.result)


def _made(step: Bmm, parts: Contraction) -> list[str]:
    """The axes of the result in the order in which the product makes them."""
    made = [f"{home}.{name}" for home, name in zip(parts.homes, step.batch, strict=True)]
    return made + [f"0.{name}" for name in parts.kept_l] + [f"1.{name}" for name in parts.kept_r]


def made_in_order(node: Node) -> bool:
    """Whether a bmm makes its result in the order of its axes."""
    assert isinstance(node.step, Bmm)
    parts = contraction(node.step, *(one.shape for one in node.ins))
    return _made(node.step, parts) == [name for name, _ in parts.result.axes()]


Part = tuple[int, tuple[str, ...]]  # the number of a side and some of its axes


def _matrices(code: Code, tensor: str, shape: Shape, batch: tuple[str, ...], sides: list[Part], joined: bool) -> str:
    """A tensor, one torch axis for each non-empty axis, as `[N, batch, rows, columns]` or `[N * batch, rows, columns]`.

    Joined, the axis that is last in memory stays last: what has to be copied is copied by lines, and read transposed.
    """
    own = [name for name, _ in shape.axes()]
    turned = joined and bool(own) and own[-1] in [f"{sides[0][0]}.{name}" for name in sides[0][1]]
    sides = sides[::-1] if turned else sides
    order = [next(full for full in own if full[2:] == name) for name in batch]
    dims = [product(shape.axis(name) for name in order)]
    for side, names in sides:
        full = [f"{side}.{name}" for name in names]
        dims.append(product(shape.axis(name) for name in full))
        order += full
    if order != own:
        tensor = f"{tensor}.permute(0, {', '.join(str(axis_position(shape, name)) for name in order)})"
    if joined:
        code.names.add("n")
        tensor = reshaped(tensor, f"n * {code.size(dims[0])}, {code.size(dims[1])}, {code.size(dims[2])}")
        return f"{tensor}.mT" if turned else tensor
    return code.view(tensor, tuple(shape.axis(name) for name in order), tuple(dims))


def _reassemble(views: list[View], shapes: list[Shape]) -> tuple[str, Form]:
    """The taps of each position times its matrix."""
    (g, c, kh, kw), positions = shapes[0].first.dims, shapes[0].second.product
    shared = shapes[1].first.dim("g") is ONE
    groups, channels = (ONE, g * c) if shared else (g, c)
    taps: Dim = kh * kw
    made = shapes[1].first.dim("kh") * shapes[1].first.dim("kw")
    left = views[0]((groups, channels, taps, positions))
    right = views[1]((groups, taps, made, positions))
    return f'torch.einsum("ngctp,ngtmp->ngcmp", {left}, {right})', (groups, channels, made, positions)


def _plain_bmm(site: Site) -> str:
    assert isinstance(site.step, Bmm)
    tensor, form = _bmm(site.code, site.step, list(site.ins), list(site.shapes))
    return site.output(tensor, form)


def _plain_reassemble(site: Site) -> str:
    tensor, form = _reassemble([partial(site.input, i) for i in (0, 1)], list(site.shapes))
    return site.output(tensor, form)


def _emit_bmm(emitter: Emitter, node: Node, total: str = "") -> tuple[str, Form]:
    """One product of `N * batch` matrices, divided in the call; for a result in the other order the turned product, turned."""
    step, code, shapes = node.step, emitter.code, [i.shape for i in node.ins]
    assert isinstance(step, Bmm)
    parts = contraction(step, *shapes)
    left, right = _operands(code, step, [emitter.axes(i) for i in node.ins], shapes, joined=True)
    turned = node.attributes == ("turned",)
    if turned:
        left, right = (_transposed(one) for one in (right, left))
    root = emitter.divisor(node, code.root(parts.contracted))
    result = scaled(left, right, root, total) + (".mT" if turned else "")
    return _placed(code, step, parts, f"torch.softmax({result}, 2)" if step.softmax else result, None)


def _transposed(matrices: str) -> str:
    turn = ".mT"
    return matrices.removesuffix(turn) if matrices.endswith(turn) else matrices + turn


def added_bmm(emitter: Emitter, node: Node, other: Node) -> tuple[str, Form]:
    """A product without a softmax, added to another value of its shape."""
    step, shapes = node.step, [i.shape for i in node.ins]
    assert isinstance(step, Bmm)
    parts = contraction(step, *shapes)
    sides: list[Part] = [(0, parts.kept_l), (1, parts.kept_r)]
    return _emit_bmm(emitter, node, _matrices(emitter.code, emitter.axes(other), node.shape, step.batch, sides, True))


def _emit_reassemble(emitter: Emitter, node: Node) -> tuple[str, Form]:
    return _reassemble([partial(emitter.reshaped, i) for i in node.ins], [i.shape for i in node.ins])


PLAIN: dict[str, Plain] = {"bmm": _plain_bmm, "reassemble": _plain_reassemble}
OPTIMIZED: dict[str, Emit] = {"bmm": _emit_bmm, "reassemble": _emit_reassemble}
