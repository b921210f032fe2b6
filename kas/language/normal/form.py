"""The normal form of a kernel: its graph, rebuilt until weights that may be rescaled or viewed differently are known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from kas.language.dims import Dim
from kas.language.kernel import Kernel
from kas.language.normal.graph import SETS, Graph, Number
from kas.language.normal.reading import read
from kas.language.normal.rules import RULES

__all__ = ["Form", "normal_form", "normal_form_and_factors", "operands"]

_MOST_BUILDS = 12


class KernelDims:
    """The dims of a kernel, which are integers at every target; listed when first asked for."""

    def __init__(self, kernel: Kernel):
        self.kernel = kernel
        self.dims: frozenset[Dim] | None = None

    def __contains__(self, dim: object) -> bool:
        if self.dims is None:
            self.dims = frozenset([dim for _, dim in self.kernel.dims])
        return dim in self.dims


class Form(NamedTuple):
    """A graph and the edge of its output."""

    graph: Graph
    output: int


def normal_form(kernel: Kernel) -> Form:
    """The graph of a kernel in normal form."""
    return normal_form_and_factors(kernel)[0]


def normal_form_and_factors(kernel: Kernel) -> tuple[Form, dict[int, Number]]:
    """The graph of a kernel in normal form, and the number that each rescaled weight is multiplied with.

    It is built as if every weight were used once. If a weight that a rule has viewed differently or rescaled turns out to be
    used in two places, it is built again without such rules for it. If all readers of a weighted tensor multiply it by one
    number, the number goes into the weight, and it is built again.
    """
    known = KernelDims(kernel)
    tied: frozenset[int] = frozenset()
    factors: dict[int, Number] = {}
    for _ in range(_MOST_BUILDS):
        graph = Graph(known, tied, RULES)
        form = Form(graph, read(kernel, graph, factors))
        if not graph.bent and not graph.numbered:
            break
        uses, homes = _uses_and_homes(form)
        shared = {token for token in graph.bent if len(homes[token]) > 1}
        if shared:
            tied |= shared
            continue
        found = _numbers(graph, uses, homes) if graph.numbered else {}
        if not found:
            break
        for token, number in found.items():
            factors[token] = factors.get(token, 1) * number
    else:  # not settled: no weight is viewed differently or rescaled, which is always right
        graph = Graph(known, frozenset(range(1, len(kernel.steps) + 1)), RULES)
        return Form(graph, read(kernel, graph, {})), {}
    return form, factors


def operands(graph: Graph, number: int) -> Sequence[int]:
    """The edges that a node reads."""
    node = graph.nodes[number]
    return [term[2] for term in node.ins] if node.op in SETS else node.ins


def _uses_and_homes(form: Form) -> tuple[dict[int, list[Number]], dict[int, list[int]]]:
    """For each node that the output depends on the numbers it is multiplied with by its readers, and for each token the nodes
    that use its weight."""
    nodes, output = form.graph.nodes, form.output >> 1
    uses: dict[int, list[Number]] = defaultdict(list, {output: [1]})
    homes: dict[int, list[int]] = defaultdict(list)
    for number in range(output, -1, -1):  # a node reads nodes that were made before it
        if number not in uses:
            continue
        node = nodes[number]
        op = node.op
        if node.token and op != "w":
            homes[node.token].append(number)
        if op in SETS:
            for coefficient, _, edge in node.ins:
                uses[edge >> 1].append(coefficient if op == "add" else 1)
                below = nodes[edge >> 1]
                if below.op == "w":
                    homes[below.token].append(number)
        else:
            for edge in node.ins:
                uses[edge >> 1].append(1)
    return uses, homes


def _numbers(graph: Graph, uses: dict[int, list[Number]], homes: dict[int, list[int]]) -> dict[int, Number]:
    """Numbers that go into weights: those with which every reader of a weighted tensor multiplies it."""
    found: dict[int, Number] = {}
    for number in sorted(uses, reverse=True):
        factors = uses[number]
        factor = factors[0]
        if factor != 1 and factors.count(factor) == len(factors):
            token = _holder(graph, number, uses, homes)
            if token and token not in found:
                found[token] = factor
    return found


def _holder(graph: Graph, number: int, uses: dict[int, list[Number]], homes: dict[int, list[int]]) -> int:
    """The token of a weight that a tensor is proportional to; 0 if there is none that nothing else sees."""
    node = graph.nodes[number]
    if node.token and (node.op == "w" or len(homes[node.token]) == 1):
        return node.token
    candidates: list[int] = []
    if node.op in ("lin", "mix", "slide", "roll", "perm", "unf", "mean", "mm"):
        candidates = [edge >> 1 for edge in node.ins]
    elif node.op == "mul":
        candidates = [edge >> 1 for exponent, _, edge in node.ins if exponent == 1]
        candidates.sort(key=lambda n: graph.nodes[n].op != "w")
    for candidate in candidates:
        if uses[candidate] == [1]:
            token = _holder(graph, candidate, uses, homes)
            if token:
                return token
    return 0
