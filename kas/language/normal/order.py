"""The text of a graph, the same for graphs that differ in the numbers of nodes, variables and weights only.

A walk from the output numbers nodes, variables and weights by first sight. The operands of a sum, product or extreme are
visited in the order of their signatures; where signatures tie, every order is tried (up to a bound) and the least text wins.
"""

from __future__ import annotations

from kas.language.normal.graph import SETS, Graph, Term
from kas.language.normal.texts import named_text

__all__ = ["Walk", "canonical_order", "canonical_text"]

_MOST_WALKS = 48


class Walk:
    """One walk. `choices`: which of the tied operands to visit first, at each tie; `ties` records how many there were."""

    def __init__(self, graph: Graph, choices: list[int]):
        self.graph, self.choices = graph, choices
        self.nodes = graph.nodes
        self.ties: list[int] = []
        self.seen: dict[int, int] = {}
        self.variables: dict[str, str] = {}
        self.weights: dict[int, int] = {}
        self.lines: list[str] = []

    def edge(self, edge: int) -> str:
        """The number of a tensor, marked if it is read transposed."""
        mine = self.seen.get(edge >> 1)
        if mine is None:
            mine = self.visit(edge >> 1)
        if edge & 1 and self.nodes[edge >> 1].op != "w":  # a weight has no sides of its own
            return f"{mine}'"
        return str(mine)

    def visit(self, number: int) -> int:
        """The number by first sight of a new node, whose text is written."""
        node = self.nodes[number]
        mine = self.seen[number] = len(self.seen)
        text = node.op
        if node.attrs:
            text += named_text(node.attrs, self.name)
        if node.token:
            text += f"*{self.weights.setdefault(node.token, len(self.weights))}"
            if node.mark and node.token in self.graph.tied:
                text += node.mark
        if node.op in SETS:
            text += named_text(node.shape, self.name) + self.terms(node.ins)
        else:
            text += f"({','.join([self.edge(edge) for edge in node.ins])})"
        self.lines.append(f"{mine}={text}")
        return mine

    def name(self, variable: str) -> str:
        """A variable by number of first sight."""
        return self.variables.setdefault(variable, f"x{len(self.variables)}")

    def terms(self, terms: tuple[Term, ...]) -> str:
        """The operands of a sum, product or extreme."""
        if len(terms) == 1:
            return f"[{self.term(terms[0])}]"
        rest = sorted([(self.graph.term_key(term), term) for term in terms], key=_first)
        if len({key for key, _ in rest}) == len(rest):
            return f"[{','.join([self.term(term) for _, term in rest])}]"
        parts = []
        while rest:
            tied = [i for i, pair in enumerate(rest) if pair[0] == rest[0][0]]
            known = [i for i in tied if rest[i][1][2] >> 1 in self.seen]
            if known:
                at = min(known, key=lambda i: self.seen[rest[i][1][2] >> 1])
            elif len(tied) > 1:
                at = self.choices[len(self.ties)] if len(self.ties) < len(self.choices) else 0
                self.ties.append(len(tied))
            else:
                at = 0
            parts.append(self.term(rest.pop(at)[1]))
        return f"[{','.join(parts)}]"

    def term(self, term: Term) -> str:
        """One operand."""
        return f"{term[0]}{named_text(term[1], self.name)}{self.edge(term[2])}"


def _first(pair: tuple[str, object]) -> str:
    return pair[0]


def _walks(graph: Graph, output: int) -> tuple[str, Walk]:
    best: tuple[str, Walk] | None = None
    choices: list[int] = []
    for _ in range(_MOST_WALKS):
        walk = Walk(graph, choices)
        walk.edge(output)
        text = ";".join(walk.lines) + ("'" if output & 1 else "")
        if best is None or text < best[0]:
            best = text, walk
        choices = [*choices, *[0] * (len(walk.ties) - len(choices))]
        while choices and choices[-1] + 1 >= walk.ties[len(choices) - 1]:
            choices.pop()
        if not choices:
            break
        choices[-1] += 1
    assert best is not None
    return best


def canonical_text(graph: Graph, output: int) -> str:
    """The text of what the output depends on."""
    return _walks(graph, output)[0]


def canonical_order(graph: Graph, output: int) -> tuple[str, Walk]:
    """The text, and the walk that wrote it (with the numbers of nodes, variables and weights)."""
    return _walks(graph, output)
