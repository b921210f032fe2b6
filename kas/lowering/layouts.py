"""Which images of a plan have their channels last in memory, `[N, h, w, c]`, and which first, `[N, c, h, w]`.

Convolutions, linear maps and products for each line are free to take either; functions of single elements take what they
are given; everything else takes channels first. Of all that is tried, what costs least by `layout_costs` is written.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from kas.language.dims import ONE
from kas.language.primitives.matmul import Matmul
from kas.language.primitives.products import Bmm, contraction
from kas.language.primitives.reductions import Fold, Normalize
from kas.language.primitives.scaling import Bias, Scale
from kas.language.shapes import CHANNEL, SPATIAL, Shape
from kas.lowering import binary, pointwise
from kas.lowering.graph import Graph, Node
from kas.lowering.layout_costs import LINES, MARGIN, NARROW_COLUMNS, fills, rows, saved, turning
from kas.lowering.sums import OF_ELEMENTS, absorbed

__all__ = ["arrange"]

Last = dict[Node, bool]  # of images: whether the channels are last in memory

_ANY = frozenset(("matmul", "project", "projects", "rows", "swap"))  # what reads one layout as well as the other


def arrange(source: Node, nodes: list[Node], output: Node, graph: Graph) -> tuple[Node, list[Node]]:
    """Output and nodes, each image in the layout that makes the whole cheapest, turned where a reader needs the other one."""
    plan = _Plan(source, nodes, output, graph)
    starts = ({node: last(node) for node in plan.free} for last in (lambda node: False, _is_tapped, lambda node: True))
    best = min(map(plan.improved, starts), key=plan.cost)
    first = dict.fromkeys(plan.free, False)
    return plan.written(best if plan.cost(best) < plan.cost(first) - MARGIN else first)


class _Plan:
    """The nodes of a plan and what may be chosen of them."""

    def __init__(self, source: Node, nodes: list[Node], output: Node, graph: Graph):
        self.nodes, self.source, self.output, self.graph = nodes, source, output, graph
        readers = Counter(read for node in nodes for read in node.ins)
        readers[output] += 1
        sums = absorbed(nodes, readers)
        products = {one: chain for one, chain in sums.items() if chain[-1].op not in OF_ELEMENTS}
        self.fixed = set(products) | {one for chain in products.values() for one in chain}  # written as one call
        tapped = [node for node in nodes if _is_tapped(node)]
        convolved = {read for node in tapped for read in node.ins}  # whose memory is to be without gaps
        self.filled = {node for node in tapped if node not in convolved and fills(node, graph.code)}
        self.saved = {node: saved(node, graph.code, filled=node in self.filled) for node in tapped}
        self.free = [node for node in nodes if node not in self.fixed and _is_free(node)]

    def improved(self, chosen: Last) -> Last:
        """From layouts of all that is free: what is better the other way round is turned, as long as anything is."""
        cost, before = self.cost(chosen), float("inf")
        while cost < before:
            before = cost
            for node in self.free:
                other = chosen | {node: not chosen[node]}
                if (changed := self.cost(other)) < cost:
                    chosen, cost = other, changed
        return chosen

    def cost(self, chosen: Last) -> float:
        """Nanoseconds for one sample, above what the convolutions take with all channels first."""
        layouts, code = self._layouts(chosen), self.graph.code
        turned = self._turned(layouts)
        total = sum(turning(read, code) for read in turned)
        for node in self.nodes:
            if node in self.saved:
                total -= self.saved[node] * layouts[node]
            elif node in chosen and node.op == "convolve":
                base = node.ins[0]
                total += rows(node, code, last=layouts[base] or base in turned) * layouts[node]
            if _is_by_lines(node):
                copied = [*(read for read in node.ins if _is_image(read) and not (layouts[read] or read in turned))]
                copied += [node] if _is_image(node) and not layouts[node] else []
                total += LINES * sum(one.shape.product.value(code.env) for one in copied)
        return total

    def _layouts(self, chosen: Last) -> Last:
        """The layout of each value; one function of two values in different layouts puts the channels last."""
        layouts = {self.source: False}
        for node in self.nodes:
            follows = node not in self.fixed and _follows(node)
            last = follows and any(layouts[read] for read in node.ins if _is_like(read, node))
            layouts[node] = chosen.get(node, last) or (node.op == "swap" and _is_image(node))
        return layouts

    def _turned(self, layouts: Last) -> set[Node]:
        """The images that are there in the other layout too."""
        return {read for node in self.nodes for read in node.ins if self._turns(node, read, layouts)}

    def _turns(self, node: Node, read: Node, layouts: Last) -> bool:
        """Whether a node needs a value in the layout that it does not have."""
        if not _is_image(read) or (node not in self.fixed and _follows(node) and not _is_like(read, node)):
            return False
        if _is_tapped(node) or (node not in self.fixed and _follows(node)):
            return layouts[read] != layouts[node]
        if not layouts[read] or read.op == "swap":
            return False
        channels = read.shape.first.product.value(self.graph.code.env)
        columns = isinstance(node.step, Matmul) and node.step.t[1] and read is node.ins[1]  # one for each channel
        if columns and channels < NARROW_COLUMNS:
            return True
        return not _reads_any(node)

    def written(self, chosen: Last) -> tuple[Node, list[Node]]:
        """Output and nodes for these choices."""
        layouts = self._layouts(chosen)
        new: dict[Node, Node] = {self.source: self.source}
        both = self._turned(layouts)
        turned: dict[Node, Node] = {}
        made: list[Node] = []
        for node in self.nodes:
            ins = []
            for read in node.ins:
                likes_last = _is_by_lines(node) or (layouts[node] and node.op == "convolve")
                turns = self._turns(node, read, layouts) or (likes_last and read in both and not layouts[read])
                if turns and read not in turned:
                    op = "channels first" if layouts[read] else "channels last"
                    turned[read] = Node(op, (new[read],), read.shape)
                    made.append(turned[read])
                ins.append(turned[read] if turns else new[read])
            one = node if tuple(ins) == node.ins else replace(node, ins=tuple(ins))
            own = _with_channels_last(one, node in self.filled) if layouts[node] else [one]
            if node.op == "rows" and layouts[node.ins[0]]:
                own = [replace(one, op="swap")]
            made += own
            new[node] = own[-1]
        return new[self.output], made


def _with_channels_last(node: Node, filled: bool) -> list[Node]:
    """What writes a node with its channels last; `filled`: a convolution with its outputs filled up."""
    if _is_tapped(node):
        return [replace(node, attributes=replace(node.convolution, last=True, filled=filled))]
    if node.op == "bmm":
        return [replace(node, attributes=("turned",))]
    if node.op == "gelu":  # of rows: torch takes half as long again for an image with its channels last
        turned = Shape(node.shape.second, node.shape.first)
        made = replace(node, ins=(Node("swap", node.ins, turned),), shape=turned)
        return [made.ins[0], made, Node("image", (made,), node.shape)]
    if node.op != "convolve":
        return [node]
    made = Node("project", node.ins, Shape(node.shape.second, node.shape.first), attributes=node.attributes)
    return [made, Node("image", (made,), node.shape)]


def _has_positions(node: Node) -> bool:
    first, second = node.shape.first, node.shape.second
    return first.kind == CHANNEL and second.kind == SPATIAL and len(second.dims) == 2 and ONE not in second.dims


def _is_image(node: Node) -> bool:
    """Whether a value has both channels and positions, so that their order in memory matters."""
    return _has_positions(node) and node.shape.first.product is not ONE


def _is_like(read: Node, node: Node) -> bool:
    """Whether a value has as many elements as another, so that their order matters."""
    return _is_image(read) and read.shape.product is node.shape.product


def _is_tapped(node: Node) -> bool:
    """A convolution over more than one position, zeros outside."""
    if node.op != "convolve" or not _has_positions(node):
        return False
    return node.convolution.window.taps > 1 and not node.convolution.window.fill


def _is_by_lines(node: Node) -> bool:
    """A product for each row of an image."""
    return node.op == "bmm" and isinstance(node.step, Bmm) and node.step.batch == ("h",)


def _is_free(node: Node) -> bool:
    """Whether a node can write its image either way."""
    if _is_tapped(node):
        return True
    if not _is_image(node) or not _is_by_lines(node):
        return _is_image(node) and node.op == "convolve" and node.convolution.is_plain_map
    assert isinstance(node.step, Bmm)
    parts = contraction(node.step, *(read.shape for read in node.ins))
    sides = [name for name, _ in node.shape.axes()]
    left = all(f"0.{name}" in sides for name in parts.kept_l)
    return left and parts.kept_r == ("w",) and sides[-1] == "1.w" and not node.step.softmax


def _follows(node: Node) -> bool:
    """Whether a node writes what it reads, element by element."""
    if not _is_image(node):
        return False
    if node.op in pointwise.EXPRESSIONS:
        return True
    if node.op in binary.EXPRESSIONS:  # a repeated image is aligned across channels and positions
        return all(_is_like(read, node) or not _is_image(read) for read in node.ins)
    if node.op == "view":
        return node.shape.second == node.ins[0].shape.second
    if isinstance(node.step, Scale | Bias) and node.op in ("scale", "bias", "affine"):
        return len({name[0] for name in node.step.axes}) == 1  # a parameter of both sides has its own order
    step = node.step
    return node.op == "normalize" and isinstance(step, Normalize) and step.how == "l2" and _whole(node, step.axes)


def _reads_any(node: Node) -> bool:
    """Whether a node reads either layout equally well."""
    if node.op == "fold":
        assert isinstance(node.step, Fold)
        return _whole(node.ins[0], node.step.axes)
    return node.op in _ANY or _is_by_lines(node) or (node.op == "convolve" and node.convolution.is_map)


def _whole(node: Node, axes: tuple[str, ...]) -> bool:
    """Whether axes are all of one side of a node, or of both."""
    sides = [{name for name, _ in node.shape.axes() if name[0] == side} for side in "01"]
    return set(axes) in (*sides, sides[0] | sides[1])
