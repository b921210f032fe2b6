"""A layered layout of a small directed acyclic graph: layers by longest path, few crossings, nothing overlaps.

Edges that skip layers get a place of their own in each layer between, shared by all edges from the same node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy

__all__ = ["Layout", "layout"]

_SWEEPS = 12
_WEIGHTS = (2.0, 1.0, 8.0)  # of a link between two nodes, a node and a long edge, two parts of a long edge
_CHAINED = 4.0  # of a link between nodes that have no others there

Key = tuple[int, int]  # node and layer; a node's own layer is the node itself, later ones are places of its edges


@dataclass
class Layout:
    """Where nodes and their edges are.

    Attributes:
        layers: the places of each layer, from left to right.
        layer: the layer of each node.
        x: the centre of each place.
    """

    layers: list[list[Key]] = field(default_factory=list)
    layer: dict[int, int] = field(default_factory=dict)
    x: dict[Key, float] = field(default_factory=dict)

    def route(self, source: int, target: int) -> list[Key]:
        """The places that an edge passes, the source first, the target left out."""
        return [(source, i) for i in range(self.layer[source], self.layer[target])]


def layout(
    edges: Sequence[tuple[int, int]],
    widths: Mapping[int, float],
    gap: float,
    ports: Mapping[tuple[int, int], float] | None = None,
) -> Layout:
    """Places for the nodes of `widths`, at least `gap` apart within a layer. Edges lead from smaller to larger numbers.

    `ports`: how far from the centre of its target an edge ends (0 where it is not given); edges are straight if they can be.
    """
    found = Layout()
    for node in sorted(widths):
        found.layer[node] = max((found.layer[source] + 1 for source, target in edges if target == node), default=0)
    links = _places(edges, found)
    _order(found, links)
    _exchange(found, links)
    _positions(found, links, widths, gap, ports or {})
    return found


def _places(edges: Sequence[tuple[int, int]], found: Layout) -> list[tuple[Key, Key]]:
    """Fill the layers; returns the links between places of neighbouring layers."""
    found.layers = [[] for _ in range(1 + max(found.layer.values()))]
    links: set[tuple[Key, Key]] = set()
    for node, start in found.layer.items():
        readers = [target for source, target in edges if source == node]
        end = max((found.layer[target] for target in readers), default=start + 1)
        for depth in range(start, end):
            found.layers[depth].append((node, depth))
            if depth > start:
                links.add(((node, depth - 1), (node, depth)))
        for target in readers:
            links.add(((node, found.layer[target] - 1), (target, found.layer[target])))
    return sorted(links)


def _neighbours(links: list[tuple[Key, Key]]) -> tuple[dict[Key, list[Key]], dict[Key, list[Key]]]:
    above: dict[Key, list[Key]] = {}
    below: dict[Key, list[Key]] = {}
    for source, target in links:
        above.setdefault(target, []).append(source)
        below.setdefault(source, []).append(target)
    return above, below


def _order(found: Layout, links: list[tuple[Key, Key]]) -> None:
    """Order each layer by the mean place of its neighbours, down and up; the order with the fewest crossings stays."""
    above, below = _neighbours(links)
    best = [list(places) for places in found.layers]
    fewest = _crossings(best, links)
    for sweep in range(_SWEEPS):
        near = above if sweep % 2 == 0 else below
        for places in found.layers if sweep % 2 == 0 else reversed(found.layers):
            rank = {key: i for layer in found.layers for i, key in enumerate(layer)}
            means = {key: sum(rank[k] for k in near.get(key, [key])) / len(near.get(key, [key])) for key in places}
            places.sort(key=lambda key: (means[key], rank[key]))
        crossings = _crossings(found.layers, links)
        if crossings < fewest:
            best, fewest = [list(places) for places in found.layers], crossings
    found.layers = best


def _crossings(layers: list[list[Key]], links: list[tuple[Key, Key]]) -> int:
    rank = {key: i for layer in layers for i, key in enumerate(layer)}
    count = 0
    for i, (a, b) in enumerate(links):
        for c, d in links[i + 1 :]:
            count += a[1] == c[1] and (rank[a] - rank[c]) * (rank[b] - rank[d]) < 0
    return count


def _exchange(found: Layout, links: list[tuple[Key, Key]]) -> None:
    """Exchange neighbours in a layer as long as that saves crossings."""
    above, below = _neighbours(links)
    for _ in range(_SWEEPS):
        rank = {key: i for layer in found.layers for i, key in enumerate(layer)}
        changed = False
        for places in found.layers:
            for i in range(len(places) - 1):
                a, b = places[i], places[i + 1]
                near = [([rank[k] for k in side.get(a, [])], [rank[k] for k in side.get(b, [])]) for side in (above, below)]
                saved = sum((x > y) - (x < y) for ours, theirs in near for x in ours for y in theirs)
                if saved > 0:
                    places[i], places[i + 1] = b, a
                    rank[a], rank[b] = i + 1, i
                    changed = True
        if not changed:
            return


def _positions(
    found: Layout,
    links: list[tuple[Key, Key]],
    widths: Mapping[int, float],
    gap: float,
    ports: Mapping[tuple[int, int], float],
) -> None:
    """The places for which all links together are the most upright, so that most are straight: a linear program.

    The sum of the weighted horizontal lengths of the links is the least, as in Gansner et al., A technique for drawing
    directed graphs (1993), section 4; long edges and chains weigh the most.
    """
    if all(len(places) == 1 for places in found.layers) and not any(ports.values()):  # all below one another
        found.x = {places[0]: 0.0 for places in found.layers}
        return
    from scipy.optimize import linprog  # takes half a second to load

    keys = [key for places in found.layers for key in places]
    column = {key: i for i, key in enumerate(keys)}
    readers, read = Counter(source for source, _ in links), Counter(target for _, target in links)
    rows: list[tuple[dict[int, float], float]] = []  # coefficients and upper bounds
    weights = []
    for number, (source, target) in enumerate(links):
        ends = found.layer[target[0]] == target[1]
        passing = (found.layer[source[0]] != source[1]) + (not ends)
        chained = passing == 0 and readers[source] == 1 and read[target] == 1
        weights.append(_CHAINED if chained else _WEIGHTS[passing])
        port = ports.get((source[0], target[0]), 0.0) if ends else 0.0
        for sign in (1.0, -1.0):
            rows.append(({column[source]: sign, column[target]: -sign, len(keys) + number: -1.0}, sign * port))

    def width(key: Key) -> float:
        return widths[key[0]] if found.layer[key[0]] == key[1] else 0.0

    for places in found.layers:
        for a, b in pairwise(places):
            rows.append(({column[a]: 1.0, column[b]: -1.0}, -(width(a) + width(b)) / 2 - gap))
    matrix = numpy.zeros((len(rows), len(keys) + len(links)))
    for i, (row, _) in enumerate(rows):
        for j, value in row.items():
            matrix[i, j] = value
    bounds = [(0.0, 0.0)] + [(None, None)] * (len(keys) - 1) + [(0.0, None)] * len(links)
    solved = linprog([0.0] * len(keys) + weights, matrix, [bound for _, bound in rows], bounds=bounds, method="highs")
    found.x = {key: float(solved.x[i]) for i, key in enumerate(keys)}
