"""Latency of the plain and the optimized lowering of known kernels, beside the 3x3 convolution that they would replace.

    python tests/benchmarks/lowerings.py [NAME ...] [--channels 64] [--size 32 32] [--batch 32] [--threads 1] [--training]

All rank 2 kernels of the zoo by default. Milliseconds: the median of interleaved repeats, after a warm-up.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from kas import zoo
from kas.language import Infeasible
from kas.lowering import build


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=zoo.names(2))
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--size", type=int, nargs="+", default=(32, 32))
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--training", action="store_true", help="forward and backward, not inference")
    parser.add_argument("--device", default="cpu")
    wanted = parser.parse_args()
    torch.set_num_threads(wanted.threads)
    x = torch.randn(wanted.batch, wanted.channels, *wanted.size, device=wanted.device)
    convolution = torch.nn.Conv2d(wanted.channels, wanted.channels, 3, padding=1, bias=False).to(wanted.device)
    print(f"{'kernel':24}{'plain ms':>10}{'optimized':>11}{'faster':>8}{'conv2d':>9}{'of it':>7}")
    for name in wanted.names:
        row(name, x, convolution, wanted)


def row(name: str, x: torch.Tensor, convolution: torch.nn.Module, wanted: argparse.Namespace) -> None:
    """Measure and print one kernel."""
    kernel = zoo.get(name)
    sizes = {"channels": wanted.channels, "size": tuple(wanted.size), "groups": 4}
    values = dict.fromkeys(kernel.variables, max(1, wanted.channels // 4))
    try:
        modules = [build(kernel, **sizes, values=values, lowering=lowering) for lowering in ("plain", "optimized")]
    except Infeasible as error:
        print(f"{name:24}{error}")
        return
    modules = [*(module.to(x.device) for module in modules), convolution]
    plain, optimized, reference = milliseconds(
        [call(module, x, wanted.training) for module in modules], wanted.repeats, x.is_cuda
    )
    print(
        f"{name:24}{plain:10.3f}{optimized:11.3f}{plain / optimized:8.2f}{reference:9.3f}{optimized / reference:7.2f}",
        flush=True,
    )


def call(module: torch.nn.Module, x: torch.Tensor, training: bool) -> Callable[[], None]:
    """One inference, or one forward and backward."""
    if training:
        leaf = x.clone().requires_grad_()

        def step() -> None:
            module.zero_grad()
            module(leaf).sum().backward()

        return step

    def infer() -> None:
        with torch.inference_mode():
            module(x)

    return infer


def milliseconds(calls: list[Callable[[], None]], repeats: int, cuda: bool) -> list[float]:
    """The median duration of each call; the calls take turns, so that all see the same machine."""
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(repeats + 2):
        for own, one in zip(times, calls, strict=True):
            start = time.perf_counter()
            one()
            if cuda:
                torch.cuda.synchronize()
            if turn > 1:
                own.append(1000 * (time.perf_counter() - start))
    return [statistics.median(own) for own in times]


if __name__ == "__main__":
    main()
