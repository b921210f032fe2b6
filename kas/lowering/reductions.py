"""Lowering of fold, softmax and normalize."""

from __future__ import annotations

from kas.language.dims import ONE
from kas.language.primitives._base import product
from kas.language.primitives.reductions import Fold, Normalize, Softmax
from kas.lowering._site import Plain, Site
from kas.lowering.code import Form
from kas.lowering.convolution import padded
from kas.lowering.emitter import Emit, Emitter
from kas.lowering.graph import Node
from kas.lowering.linear import permutation
from kas.lowering.spatial import image_form

__all__ = ["OPTIMIZED", "PLAIN"]


def _fold(site: Site) -> str:
    assert isinstance(site.step, Fold)
    call = {"mean": "mean", "max": "amax"}[site.step.how]
    return f"{site.ins[0]}.{call}({site.positions(site.step.axes)})"


def _softmax(site: Site) -> str:
    """Over several axes: they go last as one, and back."""
    assert isinstance(site.step, Softmax)
    shape, axes = site.shapes[0], site.step.axes
    if len(axes) == 1:
        return f"torch.softmax({site.ins[0]}, {site.positions(axes)[0]})"
    order = [name for name, _ in shape.axes() if name not in axes]
    rest = tuple(shape.axis(name) for name in order)
    order += axes
    moved = site.ins[0] + permutation([0, *site.positions(tuple(order))])
    flat = site.code.reshape(moved, (*rest, product(shape.axis(name) for name in axes)))
    spread = site.code.reshape(f"torch.softmax({flat}, {len(rest) + 1})", tuple(shape.axis(name) for name in order))
    return spread + permutation([0, *(order.index(name) + 1 for name, _ in shape.axes())])


def _normalize(site: Site) -> str:
    assert isinstance(site.step, Normalize)
    x, dims = site.ins[0], site.positions(site.step.axes)
    if site.step.how == "l2":
        return f"{x} / torch.sqrt({x}.square().sum({dims}, keepdim=True) + 1e-6)"
    mean = f"{x}.mean({dims}, keepdim=True)"
    return f"({x} - {mean}) / torch.sqrt({x}.var({dims}, correction=0, keepdim=True) + 1e-6)"


PLAIN: dict[str, Plain] = {"fold": _fold, "softmax": _softmax, "normalize": _normalize}


def _split(emitter: Emitter, node: Node, axes: tuple[str, ...]) -> tuple[str, Form, list[int]]:
    """The input in a form whose torch axes are either within `axes` or outside, and the positions of those within."""
    return emitter.split(node.ins[0], [(dim, name in axes) for name, dim in node.ins[0].shape.axes()])


def _torch_axes(at: list[int]) -> str:
    return str(at[0] + 1) if len(at) == 1 else str(tuple(i + 1 for i in at))


def _emit_fold(emitter: Emitter, node: Node) -> tuple[str, Form]:
    assert isinstance(node.step, Fold)
    x, form, at = _split(emitter, node, node.step.axes)
    call = {"mean": "mean", "max": "amax"}[node.step.how]
    return f"{x}.{call}({_torch_axes(at)})", tuple(dim for i, dim in enumerate(form) if i not in at)


def _emit_softmax(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """Over neighbouring axes as one; over others by the logarithm of the sum, which takes any axes."""
    assert isinstance(node.step, Softmax)
    x, form, at = _split(emitter, node, node.step.axes)
    if len(at) == 1:
        return f"torch.softmax({x}, {at[0] + 1})", form
    if at == list(range(at[0], at[-1] + 1)):
        joined = (*form[: at[0]], product(form[i] for i in at), *form[at[-1] + 1 :])
        return f"torch.softmax({emitter.reshaped(node.ins[0], joined)}, {at[0] + 1})", joined
    return f"({x} - {x}.logsumexp({_torch_axes(at)}, keepdim=True)).exp()", form


def _emit_normalize(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """`F.layer_norm` where the axes are the last ones, the formula elsewhere (faster there than `var_mean` on a CPU)."""
    assert isinstance(node.step, Normalize)
    x, form, at = _split(emitter, node, node.step.axes)
    axes = _torch_axes(at)
    if node.step.how == "l2":
        x = emitter.variable(x)
        squares = f"{x}.square().sum({axes}, keepdim=True)"
        if at == list(range(at[0], len(form))):  # in one pass, which along other axes takes several times as long on a CPU
            squares = f"torch.linalg.vector_norm({x}, dim={axes}, keepdim=True).square()"
        return f"{x} * torch.rsqrt({squares} + 1e-6)", form
    if at == list(range(at[0], len(form))):
        sizes = ", ".join(emitter.code.size(form[i]) for i in at)
        return f"F.layer_norm({x}, ({sizes},), eps=1e-6)", form
    x = emitter.variable(x)
    centred = emitter.variable(f"{x} - {x}.mean({axes}, keepdim=True)")
    return f"{centred} * torch.rsqrt({centred}.square().mean({axes}, keepdim=True) + 1e-6)", form


def _emit_maxpool(emitter: Emitter, node: Node) -> tuple[str, Form]:
    """The maximum over neighbours, zeros outside; a pooling pads with -inf, which is the same for what is never negative.

    Channels last: a CPU takes ten times as long for the other memory format.
    """
    base, window = node.ins[0], node.window
    there = [i for i, dim in enumerate(base.shape.second.dims) if dim is not ONE]
    k, d, padding = (tuple(pair[i] for i in there) for pair in (window.k, window.d, window.padding))
    image = emitter.reshaped(base, image_form(base.shape))
    options = f"{k}, stride=1, dilation={d}"
    if not window.fill and _never_negative(base) and all(2 * pad <= size for pad, size in zip(padding, k, strict=True)):
        options += f", padding={padding}"
    else:
        image = padded(image, window, there)
    if len(there) == 2:
        image += ".contiguous(memory_format=torch.channels_last)"
    return f"F.max_pool{len(there)}d({image}, {options})", image_form(base.shape)


def _never_negative(node: Node) -> bool:
    while node.op in ("view", "transpose", "maxpool", "taps", "shift"):
        node = node.ins[0]
    return node.op in ("relu", "sigmoid", "abs", "exp", "sqr", "sqrt", "softmax")


OPTIMIZED: dict[str, Emit] = {
    "fold": _emit_fold,
    "softmax": _emit_softmax,
    "normalize": _emit_normalize,
    "maxpool": _emit_maxpool,
}
