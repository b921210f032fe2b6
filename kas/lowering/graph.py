"""The plan of the optimized lowering: a graph of nodes, each a step of the program or what several steps became.

Nodes are made through `Graph.make`, which applies the rewrite rules of their op first and returns the known node where an
equal one exists, so that shared sub-expressions are computed once. Nodes that nothing reads any more are never emitted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from kas.language.dims import ONE, Dim
from kas.language.primitives import Step
from kas.language.shapes import Shape
from kas.lowering.code import Code

__all__ = ["POINT", "Attributes", "Convolution", "Graph", "Node", "Rule", "TapLoop", "Weight", "Window"]


@dataclass(frozen=True)
class Window:
    """The taps over h and w: how many (1 for none), how far apart, and what a tap outside reads."""

    k: tuple[int, int] = (1, 1)
    d: tuple[int, int] = (1, 1)
    fill: float = 0.0

    def over(self, axes: tuple[str, ...], *, keep: bool = True) -> Window:
        """The part over the named tap axes (`"0.kh"`), or with `keep=False` the other part."""
        kept = [(f"0.k{axis}" in axes) == keep for axis in "hw"]
        k, d = (tuple(v if yes else 1 for v, yes in zip(pair, kept, strict=True)) for pair in (self.k, self.d))
        return Window((k[0], k[1]), (d[0], d[1]), self.fill)

    def joined(self, other: Window) -> Window:
        """Both, over different axes, zeros outside."""
        return Window(
            (self.k[0] * other.k[0], self.k[1] * other.k[1]),
            (self.d[0] * other.d[0], self.d[1] * other.d[1]),
        )

    @property
    def axes(self) -> tuple[str, ...]:
        """The tap axes that are there."""
        return tuple(f"0.k{axis}" for axis, k in zip("hw", self.k, strict=True) if k > 1)

    @property
    def padding(self) -> tuple[int, int]:
        return (self.d[0] * (self.k[0] - 1) // 2, self.d[1] * (self.k[1] - 1) // 2)

    @property
    def taps(self) -> int:
        return self.k[0] * self.k[1]


POINT = Window()


@dataclass(frozen=True)
class Weight:
    """The weight of a convolution, `[out, in, kh, kw]`, from the parameters of the program.

    Attributes:
        kind: "parameter" as it is; "product" of it and the scale `scale`; "repeated" once for each group;
            "chain" the product of it, `[out, inner]` as in `full`, and the parameter `scale`, `[inner, in]`;
            "mean": the scale `scale` over the number of elements of `count`; "constant": one over `count`.
        number: the step of the parameter.
        scale: the step of a scale, whose weight, viewed as `scale_form` (ONE where it repeats), has the axes of `full`.
        count: the product of the axes that a mean removes.

    Or made from another one, `inner`, of a convolution with the weight shape `full` and `count` groups: "turned" with the two
    taps exchanged and the first of them then joined to the channels; "averaged" over the outputs.
    """

    kind: str
    number: int = 0
    scale: int = 0
    full: tuple[Dim, ...] = ()
    scale_form: tuple[Dim, ...] = ()
    count: Dim | None = None
    inner: Weight | None = None


@dataclass(frozen=True)
class Convolution:
    """A convolution of an image `[channel | spatial]`, of the same size; `last`: of one with its channels last
    in memory, whose weight is brought in that order too; `filled`: with outputs of zeros up to a multiple of 8."""

    window: Window
    groups: Dim
    out: Dim
    weight: Weight
    bias: int = 0  # the step of its bias, 0 for none; an averaged weight has an averaged bias
    last: bool = False
    filled: bool = False

    @property
    def is_map(self) -> bool:
        """Whether it maps the channels of each position, all of them together."""
        return self.window.taps == 1 and self.groups is ONE

    @property
    def is_plain_map(self) -> bool:
        """Whether it is such a map with a weight of its own, and nothing more."""
        return self.is_map and self.weight.kind == "parameter" and not self.bias


@dataclass(frozen=True, eq=False)
class TapLoop:
    """A loop over all taps of a window.

    Attributes:
        how: what is made of the values of all taps: "sum", "mean" or "max".
        window: the taps; their distances are those of the nodes that read them.
        nodes: the nodes of one tap, in order.
        leaves: what stands in them for the inputs of the loop.
        last: the value of one tap.
    """

    how: str
    window: Window
    nodes: tuple[Node, ...]
    leaves: tuple[Node, ...]
    last: Node


Attributes = Window | Convolution | TapLoop | tuple[object, ...] | None


@dataclass(frozen=True, eq=False)
class Node:
    """One value. `step` has the attributes of a step of the program, `attributes` those of anything else."""

    op: str
    ins: tuple[Node, ...]
    shape: Shape
    step: Step | None = None
    number: int = 0  # the step whose parameter it reads
    attributes: Attributes = None

    @property
    def window(self) -> Window:
        assert isinstance(self.attributes, Window)
        return self.attributes

    @property
    def convolution(self) -> Convolution:
        assert isinstance(self.attributes, Convolution)
        return self.attributes


Rule = Callable[["Graph", Node], "Node | None"]


class Graph:
    """All nodes in the order in which they were made, which is an order of evaluation."""

    def __init__(self, code: Code, rules: Mapping[str, tuple[Rule, ...]]):
        self.code = code
        self.rules = rules
        self.nodes: list[Node] = []
        self.shared: set[Node] = set()  # values of the program that several steps read
        self.reads: Counter[Node] = Counter()  # how many steps of the program read a value
        self.along_lines: set[Node] = set()  # values that only products for each row or column read
        self._known: dict[tuple[object, ...], Node] = {}

    def make(
        self,
        op: str,
        ins: tuple[Node, ...],
        shape: Shape,
        step: Step | None = None,
        number: int = 0,
        attributes: Attributes = None,
    ) -> Node:
        """The node for an operation: what the rules make of it, a known equal one, or a new one."""
        if step is not None:
            step = replace(step, ins=())
        node = Node(op, ins, shape, step, number, attributes)
        for rule in self.rules.get(op, ()):
            better = rule(self, node)
            if better is not None:
                return better
        key = (op, *(id(i) for i in ins), shape, type(step), step, number, attributes)
        known = self._known.get(key)
        if known is None:
            self._known[key] = known = node
            self.nodes.append(node)
        return known

    def again(self, node: Node, ins: tuple[Node, ...], shape: Shape) -> Node:
        """The same operation on other inputs."""
        return self.make(node.op, ins, shape, node.step, node.number, node.attributes)
