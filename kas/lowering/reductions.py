"""Lowering of fold, softmax and normalize."""

from __future__ import annotations

from kas.language.primitives._base import product
from kas.language.primitives.reductions import Fold, Normalize, Softmax
from kas.lowering._site import Plain, Site
from kas.lowering.linear import permutation

__all__ = ["PLAIN"]


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
    flat = site.code.view(moved, (), (*rest, product(shape.axis(name) for name in axes)))
    spread = site.code.view(f"torch.softmax({flat}, {len(rest) + 1})", (), tuple(shape.axis(name) for name in order))
    return spread + permutation([0, *(order.index(name) + 1 for name, _ in shape.axes())])


def _normalize(site: Site) -> str:
    assert isinstance(site.step, Normalize)
    x, dims = site.ins[0], site.positions(site.step.axes)
    if site.step.how == "l2":
        return f"{x} / torch.sqrt({x}.square().sum({dims}, keepdim=True) + 1e-6)"
    mean = f"{x}.mean({dims}, keepdim=True)"
    return f"({x} - {mean}) / torch.sqrt({x}.var({dims}, correction=0, keepdim=True) + 1e-6)"


PLAIN: dict[str, Plain] = {"fold": _fold, "softmax": _softmax, "normalize": _normalize}
