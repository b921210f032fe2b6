"""Writing products in another order than the program's: one matrix for each image, and scores from the image's own product."""

from __future__ import annotations

from collections.abc import Iterable

from kas.language.dims import ONE, Dim
from kas.language.primitives.matmul import Matmul
from kas.language.primitives.products import Bmm
from kas.lowering.code import Form, reshaped
from kas.lowering.convolution import batched
from kas.lowering.emitter import Emit, Emitter
from kas.lowering.graph import Node
from kas.lowering.linear import permutation
from kas.lowering.matmul import matrix, scaled
from kas.lowering.rules_association import Factor

__all__ = ["OPTIMIZED"]


def _emit_chosen(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """`(V A W) x` over the root of the columns of A; A by group: `[N, g, rows, columns]`."""
    assert isinstance(node.attributes, tuple)
    out, value, groups, each, step = node.attributes
    assert isinstance(out, int)
    assert isinstance(value, int)
    assert isinstance(groups, Dim)
    assert isinstance(each, Dim)
    assert isinstance(step, Matmul | Bmm)
    (scores, base), number = node.ins, emitter.code.number
    inner, positions = base.shape.first.product, base.shape.second.product
    rows = scores.shape.product / each
    own = matrix(emitter, scores, step.t[0]) if groups is ONE else _by_group(emitter, scores, step.t[0])
    if value:
        sizes = [number(dim) for dim in (groups, each, inner) if dim is not ONE]
        own = f"torch.matmul({own}, {emitter.parameter(value, sizes)})"
        if groups is not ONE:
            own = emitter.code.reshape(own, (rows, inner))
    whole = batched(emitter, emitter.parameter(out, (number(node.shape.first.product), number(rows))), own)
    image = emitter.reshaped(base, (inner, positions))
    result = scaled(emitter.variable(whole), image, emitter.code.root(each))
    return result, (node.shape.first.product, positions)


def _by_group(emitter: Emitter, scores: Node, turned: bool) -> str:
    """Scores by group as `[N, g, rows, columns]`: the group is on one of their sides, the others make the matrix."""
    axes = [name for name, _ in scores.shape.axes()]
    group = next(name for name in axes if name[2:] == "g")
    sides = ("1", "0") if turned else ("0", "1")
    order = [group, *(name for side in sides for name in axes if name[0] == side and name != group)]
    return emitter.axes(scores) + permutation([0, *(1 + axes.index(name) for name in order)])


def _parts(node: Node) -> tuple[Factor, Factor, Dim, tuple[Dim, ...], bool]:
    """Of scores: both operands, the groups, the rows and columns of one, and whether a softmax follows."""
    assert isinstance(node.attributes, tuple)
    left, right, groups, widths, softmax = node.attributes
    assert isinstance(left, Factor)
    assert isinstance(right, Factor)
    assert isinstance(groups, Dim)
    assert isinstance(widths, tuple)
    return left, right, groups, widths, bool(softmax)


def _emit_gram(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """`V G W'` with `G = x x'` over the root of the positions; the length of `v x` is that of `v G v'`, times the root."""
    left, right, groups, widths, softmax = _parts(node)
    base, code = node.ins[0], emitter.code
    inner, positions = base.shape.first.product, base.shape.second.product
    lead = () if groups is ONE else (groups,)
    root = code.root(positions)
    image = emitter.variable(emitter.reshaped(base, (inner, positions)))
    gram = emitter.variable(scaled(image, f"{image}.mT", root))
    weights = [_matrix(emitter, one.weight, (groups * width, inner)) for one, width in zip((left, right), widths, strict=True)]
    mapped = emitter.variable(batched(emitter, weights[0], gram))
    lengths = []
    for one, weight in zip((left, right), weights, strict=True):
        product = mapped if one is left or not one.normalized else batched(emitter, weight, gram)
        squares = f"({product} * {weight}).sum(2)" + (f" * {root}" if root else "")
        lengths.append(f"torch.rsqrt(({squares}).clamp_min(0) + 1e-6)")
    factors = _factors(emitter, (left, right), lengths, lead, widths)
    keys = f"{_matrix(emitter, right.weight, (*lead, widths[1], inner))}.transpose({len(lead)}, {len(lead) + 1})"
    queries = mapped if groups is ONE else code.reshape(mapped, (*lead, widths[0], inner))
    result = " * ".join([f"torch.matmul({queries}, {keys})", *factors])
    return (f"torch.softmax({result}, {2 + len(lead)})" if softmax else f"({result})"), (*lead, *widths)


def _emit_factored(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """`(Q K') * q * k'` with what the rows of Q and K are to be scaled by and divided by."""
    left, right, groups, widths, softmax = _parts(node)
    code, positions = emitter.code, node.ins[0].shape.second.product
    lead = () if groups is ONE else (groups,)
    images = [emitter.reshaped(one, (groups * width, positions)) for one, width in zip(node.ins, widths, strict=True)]
    lengths = [f"torch.rsqrt(torch.linalg.vector_norm({one}, dim=2).square() + 1e-6)" for one in images]
    factors = _factors(emitter, (left, right), lengths, lead, widths)
    code.names.add("n")
    batch = "n" if groups is ONE else f"n * {code.size(groups)}"
    q, k = (
        reshaped(image, f"{batch}, {code.size(width)}, {code.size(positions)}") if lead else image
        for image, width in zip(images, widths, strict=True)
    )
    product = scaled(q, f"{k}.mT", code.root(positions))
    result = " * ".join([code.reshape(product, (*lead, *widths)) if lead else product, *factors])
    return (f"torch.softmax({result}, {2 + len(lead)})" if softmax else f"({result})"), (*lead, *widths)


def _factors(emitter: Emitter, sides: Iterable[Factor], lengths: Iterable[str], lead: Form, widths: Iterable[Dim]) -> list[str]:
    """What scores `[N, *lead, rows, columns]` are to be multiplied by; `lengths`: the inverse ones of rows and of columns."""
    factors = []
    for number, (one, length, width) in enumerate(zip(sides, lengths, widths, strict=True)):
        form = (*lead, ONE, width) if number else (*lead, width, ONE)
        if one.normalized:
            factors.append(emitter.variable(emitter.code.reshape(length, form)))
        for step, by_group, by_channel in one.scales:
            across = [dim if by_channel else ONE for dim in form[-2:]]
            factors.append(_matrix(emitter, step, (*(dim if by_group else ONE for dim in lead), *across)))
    return factors


def _matrix(emitter: Emitter, number: int, dims: Iterable[Dim]) -> str:
    return emitter.parameter(number, [emitter.code.number(dim) for dim in dims])


OPTIMIZED: dict[str, Emit] = {"chosen": _emit_chosen, "gram scores": _emit_gram, "factored scores": _emit_factored}
