"""Sampled kernels, each built plain, run forward and backward at two sizes; what kas.cost says is what torch counts.

    python tests/benchmarks/sampled_kernels.py [--count 2000]

Prints a row for each rank: kernels that were checked, and disagreements (there must be none: exit code 1 otherwise).
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings

import torch
from torch.utils.flop_counter import FlopCounterMode

import kas

SIZES: dict[int, tuple[tuple[int, ...], ...]] = {2: ((8, 8), (16, 8)), 1: ((16,), (48,)), 0: ((), ())}
CHANNELS = 16


def check(kernel: kas.Kernel, rank: int) -> str:
    """What is wrong with a kernel, "" if nothing is."""
    again = kas.Kernel.from_json(kernel.to_json())
    if again != kernel or again.hash != kernel.hash:
        return "does not come back from JSON"
    kernel_size = (3, 3)[:rank]
    target = kas.Target("t", CHANNELS, CHANNELS, SIZES[rank][0], kernel_size=kernel_size)
    sizes = kas.solve(kernel, [target])
    at = {"groups": sizes.groups, "values": sizes.values["t"]}
    module = kas.build(kernel, channels=CHANNELS, size=SIZES[rank][0], lowering="plain", **at)
    for size in SIZES[rank]:
        if kernel.fixed_size and size != SIZES[rank][0]:
            module = kas.build(kernel, channels=CHANNELS, size=size, lowering="plain", **at)
        cost = kas.cost(kernel, CHANNELS, size, **at)
        x = torch.randn(1, CHANNELS, *size, requires_grad=True)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            y = module(x)
        if counter.get_total_flops() != 2 * cost.macs:
            return f"macs: {cost.macs}, torch counts {counter.get_total_flops() / 2}"
        if sum(p.numel() for p in module.parameters()) != cost.params:
            return f"params: {cost.params}, the module has {sum(p.numel() for p in module.parameters())}"
        y = module(x)
        if y.shape != x.shape:
            return f"shape {tuple(y.shape)}"
        y.sum().backward()
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    count = parser.parse_args().count
    torch.manual_seed(0)
    warnings.simplefilter("ignore")
    wrong = 0
    print(f"{'rank':>4} {'kernels':>8} {'wrong':>6} {'seconds':>8}")
    for rank in (2, 1, 0):
        start, bad = time.perf_counter(), 0
        target = kas.Target("t", CHANNELS, CHANNELS, SIZES[rank][0], kernel_size=(3, 3)[:rank])
        for kernel in kas.sample(count, rank=rank, targets=[target]):
            fault = check(kernel, rank)
            if fault:
                bad += 1
                print(f"  {fault}: {kernel.to_json()}")
        print(f"{rank:>4} {count:>8} {bad:>6} {time.perf_counter() - start:>8.1f}")
        wrong += bad
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
