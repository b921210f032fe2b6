"""The parameters of a module: one for each weighted step, the same in both lowerings, and their initial values."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import NamedTuple

from kas.language.dims import ONE, Dim
from kas.language.kernel import Kernel
from kas.language.primitives import Step
from kas.language.primitives._base import channel_side, product
from kas.language.primitives.linear import Conv, Fc, Filter, Mix
from kas.language.primitives.scaling import Bias, Scale
from kas.language.scales import Analysis, analyse
from kas.language.shapes import CHANNEL, SPATIAL, Shape

__all__ = ["Parameter", "parameters", "weight_dims"]


class Parameter(NamedTuple):
    """Name, shape, and the standard deviation of the initial values (0: they are all `start`)."""

    name: str
    shape: tuple[int, ...]
    std: float
    start: float


def parameters(kernel: Kernel, env: Mapping[str, int]) -> list[Parameter]:
    """The parameters of a kernel at given sizes, in step order."""
    found = []
    analysis = analyse(kernel.steps, kernel.shapes, env)
    for number, (step, outcome) in enumerate(zip(kernel.steps, kernel.outcomes, strict=True), 1):
        if outcome.weight is not None:
            shape = tuple(dim.value(env) for dim in weight_dims(step, kernel.shapes[step.ins[0]]))
            found.append(Parameter(f"w{number}", shape, *_initial(analysis, number, shape)))
    return found


def weight_dims(step: Step, shape: Shape) -> tuple[Dim, ...]:
    """The layout of the language, viewed as torch's operators want it: no view is needed in the usual case."""
    if isinstance(step, Conv):
        channels, positions = shape.sides
        groups = channels.dim("c") if step.depthwise else channels.dim("g")
        taps = [Dim.of(k) for k, dim in zip(step.k, positions.dims, strict=True) if dim is not ONE]
        return (step.to, channels.product / groups, *taps)
    if isinstance(step, Fc):
        return _fc_dims(step, shape)
    if isinstance(step, Mix):
        return (product(step.to), product(shape.axis(name) for name in step.axes))
    if isinstance(step, Filter):
        return (ONE, ONE, Dim.of(step.k))
    assert isinstance(step, Scale | Bias)
    over = [dim if name in step.axes else ONE for name, dim in shape.axes()]
    named = [name in step.axes for name, _ in shape.axes()]
    broadcast = tuple(over[named.index(True) :])
    # `.to(memory_format=torch.channels_last)` refuses weights of five axes; one more changes nothing.
    return (ONE, *broadcast) if len(broadcast) == 5 else broadcast


def _fc_dims(step: Fc, shape: Shape) -> tuple[Dim, ...]:
    """`(to, c, kh, kw)` where the layer is a convolution of what was unfolded, a matrix elsewhere."""
    number = channel_side(shape, step.side)
    side, other = shape.sides[number], shape.sides[1 - number]
    fan_in = side.product / side.dim("g")
    if number == 0 and other.kind == SPATIAL:
        taps = dict(zip(("kh", "kw"), other.dims, strict=True))
        if all(side.dim(tap) is ONE or position is not ONE for tap, position in taps.items()):
            if all(side.dim(tap) is ONE for tap in taps):
                return (step.to, fan_in)
            return (step.to, side.dim("c"), *(side.dim(tap) for tap, position in taps.items() if position is not ONE))
    assert side.kind == CHANNEL
    return (step.to, fan_in)


def _initial(analysis: Analysis, number: int, shape: tuple[int, ...]) -> tuple[float, float]:
    """Standard deviation and constant of the initial values: fan-in, over the scale that the input is expected to have."""
    step = analysis.steps[number - 1]
    if isinstance(step, Bias):
        return 0.0, 0.0
    gain = analysis.gains[number]
    if isinstance(step, Scale):
        return (gain, 0.0) if number in analysis.random else (0.0, gain)
    return gain / prod(shape[1:]) ** 0.5, 0.0
