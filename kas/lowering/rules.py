"""The rewrite rules of the optimized lowering: one small function each, and the table of them by op."""

from __future__ import annotations

from dataclasses import replace

from kas.language.dims import ONE
from kas.language.primitives._base import channel_side
from kas.language.primitives.linear import Conv, Fc, Filter, Mix
from kas.language.primitives.scaling import Bias, Scale
from kas.language.shapes import CHANNEL, SPATIAL
from kas.lowering import rules_association as association
from kas.lowering import rules_attention as attention
from kas.lowering import rules_loops as loops
from kas.lowering import rules_maxima as maxima
from kas.lowering import rules_means as means
from kas.lowering import rules_products as products
from kas.lowering import rules_rows as rows
from kas.lowering import rules_taps as taps
from kas.lowering import rules_windows as windows
from kas.lowering.graph import Convolution, Graph, Node, Rule, Weight, Window
from kas.lowering.reassembly import of_taps

__all__ = ["ALTERNATIVES", "CHANNELS_LAST", "RULES", "rules_without"]

_CHEAPER = 0.9  # of the work of two maps, what the product of their weights and one map may take


def _view(graph: Graph, node: Node) -> Node | None:
    """group and ungroup change names only."""
    return graph.make("view", node.ins, node.shape)


def _view_of_view(graph: Graph, node: Node) -> Node | None:
    """Views of views are one view, and none if they lead back."""
    source = node.ins[0]
    if source.shape == node.shape:
        return source
    if source.op == "view":
        return graph.make("view", source.ins, node.shape)
    return None


def _twice(graph: Graph, node: Node) -> Node | None:
    """The same function of its own result: relu and abs change nothing, a second sign change undoes the first."""
    source = node.ins[0]
    if source.op != node.op:
        return None
    return source.ins[0] if node.op == "neg" else source


def _conv(graph: Graph, node: Node) -> Node | None:
    """A conv as it is."""
    step, side = node.step, node.ins[0].shape.first
    assert isinstance(step, Conv)
    groups = side.dim("c") if step.depthwise else side.dim("g")
    convolution = Convolution(Window(step.k, step.d), groups, step.to, Weight("parameter", node.number))
    return graph.make("convolve", node.ins, node.shape, attributes=convolution)


def _fc_is_convolution(graph: Graph, node: Node) -> Node | None:
    """fc next to positions is a 1x1 convolution, grouped if the channels are."""
    step, shape = node.step, node.ins[0].shape
    assert isinstance(step, Fc)
    if channel_side(shape, step.side) != 0 or shape.second.kind != SPATIAL:
        return None
    convolution = Convolution(Window(), shape.first.dim("g"), step.to, Weight("parameter", node.number))
    return graph.make("convolve", node.ins, node.shape, attributes=convolution)


def _mix_is_convolution(graph: Graph, node: Node) -> Node | None:
    """mix over all channel axes next to positions is a 1x1 convolution."""
    step, shape = node.step, node.ins[0].shape
    assert isinstance(step, Mix)
    axes = [f"0.{name}" for name, _ in shape.first.axes()]
    if shape.first.kind != CHANNEL or shape.second.kind != SPATIAL or list(step.axes) != axes:
        return None
    convolution = Convolution(Window(), ONE, node.shape.first.product, Weight("parameter", node.number))
    return graph.make("convolve", node.ins, node.shape, attributes=convolution)


def _filter_is_convolution(graph: Graph, node: Node) -> Node | None:
    """A filter along the positions of an image is a depthwise convolution whose channels share their weight."""
    step, shape = node.step, node.shape
    assert isinstance(step, Filter)
    if shape.first.kind != CHANNEL or shape.second.kind != SPATIAL or step.axis[0] == "0":
        return None
    along = [step.axis[2] == axis for axis in "hw"]
    k, d = (tuple(value if here else 1 for here in along) for value in (step.k, step.d))
    channels = shape.first.product
    convolution = Convolution(Window((k[0], k[1]), (d[0], d[1])), channels, channels, Weight("repeated", node.number))
    return graph.make("convolve", node.ins, shape, attributes=convolution)


def _chain(graph: Graph, node: Node) -> Node | None:
    """Two linear maps of channels in a row are one, with the product of their weights, where that is less work."""
    source, own = node.ins[0], node.convolution
    while source.op == "view" and source not in graph.shared and source.shape.second == source.ins[0].shape.second:
        source = source.ins[0]
    if source.op != "convolve" or source in graph.shared:
        return None
    first = source.convolution
    for one in (own, first):
        if not one.is_map or one.weight.kind != "parameter":
            return None
    sides = (source.ins[0].shape.first.product, own.out, first.out, node.shape.second.product)
    width, out, inner, positions = (dim.value(graph.code.env) for dim in sides)
    if first.bias or out * inner * width + positions * width * out > _CHEAPER * positions * inner * (width + out):
        return None
    weight = Weight("chain", own.weight.number, first.weight.number, (own.out, first.out))
    return graph.make("convolve", source.ins, node.shape, attributes=replace(own, weight=weight))


def _bias_of_convolution(graph: Graph, node: Node) -> Node | None:
    """A bias over the channels is the convolution's own, one pass less."""
    step, source = node.step, node.ins[0]
    assert isinstance(step, Bias)
    channels = tuple(f"0.{name}" for name, _ in node.shape.first.axes())
    if source.op != "convolve" or source in graph.shared or step.axes != channels or source.convolution.bias:
        return None
    return graph.make("convolve", source.ins, node.shape, attributes=replace(source.convolution, bias=node.number))


def _bias_of_scale(graph: Graph, node: Node) -> Node | None:
    """A scale and a bias over the same axes are one pass."""
    step, source = node.step, node.ins[0]
    assert isinstance(step, Bias)
    if source.op != "scale" or source in graph.shared:
        return None
    assert isinstance(source.step, Scale)
    if source.step.axes != step.axes:
        return None
    return graph.make("affine", source.ins, node.shape, step, node.number, (source.number,))


RULES: dict[str, tuple[Rule, ...]] = {
    "group": (_view,),
    "ungroup": (_view,),
    "view": (_view_of_view, taps.view, taps.view_of_scale),
    "transpose": (taps.below,),
    "unfold": (taps.unfold,),
    **dict.fromkeys(("relu", "abs", "neg"), (_twice, taps.below)),
    **dict.fromkeys(("gelu", "sigmoid", "tanh", "exp", "sin", "sqrt", "sqr"), (taps.below,)),
    "add": (taps.both, rows.sum_of_swaps),
    **dict.fromkeys(("sub", "max", "min", "div"), (taps.both,)),
    "mul": (taps.both, taps.gate),
    "scale": (taps.scale, products.scale_of_product),
    "fold": (
        windows.fold_base,
        windows.fold_apart,
        windows.fold_max,
        windows.fold_mean,
        windows.fold_scaled,
        windows.fold_product,
        means.mean,
        maxima.growing,
        maxima.shifted,
        loops.fold,
    ),
    "conv": (_conv,),
    "convolve": (association.map_of_product, _chain),
    "fc": (windows.fc, windows.fc_scaled, loops.fc, _fc_is_convolution),
    "mix": (windows.mix, loops.mix, _mix_is_convolution),
    "filter": (taps.filter_of_taps, _filter_is_convolution),
    "bias": (_bias_of_convolution, _bias_of_scale),
    "matmul": (association.gram_scores, association.factors_of_scores, attention.attention),
    "bmm": (association.gram_scores, association.factors_of_scores, attention.batched, rows.by_lines),
    "reassemble": (of_taps,),
    "rows": (rows.projected,),
    "normalize": (rows.standardized,),
    "unwindow": (rows.unwindowed,),
}

CHANNELS_LAST = "channels last"  # no rule, but what is done to the whole plan

# Rules that are not faster everywhere: what `kas.lowering.measured` tries to do without.
ALTERNATIVES: dict[str, tuple[Rule, ...]] = {
    "fused attention": (attention.attention, attention.batched),
    "loops over taps": (loops.fold, loops.mix, loops.fc, of_taps),
    "product of weights": (_chain,),
    "another association": (association.map_of_product, association.gram_scores, association.factors_of_scores),
    CHANNELS_LAST: (),
}


def rules_without(name: str) -> dict[str, tuple[Rule, ...]]:
    """The table without the rules of one of the alternatives."""
    left_out = ALTERNATIVES[name]
    return {op: tuple(rule for rule in rules if rule not in left_out) for op, rules in RULES.items()}
