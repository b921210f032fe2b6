"""The optimized lowering: program -> graph, rewritten while it is made -> lines.

Views cost nothing: a value keeps the form that it was made in until a reader needs another one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from kas.language.kernel import Kernel
from kas.language.primitives.products import Bmm
from kas.lowering import (
    association,
    attention,
    binary,
    linear,
    loops,
    matmul,
    pointwise,
    products,
    reassembly,
    reductions,
    rows,
    scaling,
    spatial,
    views,
    windows,
)
from kas.lowering.code import Code, form_of
from kas.lowering.emitter import Emit, Emitter, Value
from kas.lowering.graph import Attributes, Graph, Node
from kas.lowering.layouts import arrange
from kas.lowering.matrices import kept_as_matrices
from kas.lowering.output import arranged
from kas.lowering.roots import left_to_readers
from kas.lowering.rules import CHANNELS_LAST, RULES, rules_without
from kas.lowering.rules_rows import projects_once
from kas.lowering.sums import absorbed, emit_absorbed

__all__ = ["optimized", "plan"]

_EMIT: dict[str, Emit] = {}
for _family in (
    *(views, spatial, linear, scaling, reductions, pointwise, binary, windows),
    *(matmul, products, attention, rows, association, reassembly),
):
    _EMIT.update(_family.OPTIMIZED)
_EMIT |= loops.OPTIMIZED
_EMIT["loop"] = partial(loops.emit_loop, lambda: _EMIT)


def optimized(kernel: Kernel, env: Mapping[str, int], code: Code | None = None, without: str = "") -> Code:
    """The forward of a kernel as an expert would write it; `without` the rules of one of the alternatives."""
    code = Code(kernel, env) if code is None else code
    source, output, nodes = plan(kernel, code, without)
    readers = Counter(i for node in nodes for i in node.ins)
    readers[output] += 1
    code.channel_check = not any(node.op == "convolve" and _behind(node.ins[0]) is source for node in nodes)
    sums = absorbed(nodes, readers)
    wholes = attention.read_whole(nodes, readers)
    written_later = {one for chain in sums.values() for one in chain} | {part for node in wholes for part in node.ins}
    emitter = Emitter(code, readers, kept_as_matrices(nodes, sums), left_to_readers(nodes, sums))
    emitter.start(source, _input(emitter, source))
    for node in nodes:
        if node in sums:
            emitter.write(node, *emit_absorbed(emitter, node, sums[node]))
        elif node in wholes:
            emitter.write(node, *attention.emit_of_product(emitter, node, wholes[node]))
        elif node not in written_later:
            emitter.write(node, *_EMIT[node.op](emitter, node))
    value = emitter.values[output]
    result = arranged(code, value.name, value.form, output.shape)
    if code.lines and code.lines[-1][0] == result == value.name:
        _, expression, comment = code.lines.pop()
        code.add("return", expression, comment)
    else:
        code.add("return", result, "")
    return code


def _input(emitter: Emitter, source: Node) -> Value:
    """The input, as a matrix if its readers want it so."""
    form = form_of(source.shape)
    wanted = emitter.wanted(source, form)
    if wanted != form:
        emitter.code.add("x", emitter.code.reshape("x", wanted), str(source.shape))
    return Value("x", wanted)


def plan(kernel: Kernel, code: Code, without: str = "") -> tuple[Node, Node, list[Node]]:
    """Input, output, and the nodes to evaluate, in order; `without` as of `optimized`."""
    graph = Graph(code, rules_without(without) if without else RULES)
    source = graph.make("input", (), kernel.shapes[0])
    tensors = [source]
    reads = Counter(i for step in kernel.steps for i in step.ins)
    other = {i for step in kernel.steps if not (isinstance(step, Bmm) and set(step.batch) <= {"h", "w"}) for i in step.ins}
    if reads[0] > 1:
        graph.shared.add(source)
    for number, (step, outcome) in enumerate(zip(kernel.steps, kernel.outcomes, strict=True), 1):
        ins = tuple(tensors[i] for i in step.ins)
        node = graph.make(step.op, ins, outcome.shape, step, number if outcome.weight is not None else 0)
        if reads[number] > 1 or node in tensors:
            graph.shared.add(node)
        graph.reads[node] += reads[number]
        if number not in other and node not in tensors:
            graph.along_lines.add(node)
        elif node in tensors:
            graph.along_lines.discard(node)
        tensors.append(node)
    output = tensors[next(i for i in range(len(tensors)) if not reads[i])]
    output, nodes = projects_once(_needed(graph, source, output), output, graph)
    if without != CHANNELS_LAST:
        output, nodes = arrange(source, nodes, output, graph)
    return source, *_taps_once(nodes, output)


def _needed(graph: Graph, source: Node, output: Node) -> list[Node]:
    """The nodes that the output depends on, without the input, in the order in which they were made."""
    needed, todo = {output}, [output]
    while todo:
        for node in todo.pop().ins:
            if node not in needed:
                needed.add(node)
                todo.append(node)
    return [node for node in graph.nodes if node in needed and node is not source]


def _taps_once(nodes: list[Node], output: Node) -> tuple[Node, list[Node]]:
    """Output and nodes, with the taps of one image that are made in memory under several names made once."""
    made: dict[tuple[Node, Attributes], Node] = {}
    new: dict[Node, Node] = {}
    for node in nodes:
        ins = tuple(new.get(read, read) for read in node.ins)
        new[node] = node if ins == node.ins else replace(node, ins=ins)
        if node.op != "taps":
            continue
        image = ins[0]
        while image.op == "view" and image.shape.second == image.ins[0].shape.second:
            image = image.ins[0]
        first = made.setdefault((image, node.attributes), new[node])
        if first is not new[node]:
            new[node] = Node("view", (first,), node.shape)
    read = {one for node in new.values() for one in node.ins} | {new[output]}
    return new[output], [node for node in new.values() if node in read]


def _behind(node: Node) -> Node:
    """The value whose channels a node has, as far as views and functions of single elements tell."""
    while node.op in ("view", "channels last") or node.op in pointwise.EXPRESSIONS:
        node = node.ins[0]
    return node
