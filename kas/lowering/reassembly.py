"""Reassembly of an unfolded image: for each tap the shifted image times its row of the matrix. The taps are never in memory."""

from __future__ import annotations

from kas.language.dims import ONE, Dim
from kas.lowering.code import Form
from kas.lowering.convolution import padded
from kas.lowering.emitter import Emit, Emitter
from kas.lowering.graph import Graph, Node

__all__ = ["OPTIMIZED", "of_taps"]

_RESULTS, _POSITIONS = 16, 200  # of a position at most, and positions at least, where a position has several results


def of_taps(graph: Graph, node: Node) -> Node | None:
    """What `reassemble` reads is promised taps, zeros outside: a sum over shifted images.

    For several results of a position the sum is as much larger, and gone through for each tap: at many positions that still
    takes a half to a tenth of the time of as many small products.
    """
    source, matrix = node.ins
    made, positions = (graph.code.number(dim) for dim in (_made(matrix), node.shape.second.product))
    if made > 1 and (made > _RESULTS or positions < _POSITIONS):
        return None
    if source.op != "taps" or source.window.fill:
        return None
    side = source.ins[0].shape.first
    if side.dim("kh") is not ONE or side.dim("kw") is not ONE:
        return None
    return graph.make("reassembled", (source.ins[0], matrix), node.shape, attributes=source.window)


def _made(matrix: Node) -> Dim:
    """How many results each position has."""
    return matrix.shape.first.dim("kh") * matrix.shape.first.dim("kw")


def _emit_reassembled(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """The image as `[N, groups, channels, 1, positions]`, the matrix as `[N, groups, 1, taps, made, positions]`."""
    (base, matrix), window, code = node.ins, node.window, emitter.code
    side, rows, positions = base.shape.first, matrix.shape.first, base.shape.second.dims
    groups, channels = (ONE, side.product) if rows.dim("g") is ONE else (side.dim("g"), side.dim("c"))
    there = [i for i, dim in enumerate(positions) if dim is not ONE]
    space = tuple(positions[i] for i in there)
    taps = tuple(Dim.of(window.k[i]) for i in there)
    made = tuple(dim for dim in (_made(matrix),) if dim is not ONE)
    factors = emitter.variable(emitter.reshaped(matrix, (groups, ONE, *taps, *made, *space)))
    image = emitter.variable(padded(emitter.reshaped(base, (groups, channels, *(ONE for _ in made), *space)), window, there))
    sizes = [code.size(dim) for dim in space]
    steps = [name if window.d[i] == 1 else f"{window.d[i]} * {name}" for name, i in zip("ij", there, strict=False)]
    first = ", ".join(["..."] + [f":{size}" for size in sizes])
    near = ", ".join(["..."] + [f"{step} : {step} + {size}" for step, size in zip(steps, sizes, strict=True)])
    row = ", ".join([":", ":", ":", *"ij"[: len(there)]])
    total = emitter.variable(f"{factors}[:, :, :, {', '.join('0' for _ in there)}] * {image}[{first}]")
    loop = f"for i in range(1, {window.taps}):"
    if len(there) == 2:
        loop = f"for i, j in [divmod(tap, {window.k[1]}) for tap in range(1, {window.taps})]:"
    code.add("", f"{loop}\n    {total}.addcmul_({factors}[{row}], {image}[{near}])", "")
    return total, (groups, channels, *made, *space)


OPTIMIZED: dict[str, Emit] = {"reassembled": _emit_reassembled}
