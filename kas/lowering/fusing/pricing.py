"""What linear steps cost at inference, as they are or merged; in multiply-accumulates for one sample.

Besides its MACs every torch call reads and writes a tensor. An element that passes through memory counts as `PASS` MACs:
on a CPU core an element-wise call takes as long as 7 to 20 multiply-accumulates of a dense 3x3 convolution for each.
"""

from __future__ import annotations

from collections.abc import Container
from math import inf

from kas.language.dims import ONE
from kas.language.primitives.linear import Filter
from kas.language.shapes import Side
from kas.lowering.fusing.affine import Affine
from kas.lowering.fusing.maps import HERE
from kas.lowering.fusing.reading import Program, is_image, is_view

__all__ = ["PASS", "can_be_written", "price_of_merged", "price_of_step"]

PASS = 16


def price_of_step(program: Program, number: int, linear: Container[int]) -> float:
    """A linear step as the program has it; `linear` are all linear steps.

    The optimized lowering never makes an unfolded tensor that only linear steps read: these read what was unfolded.
    """
    kernel = program.kernel
    step, outcome = kernel.steps[number - 1], kernel.outcomes[number - 1]
    if is_view(step):
        return 0
    if step.op == "unfold" and all(i in linear for i, other in enumerate(kernel.steps, 1) if number in other.ins):
        return 0
    if step.op == "bias" and _of_filter(program, number):
        return 0
    macs = 0 if outcome.macs is None else outcome.macs.value(program.env)
    if step.op == "fold" and outcome.elementwise is not None:
        macs = outcome.elementwise[1].value(program.env)
    sizes = (program.channels(i) for i in (*(_folded(program, i) for i in step.ins), number))
    return macs + PASS * max(sizes) * program.positions(number)


def _of_filter(program: Program, number: int) -> bool:
    """Whether a bias of all channels is that of the convolution which the optimized lowering makes of a filter of positions."""
    steps, source = program.kernel.steps, program.kernel.steps[number - 1].ins[0]
    first = steps[source - 1] if source else None
    if not isinstance(first, Filter) or first.axis[0] == "0" or sum(source in step.ins for step in steps) > 1:
        return False
    channels = tuple(f"0.{name}" for name, _ in program.kernel.shapes[number].first.axes())
    return getattr(steps[number - 1], "axes", ()) == channels


def _folded(program: Program, tensor: int) -> int:
    """The tensor that was unfolded to make this one, or the tensor itself."""
    behind = tensor
    while behind and (program.kernel.steps[behind - 1].op == "unfold" or is_view(program.kernel.steps[behind - 1])):
        behind = program.kernel.steps[behind - 1].ins[0]
    return behind if is_image(program.kernel.shapes[behind]) else tensor


def price_of_merged(program: Program, number: int, form: Affine) -> float:
    """An affine function as convolutions, scales, sums and one bias; infinite if the language has no steps for it."""
    if not can_be_written(program, number, form):
        return inf
    out, positions = program.channels(number), program.positions(number)
    macs, passes = 0, out * (len(form.terms) - 1)
    for source, map_ in form.terms.items():
        passes += map_.columns * (source.roll != HERE)
        if not map_.sign:
            passes += max(map_.rows, map_.columns)
            macs += map_.macs if map_.diagonal_values is None else 0
    if all(map_.sign for map_ in form.terms.values()):  # elsewhere a bias comes with a convolution or a scale
        passes += out * (bool(form.bias.any()) + all(map_.sign < 0 for map_ in form.terms.values()))
    return (macs + PASS * passes) * positions


def can_be_written(program: Program, number: int, form: Affine) -> bool:
    """Whether no taps (kh, kw) stand on what is read or made, and anything is read at all."""
    shapes = program.kernel.shapes
    tensors = [number, *(source.tensor for source in form.terms)]
    return bool(form.terms) and not any(_has_taps(shapes[i].first) for i in tensors)


def _has_taps(side: Side) -> bool:
    return side.dim("kh") is not ONE or side.dim("kw") is not ONE
