"""What makes a whole program legal, beyond the rule of each step."""

from __future__ import annotations

from collections.abc import Sequence

from kas.language.dims import ONE
from kas.language.errors import InvalidKernel
from kas.language.primitives import Outcome, Step
from kas.language.primitives.binary import Binary
from kas.language.primitives.matmul import Matmul
from kas.language.primitives.reductions import Fold, Normalize, Softmax
from kas.language.primitives.views import Group, Ungroup
from kas.language.shapes import CHANNEL, Shape, input_shape

__all__ = ["apply_alone", "apply_step", "check_mean", "check_output", "check_program", "is_output", "trace", "unconsumed"]


def apply_step(steps: Sequence[Step], shapes: Sequence[Shape], rank: int) -> Outcome:
    """The outcome of the last of `steps`, given the shapes of the tensors before it (tensor 0 first).

    Raises InvalidKernel, without naming the step, if it breaks a rule that can be seen at this step.
    """
    step = steps[-1]
    for i in step.ins:
        if not 0 <= i < len(shapes):
            raise InvalidKernel(f"reads tensor {i}, but only tensors 0 to {len(shapes) - 1} exist before it")
    if isinstance(step, Binary) and step.distinct and step.ins[0] == step.ins[1]:
        raise InvalidKernel(f"{step.op} must not have the same tensor twice")
    outcome = apply_alone(step, [shapes[i] for i in step.ins], rank)
    if isinstance(step, Fold) and step.how == "mean":
        check_mean(step, steps, shapes)
    return outcome


_OF_POSITIONS = (
    "unfold", "shift", "window", "unwindow", "subpixel", "pool", "upsample", "col2im", "spatial_shift", "reassemble",
)  # fmt: skip


def apply_alone(step: Step, sources: Sequence[Shape], rank: int) -> Outcome:
    """The outcome of a step on tensors of these shapes. Raises InvalidKernel if it breaks a rule of its own."""
    if rank == 0 and step.op in _OF_POSITIONS:
        raise InvalidKernel(f"{step.op} does not exist at rank 0, where there are no positions")
    if rank < 2:
        _check_symbols(step, rank)
    return step.apply(*sources)


def _check_symbols(step: Step, rank: int) -> None:
    for name, dim in step.dims():
        for symbol in "HW"[rank:]:
            if dim.power_of(symbol):
                raise InvalidKernel(f"{name!r} is {dim}, but a kernel of rank {rank} has no {symbol}")


def check_mean(fold: Fold, steps: Sequence[Step], shapes: Sequence[Shape]) -> None:
    """No mean, with only views between, over exactly the axes of a softmax or of a standard normalisation."""
    axes, tensor = set(fold.axes), fold.ins[0]
    while tensor > 0:
        step = steps[tensor - 1]
        if isinstance(step, Group | Ungroup):
            before = _axes_before_view(axes, shapes[step.ins[0]], shapes[tensor])
            if before is None:
                return
            axes, tensor = before, step.ins[0]
            continue
        if isinstance(step, Softmax) or (isinstance(step, Normalize) and step.how == "standard"):
            normalised = set(step.axes)
        elif isinstance(step, Matmul) and step.softmax:
            normalised = {name for name, _ in shapes[tensor].axes() if name[0] == "1"}
        else:
            return
        if axes == normalised:
            raise InvalidKernel(f"the mean over {list(fold.axes)}, the axes of {step.op} in step {tensor}, is a constant")
        return


def _axes_before_view(axes: set[str], before: Shape, after: Shape) -> set[str] | None:
    """The axes before a group or ungroup that hold the same elements; None if they cut through a split axis."""
    mapped = set(axes)
    for number, (old, new) in enumerate(zip(before.sides, after.sides, strict=True)):
        if old == new:
            continue
        split_old = {f"{number}.{name}" for name, _ in old.axes() if name in ("g", "c")}
        split_new = {f"{number}.{name}" for name, _ in new.axes() if name in ("g", "c")}
        touched = axes & split_new
        if touched and touched != split_new:
            return None
        mapped = (mapped - split_new) | (split_old if touched else set())
    return mapped


def trace(rank: int, steps: Sequence[Step]) -> tuple[Outcome, ...]:
    """The outcomes of all steps. Raises InvalidKernel that names the step."""
    shapes, outcomes = [input_shape(rank)], []
    upto: list[Step] = []
    for step in steps:
        upto.append(step)
        try:
            outcome = apply_step(upto, shapes, rank)
        except InvalidKernel as error:
            raise InvalidKernel(f"step {len(upto)} ({step.op}): {error}") from None
        outcomes.append(outcome)
        shapes.append(outcome.shape)
    return tuple(outcomes)


def unconsumed(steps: Sequence[Step]) -> list[int]:
    """The numbers of the tensors that no step reads."""
    read = {i for step in steps for i in step.ins}
    return [i for i in range(len(steps) + 1) if i not in read]


def is_output(shape: Shape, rank: int) -> bool:
    """Whether a tensor has the form of an output: channels of product C, and the input's positions."""
    source = input_shape(rank)
    channels, positions = (shape.first, shape.second) if shape.second is source.second else (shape.second, shape.first)
    return positions is source.second and channels.kind == CHANNEL and channels.product is source.first.product


def check_output(shape: Shape, rank: int) -> None:
    """Raises InvalidKernel, saying what is wrong, unless a tensor is a legal output."""
    if not is_output(shape, rank):
        want = ", ".join(dim.text for dim in input_shape(rank).second.dims if dim is not ONE)
        raise InvalidKernel(f"the output must have a channel side of product C and the positions [{want}], but is {shape}")


def check_program(rank: int, steps: Sequence[Step], outcomes: Sequence[Outcome]) -> None:
    """The rules on a program as a whole: one output of the right form, and at least one step that mixes."""
    left = unconsumed(steps)
    if len(left) != 1:
        raise InvalidKernel(
            f"step {left[0]} ({steps[left[0] - 1].op}): nothing reads its result; "
            f"exactly one tensor must be left unread, the output, but these are: {left}"
        )
    if not any(step.mixes for step in steps):
        raise InvalidKernel(
            "no step moves information between positions or channels; a kernel needs one of "
            "shift, unfold, fold, fc, conv, mix, filter, softmax, normalize, transpose, matmul"
        )
    try:
        check_output(outcomes[-1].shape if left[0] else input_shape(rank), rank)
    except InvalidKernel as error:
        raise InvalidKernel(f"step {left[0]}: {error}") from None
