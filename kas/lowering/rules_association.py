"""Rules of association: of a chain of products, the order that is less work.

Scores between channels are as small as the weights. What is done to the channels of all positions before or after them is then
done to the scores: `(V A W) x` for `V (A (W x))`, and `V (x x') W'` for `(V x) (W x)'`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from kas.language.dims import ONE, Dim
from kas.language.primitives.matmul import Matmul
from kas.language.primitives.products import Bmm
from kas.language.primitives.reductions import Normalize
from kas.language.primitives.scaling import Scale
from kas.language.shapes import CHANNEL, SPATIAL
from kas.lowering.graph import Graph, Node

__all__ = ["Factor", "factors_of_scores", "gram_scores", "map_of_product"]

_CHEAPER = 0.9  # of the work of maps before and after, what one matrix for each image may take
_SMALL = 0.5  # of the elements that factors are multiplied by before a product, those that they may be multiplied by after it
_GRAM = 0.7  # of the work of two maps and their product, what the product of the image with itself may take


@dataclass(frozen=True)
class Factor:
    """An operand of scores between channels: an image, perhaps normalised over its positions, then scaled.

    Attributes:
        weight: the step of the linear map that makes the image, 0 where that does not matter.
        normalized: whether each channel is divided by its length.
        scales: the steps of the scales, each with whether it has the axes `g` and `c`.
    """

    weight: int
    normalized: bool
    scales: tuple[tuple[int, bool, bool], ...]


def map_of_product(graph: Graph, node: Node) -> Node | None:
    """A linear map of a product of scores and an image, itself perhaps a linear map: one matrix for each image."""
    if not _point(node):
        return None
    source = _behind(graph, node.ins[0])
    if source is None or source.op not in ("matmul", "bmm"):
        return None
    step, kept = source.step, source.shape.first
    assert isinstance(step, Matmul | Bmm)
    by_group = isinstance(step, Bmm)
    groups = kept.dim("g") if by_group and kept.kind == CHANNEL else ONE
    if step.softmax or step.t[1] or by_group is (groups is ONE) or (isinstance(step, Bmm) and step.batch != ("g",)):
        return None
    scores, image = source.ins
    mapped = _behind(graph, image)
    value, base = 0, image
    if mapped is not None and _point(mapped):
        value, base = mapped.convolution.weight.number, mapped.ins[0]
    elif by_group:
        return None
    env = graph.code.env
    out, positions = (side.product.value(env) for side in node.shape)
    rows, over, inner = (one.shape.first.product.value(env) for one in (source, image, base))
    each = over // groups.value(env)
    before = (over * inner if value else 0) + rows * each + out * rows
    small = rows * each * inner if value else 0
    if small + out * rows * inner + out * inner * positions > _CHEAPER * before * positions:
        return None
    attributes = (node.convolution.weight.number, value, groups, image.shape.first.product / groups, step)
    return graph.make("chosen", (scores, base), node.shape, attributes=attributes)


def gram_scores(graph: Graph, node: Node) -> Node | None:
    """Scores between linear maps of one image, over its positions, from the product of that image with itself."""
    step, groups = node.step, _groups_of_scores(node)
    assert isinstance(step, Matmul | Bmm)
    found = [_mapped_factor(graph, one) for one in node.ins]
    if groups is None or found[0] is None or found[1] is None or found[0][1] is not found[1][1]:
        return None
    base = found[0][1]
    sides = [one.shape.first for one in node.ins]
    env = graph.code.env
    inner, positions = (side.product.value(env) for side in base.shape)
    left, right = (side.product.value(env) for side in sides)
    old = (left + right) * inner + left * right // groups.value(env)
    both = left + (right if found[1][0].normalized else 0)
    if inner * inner * (positions + both) + left * right // groups.value(env) * inner > _GRAM * old * positions:
        return None
    widths: tuple[Dim, ...] = tuple(side.product / groups for side in sides)
    attributes = (found[0][0], found[1][0], groups, widths, step.softmax)
    return graph.make("gram scores", (base,), node.shape, attributes=attributes)


def factors_of_scores(graph: Graph, node: Node) -> Node | None:
    """Scores between channels over positions: what the channels are scaled and normalised by is applied to the scores."""
    step, groups = node.step, _groups_of_scores(node)
    assert isinstance(step, Matmul | Bmm)
    if groups is None:
        return None
    found = [one for one in (_factor(graph, one) for one in node.ins) if one is not None]
    if len(found) < 2:
        return None
    env = graph.code.env
    passes = [one.normalized + len(one.scales) for one, _ in found]
    before = sum(count * one.shape.product.value(env) for count, one in zip(passes, node.ins, strict=True))
    left, right = (one.shape.first.product for one in node.ins)
    scores = left.value(env) * right.value(env) // groups.value(env)
    if not before or scores * sum(passes) > _SMALL * before:
        return None
    attributes = (found[0][0], found[1][0], groups, (left / groups, right / groups), step.softmax)
    return graph.make("factored scores", (found[0][1], found[1][1]), node.shape, attributes=attributes)


def _groups_of_scores(node: Node) -> Dim | None:
    """The number of groups of a product of the channels of two images over all positions; None for any other product."""
    step = node.step
    assert isinstance(step, Matmul | Bmm)
    by_group = isinstance(step, Bmm)
    if step.t != (False, True) or (isinstance(step, Bmm) and step.batch != ("g",)):
        return None
    sides = [one.shape.first for one in node.ins]
    if any(side.kind != CHANNEL for side in sides) or any(one.shape.second.kind != SPATIAL for one in node.ins):
        return None
    groups = sides[0].dim("g")
    wanted = {"g", "c"} if by_group else {"c"}
    if any({name for name, _ in side.axes()} - wanted for side in sides) or (by_group and groups is ONE):
        return None
    return groups


def _mapped_factor(graph: Graph, node: Node) -> tuple[Factor, Node] | None:
    """An operand and the image that it is a map of; None if it is anything else."""
    found = _factor(graph, node)
    one = None if found is None else _behind(graph, found[1])
    if found is None or one is None or not _point(one):
        return None
    return replace(found[0], weight=one.convolution.weight.number), one.ins[0]


def _factor(graph: Graph, node: Node) -> tuple[Factor, Node] | None:
    """An operand and the image that it scales and normalises; None if it does that in another way."""
    scales: list[tuple[int, bool, bool]] = []
    normalized = False
    image, one = node, _behind(graph, node)
    while one is not None and one.op in ("scale", "normalize"):
        step = one.step
        if isinstance(step, Scale) and not normalized and all(name in ("0.g", "0.c") for name in step.axes):
            scales.append((one.number, "0.g" in step.axes, "0.c" in step.axes))
        elif isinstance(step, Normalize) and not normalized and step.how == "l2" and _whole(one, step.axes):
            normalized = True
        else:
            return None
        image, one = one.ins[0], _behind(graph, one.ins[0])
    return Factor(0, normalized, tuple(scales)), image


def _whole(node: Node, axes: tuple[str, ...]) -> bool:
    return axes == tuple(f"1.{name}" for name, _ in node.shape.second.axes())


def _behind(graph: Graph, node: Node) -> Node | None:
    """What a node is a view of; None if that, or a view of it, is read by others."""
    while node.op == "view" and node not in graph.shared:
        node = node.ins[0]
    return None if node in graph.shared else node


def _point(node: Node) -> bool:
    """Whether a node is a dense linear map of the channels of an image with a weight of its own, and nothing more."""
    return node.op == "convolve" and node.convolution.is_plain_map
