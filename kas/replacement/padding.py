"""Padding modes other than zeros: a template sees the image go on as the replaced convolution did.

The input is padded in the layer's mode by what the template reads past a border, and the output is cropped by as much.
That is exact for local templates, and costs their work on the margin, which is not counted in the budget:
(h + 2m)(w + 2m) positions instead of h·w.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kas.language.errors import Infeasible
from kas.replacement.layers import Axis
from kas.solvers.targets import Target

__all__ = ["Margin", "margin_of", "padding_mode"]

_SAME = 1e-9  # of the largest output, in float64
_LEAST, _MOST = 32, 64  # positions along an axis on which a template is tried
_BUMP = 100.0  # large, so that a maximum notices it


class Margin(nn.Module):
    """`[N, C, *input size]` → the same, padded in the layer's mode; `crop` takes the margin off the output again.

    axes: the layer's geometry. margins: output positions past the border, one number per axis. starts: where the layer's
    first window begins, in input positions.
    """

    def __init__(self, mode: str, axes: Sequence[Axis], margins: Sequence[int], starts: Sequence[int]) -> None:
        super().__init__()
        self.mode, self.axes = mode, tuple(axes)
        past = [max(-start, start + axis.left + axis.right - axis.extent, 0) for axis, start in zip(axes, starts, strict=True)]
        self.margins = tuple(m + -(-p // axis.stride) for axis, m, p in zip(axes, margins, past, strict=True))
        self.pads: tuple[int, ...] = ()
        for axis, m in zip(axes, self.margins, strict=True):
            # The last window may be only begun: its rest must be there as well.
            self.pads = (m * axis.stride, m * axis.stride + axis.stride - 1, *self.pads)

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, self.pads, mode=self.mode)

    def crop(self, y: Tensor, x: Tensor) -> Tensor:
        """The output `y` of the padded input without its margin; `x` is the input as it was."""
        for dim, (axis, m) in enumerate(zip(self.axes, self.margins, strict=True), start=2):
            y = y.narrow(dim, m, axis.outputs(x.shape[dim]))
        return y

    def extra_repr(self) -> str:
        return f"{self.mode}, margins={self.margins}"


def padding_mode(layer: nn.Module, axes: Sequence[Axis]) -> str:
    """How a layer pads; `zeros` also where it pads nothing."""
    return str(getattr(layer, "padding_mode", "zeros")) if any(axis.left or axis.right for axis in axes) else "zeros"


def margin_of(template: nn.Module, target: Target, mode: str) -> tuple[int, ...]:
    """How far a template `[N, C_t, *size]` → the same reads past its own position along each axis, tried on random numbers.

    Zeros where the output follows a circular shift of the input anyway. Raises Infeasible if it does not with any margin
    (it reads the whole image, steps over positions, or is tied to a size), or the margin is as large as the image.
    """
    probe = _generic(template)
    x = torch.randn(1, target.channels, *map(_tried, target.size), generator=_generator(), dtype=torch.float64)
    reason = "reads more than a neighbourhood of each position"
    try:
        for margins in ((0,) * target.rank, _reach(probe, x)):
            local = all(2 * m + 1 < n for m, n in zip(margins, x.shape[2:], strict=True))
            if local and _follows_shifts(probe, x, margins):
                if all(m < n for m, n in zip(margins, target.size, strict=True)):
                    return margins
                reason = f"reads {margins} positions further, as much as the image has"
                break
    except Exception as error:  # what a module that is tied to one size says at another is its own business
        reason = f"does not run at another size ({type(error).__name__}: {error})"
    raise Infeasible(f"{target.name}: its padding mode {mode!r} cannot be kept: the kernel {reason} (size {target.size})")


def _tried(n: int) -> int:
    """A size on which a template with the divisors of `n` is tried: large enough to see its reach, small enough to be quick."""
    while n % 2 == 0 and n >= _MOST:
        n //= 2
    return n * -(-_LEAST // n)


def _generic(template: nn.Module) -> Any:
    """A copy in float64 with weights of which none is zero."""
    probe = copy.deepcopy(template).cpu().double().eval()
    generator = _generator()
    with torch.no_grad():
        for parameter in probe.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64), alpha=0.1)
    return probe


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@torch.no_grad()
def _reach(probe: Any, x: Tensor) -> tuple[int, ...]:
    """The distance of the furthest output that the position in the middle changes, along each axis."""
    middle = [n // 2 for n in x.shape[2:]]
    at: Any = (..., *middle)
    changed = torch.zeros(x.shape[2:], dtype=torch.bool)
    y = probe(x)
    for bump in (_BUMP, -_BUMP):
        other = x.clone()
        other[at] += bump
        difference = (probe(other) - y).abs().amax((0, 1))
        changed |= difference > _SAME * y.abs().max()
    found = changed.nonzero() - torch.tensor(middle)
    return tuple(int(distance) for distance in found.abs().amax(0)) if len(found) else (0,) * len(middle)


@torch.no_grad()
def _follows_shifts(probe: Any, x: Tensor, margins: Sequence[int]) -> bool:
    """Whether a circular shift of the input shifts the output, when the input is padded by the margins."""
    axes = [Axis(0, 1, 0, 0) for _ in margins]
    margin = Margin("circular", axes, margins, [0] * len(margins))
    dims = tuple(range(2, x.dim()))

    def run(image: Tensor) -> Tensor:
        return margin.crop(probe(margin(image)), image)

    y, shifted = run(x), run(x.roll((1,) * len(dims), dims))
    return bool((shifted - y.roll((1,) * len(dims), dims)).abs().max() <= _SAME * y.abs().max())
