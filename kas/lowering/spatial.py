"""Lowering of shift and unfold."""

from __future__ import annotations

from kas.language.dims import ONE, Dim
from kas.language.primitives._base import product
from kas.language.primitives.spatial import Shift, Unfold
from kas.lowering._site import Plain, Site

__all__ = ["PLAIN"]


def _shift(site: Site) -> str:
    assert isinstance(site.step, Shift)
    dims = site.positions(site.step.axes)
    shifts = (site.step.by,) * len(dims)
    return f"torch.roll({site.ins[0]}, {shifts}, {dims})"


def _unfold(site: Site) -> str:
    """`F.unfold` puts the taps behind all channels; over h, the taps over w that are there already move behind them."""
    step = site.step
    assert isinstance(step, Unfold)
    channels, positions = site.shapes[0].sides
    h, w = positions.dims
    kernel = tuple(step.k if axis in step.over else 1 for axis in "hw")
    spread = tuple(step.d if axis in step.over else 1 for axis in "hw")
    padding = tuple(d * (k - 1) // 2 for k, d in zip(kernel, spread, strict=True))
    image = site.code.view(site.ins[0], (), (channels.product, h, w))
    taps = f"F.unfold({image}, {kernel}, dilation={spread}, padding={padding})"
    old, new = channels.dim("kw"), Dim.of(step.k)
    if step.over == "h" and old is not ONE:
        front = product((channels.dim("g"), channels.dim("c")))
        taps = f"{site.code.view(taps, (), (front, old, new, h * w))}.transpose(2, 3)"
    return site.output(taps, ())


PLAIN: dict[str, Plain] = {"shift": _shift, "unfold": _unfold}
