"""A layered layout of a small directed acyclic graph: layers by longest path, few crossings, nothing overlaps.

Edges that skip layers get a place of their own in each layer between, shared by all edges from the same node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import networkx

__all__ = ["Layout", "layout"]

_SWEEPS = 12

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


def layout(edges: Sequence[tuple[int, int]], widths: Mapping[int, float], gap: float) -> Layout:
    """Places for the nodes of `widths`, at least `gap` apart within a layer. Edges lead from earlier to later layers."""
    graph = networkx.DiGraph()
    graph.add_nodes_from(widths)
    graph.add_edges_from(edges)
    found = Layout()
    for depth, nodes in enumerate(networkx.topological_generations(graph)):
        found.layer.update(dict.fromkeys(nodes, depth))
    links = _places(graph, found)
    _order(found, links)
    _positions(found, links, widths, gap)
    return found


def _places(graph: networkx.DiGraph, found: Layout) -> list[tuple[Key, Key]]:
    """Fill the layers; returns the links between places of neighbouring layers."""
    found.layers = [[] for _ in range(1 + max(found.layer.values()))]
    links: set[tuple[Key, Key]] = set()
    for node in sorted(graph.nodes):
        start = found.layer[node]
        end = max((found.layer[target] for target in graph.successors(node)), default=start + 1)
        for depth in range(start, end):
            found.layers[depth].append((node, depth))
            if depth > start:
                links.add(((node, depth - 1), (node, depth)))
        for target in graph.successors(node):
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


def _positions(found: Layout, links: list[tuple[Key, Key]], widths: Mapping[int, float], gap: float) -> None:
    """Move each place towards its neighbours, as far as the others in its layer let it."""
    above, below = _neighbours(links)

    def width(key: Key) -> float:
        return widths[key[0]] if found.layer[key[0]] == key[1] else 0.0

    for places in found.layers:
        at = 0.0
        for key in places:
            found.x[key] = at + width(key) / 2
            at += width(key) + gap
    for sweep in range(2 * _SWEEPS):
        near = above if sweep % 2 == 0 else below
        for places in found.layers if sweep % 2 == 0 else reversed(found.layers):
            wanted = [sum(found.x[k] for k in near.get(key, [key])) / len(near.get(key, [key])) for key in places]
            apart = [(width(a) + width(b)) / 2 + gap for a, b in pairwise(places)]
            for key, x in zip(places, _separated(wanted, apart), strict=True):
                found.x[key] = x


def _separated(wanted: list[float], apart: list[float]) -> list[float]:
    """The nearest positions (least squares) to the wanted ones that are at least so far apart: isotonic regression."""
    offsets = [0.0]
    for distance in apart:
        offsets.append(offsets[-1] + distance)
    blocks: list[tuple[float, int]] = []  # mean and length
    for value, offset in zip(wanted, offsets, strict=True):
        mean, length = value - offset, 1
        while blocks and blocks[-1][0] > mean:
            other, count = blocks.pop()
            mean, length = (mean * length + other * count) / (length + count), length + count
        blocks.append((mean, length))
    levels = [mean for mean, length in blocks for _ in range(length)]
    return [level + offset for level, offset in zip(levels, offsets, strict=True)]
