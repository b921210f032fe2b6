"""The comparison of a known kernel with its reference: numbers, parameters and MACs, at three sizes."""

from __future__ import annotations

from typing import NamedTuple

import reference_attention
import reference_blocks
import reference_convolutions
import reference_factorised
import reference_heads
import reference_mixers
import reference_reassembly
import reference_recalibration
import reference_sequences
import reference_windows
import torch
from kernel_sizes import fitting
from reference import Reference, random_weights
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from kas import build, cost, zoo

REFERENCES: dict[str, type[Reference]] = {
    **reference_convolutions.REFERENCES,
    **reference_factorised.REFERENCES,
    **reference_blocks.REFERENCES,
    **reference_attention.REFERENCES,
    **reference_recalibration.REFERENCES,
    **reference_mixers.REFERENCES,
    **reference_sequences.REFERENCES,
    **reference_heads.REFERENCES,
    **reference_windows.REFERENCES,
    **reference_reassembly.REFERENCES,
}

# channels, size, groups, inner widths: even and odd, square and not. Kernels with windows take the next size that has them.
SIZES = [(8, (6, 6), 2, (4, 6)), (12, (7, 9), 3, (5, 7)), (16, (5, 8), 4, (10, 3))]


class Comparison(NamedTuple):
    """What was found at one size; `difference` is the largest, over the largest element of the reference."""

    difference: float
    params: tuple[int, int]
    macs: tuple[int, int]


def macs_of(module: nn.Module, x: torch.Tensor) -> int:
    """Half of what torch counts in a forward pass."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(x)
    total = counter.get_total_flops()
    assert total % 2 == 0
    return total // 2


def copy_weights(reference: Reference, module: nn.Module) -> None:
    """The weights of the reference, viewed as those of the kernel; every element is used once."""
    with torch.no_grad():
        for parameter, weight in zip(module.parameters(), reference.mapped(), strict=True):
            assert parameter.numel() == weight.numel(), (parameter.shape, weight.shape)
            parameter.copy_(weight.reshape(parameter.shape))


def compare(name: str, channels: int, size: tuple[int, ...], groups: int, widths: tuple[int, ...], seed: int = 0) -> Comparison:
    """A known kernel in both lowerings beside its reference, float64, with random weights and input."""
    kernel = zoo.get(name)
    size = fitting(kernel, size[: kernel.rank])
    values = dict(zip(kernel.variables, widths, strict=False))
    generator = torch.Generator().manual_seed(seed)
    reference = REFERENCES[name](channels, size, groups, values).double()
    random_weights(reference, generator)
    x = torch.randn(3, channels, *size, generator=generator, dtype=torch.double)
    expected = reference(x).detach()
    worst = 0.0
    for lowering in ("plain", "optimized"):
        module = build(kernel, channels=channels, size=size, groups=groups, values=values, lowering=lowering).double()
        copy_weights(reference, module)
        worst = max(worst, float((module(x).detach() - expected).abs().max() / expected.abs().max()))
    found = cost(kernel, channels, size, groups, values)
    params = sum(parameter.numel() for parameter in reference.parameters())
    return Comparison(worst, (found.params, params), (found.macs, macs_of(reference, x[:1])))
