"""Writing what unfolds became: convolutions with their weights, and sums over shifted images."""

from __future__ import annotations

from dataclasses import replace

from kas.language.dims import ONE, Dim
from kas.language.primitives._base import product
from kas.lowering.code import Form
from kas.lowering.emitter import Emitter
from kas.lowering.graph import Convolution, Node, Window
from kas.lowering.layout_costs import BLOCK
from kas.lowering.matmul import scaled

__all__ = ["added_product", "batched", "emit_convolve", "emit_cover", "emit_covered", "emit_local", "padded"]


def emit_convolve(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """A convolution over the positions that are there; a matrix product where it has no taps."""
    conv, base = node.convolution, node.ins[0]
    if conv.window.taps == 1:
        return _emit_point(emitter, node)
    positions = base.shape.second.dims
    there = [i for i, dim in enumerate(positions) if dim is not ONE]
    space = tuple(positions[i] for i in there)
    channels = base.shape.first.product
    image = emitter.reshaped(base, (channels, *space))
    if conv.window.fill:
        image = emitter.variable(padded(image, conv.window, there))
    shape = (conv.out, channels / conv.groups, *(Dim.of(conv.window.k[i]) for i in there))
    weight = _weight(emitter, conv, image, shape)
    bias = f", {_bias(emitter, conv, (conv.out,))}" if conv.bias else ""
    options, cut = _options(emitter, conv, there), ""
    if conv.last and conv.groups is ONE:
        weight = emitter.code.weight_with_channels_last(weight)
        if conv.filled:
            added = _added_outputs(emitter.code.number(conv.out))
            weight = f"F.pad({weight}, (0, 0, 0, 0, 0, 0, 0, {added}))"
            bias = bias and f", F.pad({bias[2:]}, (0, {added}))"
            cut = f".narrow(1, 0, {emitter.code.number(conv.out)})"
    return f"F.conv{len(there)}d({image}, {weight}{bias}{options}){cut}", (conv.out, *space)


def _added_outputs(out: int) -> str:
    """How many outputs of zeros fill up to a multiple of 8."""
    return str(-out % BLOCK) if isinstance(out, int) else f"-{out!r} % {BLOCK}"


def _emit_point(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """No taps: a batch of products of the weight with `[channels, positions]`.

    On a CPU, for images that are contiguous, `torch.bmm` takes a half to a tenth of what a 1x1 `F.conv2d` does.
    """
    conv, base = node.convolution, node.ins[0]
    channels, positions = base.shape.first.product, base.shape.second.product
    g, out, inner = conv.groups, conv.out / conv.groups, channels / conv.groups
    x, count = emitter.values[base].name, emitter.code.number
    if g is ONE:
        weight = _weight(emitter, conv, x, (out, inner))
        bias = _bias(emitter, conv, (out,)) if conv.bias else ""
        if positions is ONE:
            return f"F.linear({emitter.reshaped(base, (inner,))}, {weight}{', ' + bias if bias else ''})", (out,)
        bias = _bias(emitter, conv, (out, ONE)) if conv.bias else ""
        image, root = emitter.reshaped(base, (inner, positions)), emitter.divisor(node)
        return batched(emitter, weight, image, bias, root), (out, positions)
    weight = _weight(emitter, conv, x, (g, out, inner))
    bias = f" + {emitter.parameter(conv.bias, (count(g), count(out), 1))}" if conv.bias else ""
    return f"torch.matmul({weight}, {emitter.reshaped(base, (g, inner, positions))}){bias}", (g, out, positions)


def added_product(emitter: Emitter, node: Node, other: Node) -> tuple[str, Form]:
    """The product of `_emit_point`, in one group and without a bias, added to another value."""
    conv, base = node.convolution, node.ins[0]
    inner, positions = base.shape.first.product, base.shape.second.product
    weight = _weight(emitter, conv, emitter.values[base].name, (conv.out, inner))
    total = emitter.reshaped(other, (conv.out, positions))
    image, root = emitter.reshaped(base, (inner, positions)), emitter.divisor(node)
    return batched(emitter, weight, image, total, root), (conv.out, positions)


def _bias(emitter: Emitter, conv: Convolution, shape: Form) -> str:
    """The bias of a convolution; the mean of that of all outputs where its weight is one."""
    sizes = tuple(map(emitter.code.number, shape))
    if conv.weight.kind != "averaged":
        return emitter.parameter(conv.bias, sizes)
    return f"{emitter.raw(conv.bias)[0]}.mean().reshape({', '.join(map(str, sizes))})"


def batched(emitter: Emitter, weight: str, x: str, bias: str = "", root: str = "") -> str:
    """The product of one matrix with each of a batch, perhaps over a root, and perhaps a bias added."""
    emitter.code.names.add("n")
    weight = f"({weight})" if " " in weight and not weight.endswith(")") else weight
    return scaled(f"{weight}.expand(n, -1, -1)", x, root, bias)


def padded(image: str, window: Window, there: list[int]) -> str:
    """An image with what taps read outside it, along the positions that are there."""
    padding = tuple(window.padding[i] for i in there)
    pads = tuple(p for pair in padding[::-1] for p in (pair, pair))
    return f"F.pad({image}, {pads}" + (f", value={window.fill!r})" if window.fill else ")")


def _options(emitter: Emitter, conv: Convolution, there: list[int]) -> str:
    """The keyword arguments that are not the defaults."""
    text = ""
    window = conv.window
    for name, default, pair in (("padding", 0, window.padding), ("dilation", 1, window.d)):
        values = tuple(pair[i] for i in there)
        if any(value != default for value in values) and not (name == "padding" and window.fill):
            text += f", {name}={values[0] if len(set(values)) == 1 else values}"
    groups = emitter.code.number(conv.groups)
    return f"{text}, groups={groups}" if groups != 1 else text


def _weight(emitter: Emitter, conv: Convolution, image: str, shape: tuple[Dim, ...]) -> str:
    """The weight `[out, in, k…]` of a convolution, from the parameters of the program."""
    weight, number = conv.weight, emitter.code.number
    sizes = tuple(number(dim) for dim in shape)
    if weight.inner is not None:
        assert weight.count is not None
        before = replace(conv, weight=weight.inner, out=weight.full[0], groups=weight.count)
        own = _weight(emitter, before, image, weight.full)
        own = f"({own})" if " " in own and not own.endswith(")") else own
        if weight.kind == "turned":
            return f"{own}.transpose(2, 3).reshape{sizes}"
        if weight.count is ONE:
            return f"{own}.mean(0).reshape{sizes}"
        groups, (out, *rest) = number(weight.count), map(number, weight.full)
        return f"({own}.reshape{(groups, out // groups, *rest)}.mean(1) / {groups}).reshape{sizes}"
    count = 1 if weight.count is None else number(weight.count)
    if weight.kind == "constant":
        return f"{image}.new_full({sizes}, {1 / count!r})"
    if weight.kind == "parameter":
        return emitter.parameter(weight.number, sizes)
    if weight.kind == "chain":
        out, inner = (number(dim) for dim in weight.full)
        second, first = emitter.parameter(weight.number, (out, inner)), emitter.parameter(weight.scale, (inner, sizes[-1]))
        return f"torch.mm({second}, {first})" if sizes == (out, sizes[-1]) else f"torch.mm({second}, {first}).reshape{sizes}"
    groups = number(conv.groups)
    if weight.kind == "repeated":
        one = emitter.parameter(weight.number, (sizes[0] // groups, *sizes[1:]))
        return one if groups == 1 else f"{one}.repeat({', '.join(map(str, (groups, *[1] * (len(sizes) - 1))))})"
    full, form = tuple(map(number, weight.full)), tuple(map(number, weight.scale_form))
    if weight.kind == "mean":
        own = emitter.parameter(weight.scale, form) + (f" / {count}" if count != 1 else "")
        if form != full:
            own = f"({own}).expand{full}"
        final = full if form != full else form
        return own if final == sizes else f"({own}).reshape{sizes}"
    g, *rest = full
    one = emitter.parameter(weight.number, (g, number(conv.out) // g, *rest))
    return f"({one} * {emitter.parameter(weight.scale, (form[0], 1, *form[1:]))}).reshape{sizes}"


def emit_local(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """The mean over taps of a tensor times an unfolded one: a sum of shifted images, each times its factor."""
    assert isinstance(node.attributes, tuple)
    window, front, marks = node.attributes
    assert isinstance(window, Window)
    assert isinstance(front, tuple)
    assert isinstance(marks, tuple)
    factors, base = node.ins
    there = [i for i, dim in enumerate(base.shape.second.dims) if dim is not ONE]
    space = tuple(base.shape.second.dims[i] for i in there)
    taps = tuple(Dim.of(window.k[i]) for i in there)
    dims = (*(dim for dim, _ in front), *taps, *space)
    own = tuple(dim if mark else ONE for dim, mark in zip(dims, [*(m for _, m in front), *marks], strict=True))
    smaller = any(not mark for _, mark in front)  # then the factors are fewer than the results: divide them
    k = emitter.variable(emitter.reshaped(factors, own) + (f" / {window.taps}" if smaller else ""))
    channels = tuple(dim for dim, _ in front)
    image = emitter.variable(padded(emitter.reshaped(base, (*channels, *space)), window, there))
    factor, near = _tap(emitter, window, there, space, own[len(channels) :])
    total = emitter.variable(f"{k}[{factor(True)}] * {image}[{near(True)}]")
    loop = f"for i in range(1, {window.taps}):"
    if len(there) == 2:
        loop = f"for i, j in [divmod(tap, {window.k[1]}) for tap in range(1, {window.taps})]:"
    emitter.code.add("", f"{loop}\n    {total} = torch.addcmul({total}, {k}[{factor(False)}], {image}[{near(False)}])", "")
    assert product((*channels, *space)) is node.shape.product
    return total if smaller else f"{total} / {window.taps}", (*channels, *space)


def _tap(emitter: Emitter, window: Window, there: list[int], space: Form, own: tuple[Dim, ...]):  # type: ignore[no-untyped-def]
    """The indices of one tap (the first, or that of the loop's variables) in the factors and in the padded image."""

    def factor(first: bool) -> str:
        index = ["0" if first or dim is ONE else name for name, dim in zip("ij", own[: len(there)], strict=False)]
        return ", ".join(["...", *index, *[":"] * len(there)])

    def near(first: bool) -> str:
        slices = []
        for name, axis, dim in zip("ij", there, space, strict=False):
            size, d = emitter.code.size(dim), window.d[axis]
            start = name if d == 1 else f"{d} * {name}"
            fixed = first or window.k[axis] == 1
            slices.append(f":{size}" if fixed else f"{start} : {start} + {size}")
        return ", ".join(["...", *slices])

    return factor, near


def emit_cover(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """The mean of each of the shifted images over both positions or one: products with matrices of ones and zeros.

    Tap `j` of an axis of size `n` sums the elements `q` with `0 <= q - (j d - padding) < n`.
    """
    assert isinstance(node.attributes, tuple)
    (window, axes), base = node.attributes, node.ins[0]
    assert isinstance(window, Window)
    assert isinstance(axes, str)
    space = tuple(dim for dim in base.shape.second.dims if dim is not ONE)
    there = [i for i, dim in enumerate(base.shape.second.dims) if dim is not ONE and "hw"[i] in axes]
    channels = base.shape.first.product
    image = emitter.variable(emitter.reshaped(base, (channels, *space)))
    sizes = [emitter.code.size(base.shape.second.dims[i]) for i in there]
    covers = []
    for i, size in zip(there, sizes, strict=True):
        pad = window.padding[i]
        covers.append(f"F.pad({image}.new_ones({size}), ({pad}, {pad})).unfold(0, {size}, {window.d[i]}).flip(0)")
    count = " * ".join(f"({size})" if " " in size else size for size in sizes)
    taps = tuple(Dim.of(window.k[i]) for i in there)
    if len(space) == 1:
        return f"torch.matmul({image}, {covers[0]}.t()) / {_grouped(count)}", (channels, *taps)
    if axes == "h":
        return f"torch.matmul({covers[0]}, {image}) / {_grouped(count)}", (channels, *taps, space[1])
    if axes == "w":
        return f"torch.matmul({image}, {covers[0]}.t()).transpose(2, 3) / {_grouped(count)}", (channels, *taps, space[0])
    rows = emitter.variable(f"torch.matmul({image}, {covers[1]}.t())")
    return f"torch.matmul({covers[0]}, {rows}) / {_grouped(count)}", (channels, *taps)


def _grouped(expression: str) -> str:
    return f"({expression})" if " " in expression else expression


def emit_covered(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """The mean of a convolution over all positions: its weight times the means of the shifted images."""
    conv, cover = node.convolution, node.ins[0]
    count, channels = emitter.code.number, cover.shape.first.product
    value = emitter.values[cover]
    inner, taps = channels / conv.groups, tuple(value.form[1:])
    weight = _weight(emitter, conv, value.name, (conv.out, inner, *taps))
    fan_in, out = inner * product(taps), conv.out / conv.groups
    if conv.groups is ONE:
        bias = f", {emitter.parameter(conv.bias, (count(conv.out),))}" if conv.bias else ""
        return f"F.linear({emitter.reshaped(cover, (fan_in,))}, {weight}.reshape({count(conv.out)}, -1){bias})", (conv.out,)
    matrix = f"{weight}.reshape({count(conv.groups)}, {count(out)}, {count(fan_in)})"
    bias = f" + {emitter.parameter(conv.bias, (count(conv.groups), count(out), 1))}" if conv.bias else ""
    return f"torch.matmul({matrix}, {emitter.reshaped(cover, (conv.groups, fan_in, ONE))}){bias}", (conv.groups, out, ONE)
