"""Stored outputs for the check that a standalone file makes of itself: those of the plain lowering, in double precision.

Inputs and weights are given by a recipe in integers, `numbers`, which is the same on every machine and for every torch. The
file has a copy of it as text (`RECIPE`), which is also what is run here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kas.generated import load
from kas.language.costs import environment
from kas.language.errors import Infeasible, KasError
from kas.language.kernel import Kernel
from kas.lowering.building import build

__all__ = ["Check", "stored_check"]

BATCH = 2
COUNT = 6  # outputs that are stored
TOLERANCE = 1e-6  # of the largest of them
_SMALL: dict[int, list[tuple[int, ...]]] = {
    2: [(6, 10), (8, 12), (8, 8), (12, 16), (16, 16)],
    1: [(12,), (16,), (24,), (32,)],
    0: [()],
}
_SCALES = (1.0, 0.1, 0.01)

RECIPE = '''\
def numbers(shape: tuple[int, ...], seed: int) -> Tensor:
    """Numbers between -1 and 1 that look random and are the same everywhere: a chain of integer remainders."""
    z = torch.arange(1, torch.Size(shape).numel() + 1) * 48271 % 2147483647 + seed
    for _ in range(3):
        z = z * z % 2147483647 + 12345
    return (z.double() / 1073741824 - 1).reshape(shape)


def outputs(module: nn.Module, x: Tensor) -> Tensor:
    """Six of the outputs and the root mean square of all, in double precision, for weights by the same recipe."""
    module = module.double().eval()
    with torch.no_grad():
        for seed, weight in enumerate(module.parameters(), 1):
            weight.copy_(numbers(weight.shape, seed) * max(1, weight[0].numel()) ** -0.5)
        y = module(x).flatten()
    picked = y[torch.arange(6) * (y.numel() - 1) // 5]
    return torch.cat([picked, y.square().mean().sqrt()[None]])
'''


@dataclass(frozen=True)
class Check:
    """An input `[2, channels, *size]`, its scale, and what `outputs` gives for it."""

    shape: tuple[int, ...]
    scale: float
    outputs: tuple[float, ...]


def stored_check(
    kernel: Kernel, channels: int, size: tuple[int, ...], groups: int, values: Mapping[str, int], text: str, name: str
) -> Check:
    """The check of a file, whose class `name` of `text` (without its check) passes it.

    At a small size if the kernel exists there. Where numbers overflow or are chaotic, the input is made smaller.
    Raises KasError if the file's outputs are not those of the plain lowering.
    """
    size = _small(kernel, channels, size, groups, values)
    reference = build(kernel, channels=channels, size=size, groups=groups, values=values, lowering="plain")
    own = load(text, name)()
    scope: dict[str, object] = {"torch": torch, "Tensor": Tensor, "nn": nn}
    exec(compile(RECIPE, "<kas recipe>", "exec"), scope)
    numbers, outputs = scope["numbers"], scope["outputs"]
    assert callable(numbers)
    assert callable(outputs)
    shape = (BATCH, channels, *size)
    for scale in _SCALES:
        x = numbers(shape, 0) * scale
        expected, found = outputs(reference, x), outputs(own, x)
        if expected.isfinite().all() and (expected - found).abs().max() <= TOLERANCE / 10 * expected.abs().max():
            return Check(shape, scale, tuple(float(f"{value:.9g}") for value in expected.tolist()))
    raise KasError(f"kernel {kernel.hash}: the source gives {found.tolist()}, the plain lowering {expected.tolist()}")


def _small(kernel: Kernel, channels: int, size: tuple[int, ...], groups: int, values: Mapping[str, int]) -> tuple[int, ...]:
    """The first small size at which the kernel exists; its own where there is none, or where it is tied to it."""
    for small in () if kernel.fixed_size else _SMALL[kernel.rank]:
        try:
            environment(kernel, channels, small, groups, values)
        except Infeasible:
            continue
        return small
    return size
