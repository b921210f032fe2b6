"""Rules for rows: where a product reads the channels of each position, the maps that make them write them side by side.

A row is `[positions | channels]`, the channels last in memory. Several maps of one image are then parts of one product.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace

from kas.language.dims import ONE, Dim
from kas.language.primitives.products import Bmm, contraction
from kas.language.primitives.reductions import Normalize
from kas.language.primitives.scaling import Scale
from kas.language.primitives.windows import Window
from kas.language.shapes import CHANNEL, SPATIAL, Shape
from kas.lowering.code import Code
from kas.lowering.graph import Graph, Node

__all__ = ["by_lines", "projected", "projects_once", "related", "rows", "standardized", "sum_of_swaps", "unwindowed"]

_POSITIONS = 64  # with fewer, a map that writes rows takes longer than one call for their normalisation saves


def rows(graph: Graph, node: Node) -> Node:
    """A node with its sides swapped, in that order in memory."""
    return graph.make("rows", (node,), Shape(node.shape.second, node.shape.first))


def projected(graph: Graph, node: Node) -> Node | None:
    """A linear map of channels that is read as rows only writes rows; so does one that is then cut into windows."""
    source = node.ins[0]
    while source.op == "view" and source not in graph.shared:
        source = source.ins[0]
    if source in graph.shared and source not in graph.along_lines:
        return None
    if source.op == "window":
        inner = source.ins[0]
        made = rows(graph, inner)
        assert isinstance(source.step, Window)
        if made.op == "rows" or {"kh", "kw"} & {name for name, _ in inner.shape.first.axes()}:
            return None
        return graph.make("windowed", (made,), node.shape, source.step)
    if source.op in ("scale", "normalize"):
        return _done_to_rows(graph, source, node.shape)
    if source.op != "convolve" or not source.convolution.is_plain_map:
        return None
    return graph.make("project", source.ins, node.shape, attributes=source.convolution)


def _done_to_rows(graph: Graph, source: Node, shape: Shape) -> Node | None:
    """A scale or a normalisation of the channels of a map that writes rows, done to the rows."""
    step = source.step
    assert isinstance(step, Scale | Normalize)
    made = graph.make("rows", source.ins, shape)
    if made.op == "rows" or any(name[0] == "1" for name in step.axes):
        return None
    turned = replace(step, axes=tuple(f"1{name[1:]}" for name in step.axes))
    return graph.make(source.op, (made,), shape, turned, source.number)


def standardized(graph: Graph, node: Node) -> Node | None:
    """The channels of a map, standardised for each position: of rows that is one call, of which the map writes them."""
    step, source = node.step, node.ins[0]
    assert isinstance(step, Normalize)
    channels = tuple(f"0.{name}" for name, _ in node.shape.first.axes())
    if step.how != "standard" or step.axes != channels or not _image(node) or source.op != "convolve" or source in graph.shared:
        return None
    if graph.code.number(node.shape.second.product) < _POSITIONS:
        return None
    made = _done_to_rows(graph, node, Shape(node.shape.second, node.shape.first))
    return None if made is None else graph.make("swap", (made,), node.shape)


def unwindowed(graph: Graph, node: Node) -> Node | None:
    """Windows of what fused attention makes, put back as rows, which it makes: its channels are last in memory."""
    source = node.ins[0]
    left = {"kh", "kw"} & {name for name, _ in node.shape.first.axes()}
    if source.op != "batched attention" or source in graph.shared or left:
        return None
    made = graph.make("unwindowed", (source,), Shape(node.shape.second, node.shape.first), node.step)
    return graph.make("swap", (made,), node.shape)


def by_lines(graph: Graph, node: Node) -> Node | None:
    """A product for each row or column of an image, of maps of its channels: it reads them as rows."""
    step = node.step
    assert isinstance(step, Bmm)
    if not set(step.batch) <= {"h", "w"}:
        return None
    left, right = node.ins
    if _image(left) and _image(right):
        if step.t != (True, False):
            return None
        ins, t = (rows(graph, left), rows(graph, right)), (False, True)
        turned = False
    elif _image(left) and not step.t[0] and not step.softmax:
        ins, t = (right, rows(graph, left)), (not step.t[1], False)
        turned = True
    else:
        return None
    if any(one.op not in ("project", "bmm", "softmax") for one in ins) or ins[1].op != "project":
        return None
    shape = Shape(node.shape.second, node.shape.first) if turned else node.shape
    made = replace(step, t=t)
    if contraction(made, *(one.shape for one in ins)).result is not shape:
        return None
    product = graph.make("bmm", ins, shape, made)
    return graph.make("swap", (product,), node.shape) if turned else product


def _image(node: Node) -> bool:
    """Whether a node has channels and positions."""
    return node.shape.first.kind == CHANNEL and node.shape.second.kind == SPATIAL


def sum_of_swaps(graph: Graph, node: Node) -> Node | None:
    """The sum of two matrices that are read turned is the turned sum."""
    left, right = node.ins
    if left.op != "swap" or right.op != "swap" or {left, right} & graph.shared or left.shape is not right.shape:
        return None
    made = graph.make("add", (left.ins[0], right.ins[0]), left.ins[0].shape, node.step)
    return graph.make("swap", (made,), node.shape)


def related(graph: Graph, operands: tuple[Node, ...]) -> bool:
    """Whether at least two rows are maps of one image, so that one product makes them."""
    made = dict.fromkeys(map(_map_behind, operands))
    bases = Counter(one.ins[0] for one in made if one.op == "project" and _narrow(one, graph.code))
    return max(bases.values(), default=0) > 1


def _map_behind(node: Node) -> Node:
    while node.op in ("windowed", "scale", "normalize"):
        node = node.ins[0]
    return node


def _narrow(node: Node, code: Code) -> bool:
    """Not wider than there are positions: else putting the weights together takes longer than it saves."""
    positions, width = (side.product.value(code.env) for side in node.shape)
    return width <= positions


def projects_once(nodes: list[Node], output: Node, graph: Graph) -> tuple[Node, list[Node]]:
    """Output and nodes, with the maps of one image that write rows as the parts of one product."""
    maps: dict[Node, list[Node]] = defaultdict(list)
    for node in nodes:
        if node.op == "project" and _narrow(node, graph.code):
            maps[node.ins[0]].append(node)
    new: dict[Node, Node] = {}
    made: list[Node] = []
    joints: dict[Node, Node] = {}
    for node in nodes:
        together = maps[node.ins[0]] if node.op == "project" and node in maps[node.ins[0]] else []
        ins = tuple(new.get(read, read) for read in node.ins)
        if len(together) > 1:
            if node is together[0]:
                joints[node.ins[0]] = _joint(graph, together, ins[0])
                made.append(joints[node.ins[0]])
            attributes = (together.index(node),)
            new[node] = Node("part", (joints[node.ins[0]],), node.shape, attributes=attributes)
        elif node.op == "windowed" and ins[0].op == "part" and _all_windowed(maps[node.ins[0].ins[0]], nodes):
            joint = ins[0].ins[0]
            if joint not in joints:
                side = node.shape.second.with_axes(g=ONE, c=joint.shape.second.product)
                joints[joint] = replace(node, ins=(joint,), shape=Shape(node.shape.first, side))
                made.append(joints[joint])
            new[node] = Node("part", (joints[joint],), node.shape, attributes=ins[0].attributes)
        else:
            new[node] = node if ins == node.ins else replace(node, ins=ins)
        made.append(new[node])
    read = {one for node in made for one in node.ins} | {new[output]}
    return new[output], [node for node in made if node in read]


def _all_windowed(maps: list[Node], nodes: list[Node]) -> bool:
    """Whether maps of equal widths are only read cut into the same windows: then all are cut as one."""
    readers = [node for node in nodes if set(node.ins) & set(maps)]
    alike = {(node.op, node.step) for node in readers}
    return len(alike) == 1 and readers[0].op == "windowed" and len({one.convolution.out for one in maps}) == 1


def _joint(graph: Graph, maps: list[Node], base: Node) -> Node:
    """The product that makes several maps of one image; if that is a map that only they read, of what it is a map of."""
    widths = tuple(one.convolution.out for one in maps)
    numbers, inner = tuple(one.convolution.weight.number for one in maps), 0
    if _absorbed(graph, maps, base):
        base, inner = base.ins[0], base.convolution.weight.number
    side = maps[0].shape.second.with_axes(g=ONE, c=Dim.of(len(maps)) * widths[0])
    return Node("projects", (base,), Shape(maps[0].shape.first, side), attributes=(widths, numbers, inner))


def _absorbed(graph: Graph, maps: list[Node], base: Node) -> bool:
    """Whether the product of the weights, then one map, is not more work than both maps for one image."""
    if base.op != "convolve" or graph.reads[maps[0].ins[0]] != len(maps):
        return False
    own, env = base.convolution, graph.code.env
    if not own.is_plain_map:
        return False
    out = sum(one.convolution.out.value(env) for one in maps)
    inner, channels, positions = (
        dim.value(env) for dim in (own.out, base.ins[0].shape.first.product, base.shape.second.product)
    )
    return out * inner * channels + positions * channels * out <= positions * inner * (channels + out)
