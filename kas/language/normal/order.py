"""The text of a graph, the same for graphs that differ in the numbers of nodes, variables and weights only.

A walk from the output numbers nodes, variables and weights by first sight. The operands of a sum, product or extreme are
visited in the order of their signatures; where signatures tie, every order is tried (up to a bound) and the least text wins.
"""

from __future__ import annotations

from typing import Any

from kas.language.normal.graph import SETS, Graph, Term
from kas.language.normal.texts import template

__all__ = ["Walk", "canonical_order", "canonical_text"]

_MOST_WALKS = 48


class _Names(dict[str, str]):
    """The name of each variable: by number of first sight."""

    def __missing__(self, variable: str) -> str:
        name = self[variable] = f"x{len(self)}"
        return name


class Walk:
    """One walk. `choices`: which of the tied operands to visit first, at each tie; `ties` records how many there were."""

    __slots__ = ("choices", "graph", "lines", "names", "nodes", "seen", "ties", "weights")

    def __init__(self, graph: Graph, choices: list[int]):
        self.graph, self.choices = graph, choices
        self.nodes = graph.nodes
        self.ties: list[int] = []
        self.seen: dict[int, int] = {}
        self.names = _Names()
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
        """The number by first sight of a new node, whose text is written: after the texts of what it reads."""
        nodes, seen = self.nodes, self.seen
        first = mine = len(seen)
        waiting: list[str] = []  # a chain of nodes with one operand each, from the output inwards
        while True:
            node = nodes[number]
            op, ins = node.op, node.ins
            seen[number] = mine
            text = f"{mine}={op}"
            if node.attrs:
                text += self.named(node.attrs)
            if node.token:
                text = f"{text}*{self.weights.setdefault(node.token, len(self.weights))}"
                if node.mark and node.token in self.graph.tied:
                    text += node.mark
            if op in SETS:
                text = f"{text}{self.named(node.shape)}{self.terms(ins)}"
                break
            if len(ins) != 1 or ins[0] >> 1 in seen:
                text = f"{text}({','.join([self.edge(edge) for edge in ins])})"
                break
            mine += 1
            waiting.append(f"{text}({mine}')" if ins[0] & 1 else f"{text}({mine})")
            number = ins[0] >> 1
        self.lines.append(text)
        self.lines += reversed(waiting)
        return first

    def named(self, value: Any) -> str:
        """Attributes as a text, with the names of variables."""
        text, variables = template(value)
        if not variables:
            return text
        if len(variables) == 1:
            return text.replace("{0}", self.names[variables[0]])
        return text.format(*[self.names[variable] for variable in variables])

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
        return f"{term[0]}{self.named(term[1])}{self.edge(term[2])}"


def _first(pair: tuple[str, object]) -> str:
    return pair[0]


def _walks(graph: Graph, output: int) -> tuple[str, Walk]:
    best, walk = _walked(graph, output, [])
    best_walk = walk
    choices = [0] * len(walk.ties)
    for _ in range(_MOST_WALKS - 1):
        while choices and choices[-1] + 1 >= walk.ties[len(choices) - 1]:
            choices.pop()
        if not choices:
            break
        choices[-1] += 1
        text, walk = _walked(graph, output, choices)
        if text < best:
            best, best_walk = text, walk
        choices = [*choices, *[0] * (len(walk.ties) - len(choices))]
    return best, best_walk


def _walked(graph: Graph, output: int, choices: list[int]) -> tuple[str, Walk]:
    walk = Walk(graph, choices)
    walk.visit(output >> 1)
    return ";".join(walk.lines) + ("'" if output & 1 else ""), walk


def canonical_text(graph: Graph, output: int) -> str:
    """The text of what the output depends on."""
    return _walks(graph, output)[0]


def canonical_order(graph: Graph, output: int) -> tuple[str, Walk]:
    """The text, and the walk that wrote it (with the numbers of nodes, variables and weights)."""
    return _walks(graph, output)
