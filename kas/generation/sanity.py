"""Whether a sampled kernel starts sanely: what no weight can repair is not sampled."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from math import prod

from kas.language import Kernel
from kas.language.scales import is_sane
from kas.solvers import Sizes
from kas.solvers.targets import Target

__all__ = ["starts_sanely"]

_RISKY = frozenset(
    (
        "fold",
        "softmax",
        "normalize",
        "matmul",
        "mul",
        "div",
        "exp",
        "sqr",
        "sqrt",
        "tanh",
        "sigmoid",
        "sub",
        "max",
        "min",
        "pool",
        "col2im",
        "bmm",
        "reassemble",
    )
)


def starts_sanely(kernel: Kernel, targets: Sequence[Target], sizes: Sizes) -> bool:
    """Whether a kernel's output is expected to have a sane scale, to depend on the input, and every weight an effect.

    Judged at the target with the most positions, where means are smallest, and at one where some width is 1, so that a
    softmax over it is a constant, if there is one. Some 50 microseconds each.
    """
    if _RISKY.isdisjoint([step.op for step in kernel.steps]):
        return True  # linear maps, sums and rectifiers: the initial weights keep their scale
    largest = max(targets, key=lambda one: prod(one.size))
    narrow = (one for one in targets if one is not largest and 1 in sizes.values[one.name].values())
    return all(_is_sane_at(kernel, target, sizes) for target in (largest, *islice(narrow, 1)))


def _is_sane_at(kernel: Kernel, target: Target, sizes: Sizes) -> bool:
    env = {"C": target.channels, "G": sizes.groups, **dict(zip("HW", target.size, strict=False)), **sizes.values[target.name]}
    return is_sane(kernel.steps, kernel.shapes, env)
