"""The parameters of a module: one for each weighted step, the same in both lowerings, and their initial values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from kas.language.dims import ONE, Dim
from kas.language.kernel import Kernel
from kas.language.primitives import Step
from kas.language.primitives._base import channel_side, product
from kas.language.primitives.linear import Conv, Fc, Mix
from kas.language.primitives.pointwise import Relu
from kas.language.primitives.reductions import Fold
from kas.language.primitives.scaling import Bias, Scale
from kas.language.primitives.views import Group, Transpose, Ungroup
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
    for number, (step, outcome) in enumerate(zip(kernel.steps, kernel.outcomes, strict=True), 1):
        if outcome.weight is not None:
            shape = tuple(dim.value(env) for dim in weight_dims(step, kernel.shapes[step.ins[0]]))
            found.append(Parameter(f"w{number}", shape, *_initial(kernel, number, shape, env)))
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


def _initial(kernel: Kernel, number: int, shape: tuple[int, ...], env: Mapping[str, int]) -> tuple[float, float]:
    """Standard deviation and constant of the initial values: linear maps keep the variance (fan-in)."""
    step = kernel.steps[number - 1]
    if isinstance(step, Bias):
        return 0.0, 0.0
    if isinstance(step, Scale):
        return _initial_scale(kernel, number, step, env)
    fan_in = 1
    for size in shape[1:]:
        fan_in *= size
    return (_gain(kernel, number) / fan_in) ** 0.5, 0.0


def _initial_scale(kernel: Kernel, number: int, step: Scale, env: Mapping[str, int]) -> tuple[float, float]:
    """Ones; but a scale whose axes a mean removes next is a linear map, and starts as one."""
    after, tensor = _next(kernel, number, (Group, Ungroup, Transpose))
    if isinstance(after, Fold) and after.how == "mean":
        summed = [name for name in after.axes if name in step.axes and name[2:] not in ("g", "c")]
        if after.ins[0] == number:
            summed = [name for name in after.axes if name in step.axes]
        if summed:
            total = 1
            for name in after.axes:
                length = kernel.shapes[after.ins[0]].axis(name).value(env)
                total *= length if name in summed else 1
            return (total * _gain(kernel, tensor)) ** 0.5, 0.0
    return 0.0, 1.0


def _gain(kernel: Kernel, number: int) -> float:
    """2 where a relu, which halves the second moment, reads the result; 1 elsewhere."""
    after, _ = _next(kernel, number, (Group, Ungroup, Transpose, Bias, Scale))
    return 2.0 if isinstance(after, Relu) else 1.0


def _next(kernel: Kernel, number: int, through: tuple[type[Step], ...]) -> tuple[Step | None, int]:
    """The only reader of a tensor and the number of its result, looking through some kinds of steps; None if several."""
    while True:
        readers = [i for i, step in enumerate(kernel.steps, 1) if number in step.ins]
        if len(readers) != 1:
            return None, number
        number = readers[0]
        if not isinstance(kernel.steps[number - 1], through):
            return kernel.steps[number - 1], number
