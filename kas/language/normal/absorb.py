"""What merges into a linear map from below: one function for each op that it may read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kas.language.dims import ONE
from kas.language.normal.arithmetic import add, multiply
from kas.language.normal.layout import Layout, cut, or_full

if TYPE_CHECKING:
    from kas.language.normal.fusion import Pass

__all__ = ["BELOW", "confined"]

Attrs = tuple[Any, ...]


def confined(layout: Layout, side: int) -> bool:
    """Whether a layout flags nothing on the other side."""
    return not any(flag for _, flag in layout[1 - side])


def _map_map(p: Pass, attrs: Attrs, x: int, token: int) -> int | None:
    node = p.graph.nodes[x >> 1]
    side, groups, _, to, taps = attrs
    if node.attrs[0] != side or (taps and node.attrs[4]) or not p.alone(x):
        return None
    inner = node.attrs
    return p.lin((side, p.coarser(groups, inner[1]), inner[2], to, taps or inner[4]), node.ins[0], min(token, node.token))


def _map_scale(p: Pass, attrs: Attrs, x: int, token: int) -> int | None:
    node = p.graph.nodes[x >> 1]
    rest = [t for t in node.ins if p.graph.nodes[t[2] >> 1].op != "w" or t[1] is None or not confined(t[1], attrs[0])]
    if len(rest) == len(node.ins) or not p.alone(x):
        return None
    return p.lin(attrs, multiply(p.graph, rest, node.shape), token)


def _map_bias(p: Pass, attrs: Attrs, x: int, token: int) -> int | None:
    node = p.graph.nodes[x >> 1]
    bias, rest = p.weights(list(node.ins), node.shape)
    if bias is None or not rest or attrs[4] or not p.alone(x):
        return None
    side, to = attrs[0], cut([(attrs[3], True)])
    other = cut([(node.shape[1 - side], True)]) if bias[1] is None else bias[1][1 - side]
    below = p.lin(attrs, add(p.graph, rest, node.shape), token)
    over = or_full((to, other) if side == 0 else (other, to))
    return p.add([(1, None, below), (1, over, bias[2])], p.graph.shape(below))


def _map_shuffle(p: Pass, attrs: Attrs, x: int, token: int) -> int | None:
    node = p.graph.nodes[x >> 1]
    below = p.graph.nodes[node.ins[0] >> 1]
    side = attrs[0]
    if node.attrs[0][1 - side] is not None or below.op != "lin" or below.attrs[0] != side or not p.alone(node.ins[0]):
        return None
    if attrs[4] and below.attrs[4]:
        return None
    return p.lin((side, ONE, below.attrs[2], attrs[3], attrs[4] or below.attrs[4]), below.ins[0], min(token, below.token))


def _map_mean(p: Pass, attrs: Attrs, x: int, token: int) -> int | None:
    node = p.graph.nodes[x >> 1]
    side, groups, _, to, taps = attrs
    folded = node.attrs[0]
    if not confined(folded, side):
        return None
    whole = p.graph.nodes[node.ins[0] >> 1].shape[side]
    last = len(folded[side]) <= 2 and folded[side][-1][1]
    return p.lin((side, groups if last else ONE, whole, to, taps), node.ins[0], token)


def _map_mix(p: Pass, attrs: Attrs, x: int, token: int) -> int | None:
    node = p.graph.nodes[x >> 1]
    side = attrs[0]
    if any(new is not None for _, new in node.attrs[0][1 - side]) or not p.alone(x):
        return None
    whole = p.graph.nodes[node.ins[0] >> 1].shape[side]
    return p.lin((side, ONE, whole, attrs[3], attrs[4]), node.ins[0], min(token, node.token))


def _map_taps(p: Pass, attrs: Attrs, x: int, token: int) -> int | None:
    node = p.graph.nodes[x >> 1]
    side, groups, _, to, taps = attrs
    if taps or node.attrs[0] != side or node.attrs[2] is not ONE:
        return None
    whole = p.graph.nodes[node.ins[0] >> 1].shape[side]
    if groups is not ONE and (whole / groups).fault:
        return None
    return p.lin((side, groups, whole, to, node.attrs[1]), node.ins[0], token)


BELOW = {
    "lin": _map_map,
    "mul": _map_scale,
    "add": _map_bias,
    "perm": _map_shuffle,
    "mean": _map_mean,
    "mix": _map_mix,
    "unf": _map_taps,
}
