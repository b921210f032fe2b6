"""What a kernel costs at given sizes: MACs, parameters, element-wise work, peak memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kas.language.errors import Infeasible
from kas.language.kernel import Kernel

__all__ = ["Cost", "cost", "environment", "live_tensors"]

_BYTES = 4  # float32


@dataclass(frozen=True)
class Cost:
    """The cost of one kernel for one sample.

    Attributes:
        macs: multiply-accumulates that FlopCounterMode sees (half its FLOPs) in the plain lowering.
        params: parameters.
        elementwise: multiply-adds of element-wise, broadcast, fold and normalise steps.
        memory: peak bytes of activations (float32, batch of one, each tensor freed after its last reader).
    """

    macs: int
    params: int
    elementwise: int
    memory: int

    @property
    def work(self) -> float:
        """`macs + elementwise/2`: the analytic cost in which no element-wise spelling is free."""
        return self.macs + self.elementwise / 2


def cost(
    kernel: Kernel, channels: int, size: tuple[int, ...], groups: int = 1, values: Mapping[str, int] | None = None
) -> Cost:
    """The cost of a kernel for `[1, channels, *size]`.

    Raises Infeasible with the step, the dim and its value if the kernel does not exist at these sizes.

    >>> import kas
    >>> cost(kas.zoo.get("depthwise_separable"), channels=16, size=(8, 8))
    Cost(macs=25600, params=400, elementwise=1024, memory=8192)
    """
    env = environment(kernel, channels, size, groups, values or {})
    macs = sum(outcome.macs.value(env) for outcome in kernel.outcomes if outcome.macs is not None)
    params = sum(outcome.params.value(env) for outcome in kernel.outcomes if outcome.params is not None)
    elementwise = sum(n * dim.value(env) for n, dim in (o.elementwise for o in kernel.outcomes if o.elementwise))
    sizes = [shape.product.value(env) for shape in kernel.shapes]
    memory = max(sum(sizes[i] for i in live) for live in live_tensors(kernel))
    return Cost(macs, params, elementwise, _BYTES * memory)


def environment(kernel: Kernel, channels: int, size: tuple[int, ...], groups: int, values: Mapping[str, int]) -> dict[str, int]:
    """The value of every symbol, once every dim and quotient of the kernel is seen to be a positive integer.

    Raises Infeasible otherwise, or if the size has not the kernel's rank, a variable is missing or unknown, or
    `groups` does not divide `channels`.
    """
    if not isinstance(size, tuple | list):
        raise Infeasible(f"the size must have {kernel.rank} axes, as the kernel is of rank {kernel.rank}, not be {size!r}")
    if len(size) != kernel.rank:
        raise Infeasible(f"the size {tuple(size)} has {len(size)} axes, but the kernel is of rank {kernel.rank}")
    for name, number in {"channels": channels, "groups": groups, **dict(zip("HW", size, strict=False)), **values}.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise Infeasible(f"{name} must be an integer of at least 1, not {number!r}")
    if channels % groups:
        raise Infeasible(f"groups = {groups} does not divide channels = {channels}")
    missing = [name for name in kernel.variables if name not in values]
    unknown = [name for name in values if name not in kernel.variables]
    if missing:
        step, dim = next((step, dim) for step, dim in kernel.dims if missing[0] in dim.variables)
        raise Infeasible(
            f"step {step} ({kernel.steps[step - 1].op}): the dim {dim} needs a value for "
            f"the free variable {missing[0]}; the kernel has {', '.join(kernel.variables)}"
        )
    if unknown:
        raise Infeasible(f"{unknown[0]} is no free variable of the kernel; it has {', '.join(kernel.variables) or 'none'}")
    env = {"C": channels, "G": groups, **dict(zip("HW", size, strict=False)), **values}
    for step, dim in kernel.dims:
        try:
            dim.value(env)
        except Infeasible as error:
            raise Infeasible(f"step {step} ({kernel.steps[step - 1].op}): {error}") from None
    for number, step_ in enumerate(kernel.steps, 1):
        for name, by in step_.reaches():
            _check_reach(kernel, number, name, by, env)
    return env


def _check_reach(kernel: Kernel, number: int, name: str, by: int, env: Mapping[str, int]) -> None:
    step = kernel.steps[number - 1]
    dim = kernel.shapes[step.ins[0]].axis(name)
    length = dim.value(env)
    if length <= abs(by):
        raise Infeasible(
            f"step {number} ({step.op}): the axis {name!r} ({dim}) is {length} long, which is not longer than the shift by {by}"
        )


def live_tensors(kernel: Kernel) -> list[list[int]]:
    """For each step the tensors that exist while it runs: its result, and those that it or a later step reads."""
    last = {i: number for number, step in enumerate(kernel.steps, 1) for i in step.ins}
    alive = [0]
    rows = []
    for number in range(1, len(kernel.steps) + 1):
        rows.append([*alive, number])
        alive = [i for i in (*alive, number) if last.get(i, len(kernel.steps) + 1) > number]
    return rows
