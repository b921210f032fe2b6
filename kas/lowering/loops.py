"""Writing loops over taps: the values of one tap, which the next one overwrites, and what adds them up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from textwrap import indent

from kas.language.dims import ONE, Dim
from kas.lowering.code import Form, form_of
from kas.lowering.convolution import padded
from kas.lowering.emitter import Emit, Emitter
from kas.lowering.graph import Node, TapLoop
from kas.lowering.spatial import image_form

__all__ = ["OPTIMIZED", "emit_loop"]

_JOIN = {"mean": "{total} + {one}", "sum": "{total} + {one}", "max": "torch.maximum({total}, {one})"}


def emit_loop(table: Callable[[], dict[str, Emit]], emitter: Emitter, node: Node) -> tuple[str, Form]:
    """A loop over the taps, with the sum, mean or maximum of its values. `table` writes the nodes of the body."""
    loop = node.attributes
    assert isinstance(loop, TapLoop)
    _pad(emitter, node, loop)
    image = next(name for one, name in emitter.pads.items() if one.op == "tap")
    total = emitter.variable(f"{image}.new_full((), -torch.inf)" if loop.how == "max" else "self.zero")
    lines, names, one, form = _body(table(), emitter, node, loop)
    lines.append(f"{total} = {_JOIN[loop.how].format(total=total, one=one)}")
    counts = [(name, k) for name, k in zip("ij", loop.window.k, strict=True) if k > 1]
    where = f"for {counts[0][0]} in range({counts[0][1]}):"
    if len(counts) == 2:
        where = f"for i, j in [divmod(tap, {counts[1][1]}) for tap in range({loop.window.taps})]:"
    emitter.code.add("", "\n".join([where, indent("\n".join(lines), "    ")]), "")
    if names:
        emitter.code.add("", f"del {', '.join(names)}", "")
    return f"{total} / {loop.window.taps}" if loop.how == "mean" else total, form


def _pad(emitter: Emitter, node: Node, loop: TapLoop) -> None:
    """Pad what the taps read, each image once."""
    outside = dict(zip(loop.leaves, node.ins, strict=True))
    known: dict[str, str] = {}
    emitter.pads.clear()
    for one in loop.nodes:
        if one.op == "tap":
            base = outside[one.ins[0]]
            there = [i for i, dim in enumerate(base.shape.second.dims) if dim is not ONE]
            call = padded(emitter.reshaped(base, image_form(base.shape)), one.window, there)
            if call not in known:
                known[call] = emitter.variable(call)
            emitter.pads[one] = known[call]
        elif one.op == "tap fc":
            emitter.pads[one] = emitter.variable(_by_taps(emitter, one))


def _by_taps(emitter: Emitter, node: Node) -> str:
    """The weight of an fc of taps as a matrix for each tap: a slice of the weight as it is stored would be copied each time."""
    number, (g, c, *taps) = _weight_of(node)
    count, out = emitter.code.number, node.shape.first.product / g
    weight = emitter.parameter(number, [count(g), count(out), count(c), *(count(dim) for dim in taps)])
    order = (*range(3, 3 + len(taps)), 0, 1, 2)
    return f"{weight}.permute({', '.join(map(str, order))}).contiguous()"


def _weight_of(node: Node) -> tuple[int, list[Dim]]:
    """The step of the weight of an fc of taps, and the dims of what it maps: g, c and the taps."""
    assert isinstance(node.attributes, tuple)
    number, axes = node.attributes
    assert isinstance(number, int)
    assert isinstance(axes, tuple)
    return number, [dim for dim, _ in axes]


def _body(table: dict[str, Emit], emitter: Emitter, node: Node, loop: TapLoop) -> tuple[list[str], list[str], str, Form]:
    """The lines for one tap, the names that they use, its value and the value's form."""
    readers = Counter(read for one in loop.nodes for read in one.ins)
    readers[loop.last] += 1
    with emitter.scope(readers) as lines:
        for leaf, outer in zip(loop.leaves, node.ins, strict=True):
            emitter.start(leaf, emitter.values[outer])
        for one in loop.nodes:
            emitter.write(one, *table[one.op](emitter, one))
        value = emitter.values[loop.last]
    text = [f"{name} = {expression}" if name else expression for name, expression, _ in lines]
    name, form = value.name, value.form
    if lines and lines[-1][0] == name and sum(line[0] == name for line in lines) == 1:
        name = f"({text.pop().partition(' = ')[2]})"
    return text, sorted({line[0] for line in lines[: len(text)]} - {""}), name, form


def _emit_tap(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """One shifted image: a slice of the padded one."""
    window, positions = node.window, node.shape.second.dims
    there = [i for i, dim in enumerate(positions) if dim is not ONE]
    slices = []
    for i in there:
        start = "ij"[i] if window.d[i] == 1 else f"{window.d[i]} * {'ij'[i]}"
        slices.append(":" if window.k[i] == 1 else f"{start} : {start} + {emitter.code.size(positions[i])}")
    return f"{emitter.pads[node]}[..., {', '.join(slices)}]", image_form(node.shape)


_INDEX = {"0.kh": "i", "0.kw": "j"}


def _part(emitter: Emitter, number: int, axes: tuple[tuple[Dim, str, bool], ...]) -> str:
    """The weight of a scale or bias for one tap, in the form of one torch axis for each axis that is left."""
    sizes = [emitter.code.number(dim) if own else 1 for dim, _, own in axes]
    index = [(_INDEX[name] if own else "0") if name in _INDEX else ":" for _, name, own in axes]
    return f"{emitter.parameter(number, sizes)}[{', '.join(index)}]"


def _emit_scaled(sign: str, emitter: Emitter, node: Node) -> tuple[str, Form]:
    assert isinstance(node.attributes, tuple)
    number, axes = node.attributes
    assert isinstance(number, int)
    assert isinstance(axes, tuple)
    return f"{emitter.axes(node.ins[0])} {sign} {_part(emitter, number, axes)}", form_of(node.shape)


def _emit_mixed(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """One number of the weight of a mix over taps."""
    assert isinstance(node.attributes, tuple)
    number, axes = node.attributes
    assert isinstance(number, int)
    assert isinstance(axes, tuple)
    value = emitter.values[node.ins[0]]
    weight = emitter.parameter(number, [emitter.code.number(dim) for dim, _ in axes])
    return f"{value.name} * {weight}[{', '.join(_INDEX[name] for _, name in axes)}]", value.form


def _emit_mapped(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """The linear map of the channels for one tap."""
    assert isinstance(node.attributes, tuple)
    names = [name for _, name in node.attributes[1]]  # type: ignore[attr-defined]
    _, (g, c, *_rest) = _weight_of(node)
    out, rest = node.shape.first.product / g, node.shape.second.product
    index = ", ".join(_INDEX[name] for name in names if name in _INDEX)
    return f"torch.matmul({emitter.pads[node]}[{index}], {emitter.reshaped(node.ins[0], (g, c, rest))})", (g, out, rest)


OPTIMIZED: dict[str, Emit] = {
    "tap": _emit_tap,
    "tap scale": lambda emitter, node: _emit_scaled("*", emitter, node),
    "tap bias": lambda emitter, node: _emit_scaled("+", emitter, node),
    "tap mix": _emit_mixed,
    "tap fc": _emit_mapped,
}
