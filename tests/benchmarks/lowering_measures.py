"""What the benchmark of lowerings measures: equality, latency, peak memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch.profiler import ProfilerActivity, profile

__all__ = ["differences", "peak_bytes", "ratio_of_times", "times"]


def differences(plain: torch.nn.Module, optimized: torch.nn.Module, x: torch.Tensor) -> tuple[float, float]:
    """The relative differences of outputs and of gradients, in float64, for one random direction.

    Relative to the largest element of a tensor; a gradient that all but cancels is compared with the largest gradient.
    """
    plain.double(), optimized.double()
    for parameter in plain.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)  # so that no scale is one and no bias zero
    optimized.load_state_dict(plain.state_dict())
    direction = torch.randn_like(x)
    first, second = (_results(module, x, direction) for module in (plain, optimized))
    largest = max((float(g.abs().max()) for g in first[1:] if g is not None), default=0.0)
    apart = [_apart(a, b, 1e-3 * largest if i else 0.0) for i, (a, b) in enumerate(zip(first, second, strict=True))]
    return apart[0], max(apart[1:])


def _results(module: torch.nn.Module, x: torch.Tensor, direction: torch.Tensor) -> list[torch.Tensor | None]:
    x = x.clone().requires_grad_()
    y = module(x)
    (y * direction).sum().backward()
    return [y.detach(), x.grad, *(p.grad for p in module.parameters())]


def _apart(a: torch.Tensor | None, b: torch.Tensor | None, floor: float) -> float:
    if a is None or b is None:
        present = a if b is None else b
        return 0.0 if present is None or not present.any() else float("inf")
    if not torch.isfinite(a).all():
        return 0.0 if torch.equal(torch.isfinite(a), torch.isfinite(b)) else float("inf")
    return float((a - b).abs().max()) / max(float(a.abs().max()), floor, 1e-5)


def times(calls: Sequence[Callable[[], object]], seconds: float, least: int = 5, most: int = 101) -> list[list[float]]:
    """Milliseconds of processor time of each call; they take turns, so that all see the same machine, for about so long."""
    found: list[list[float]] = [[] for _ in calls]
    for one in calls:
        one()
    start = time.process_time()
    while len(found[0]) < least or (time.process_time() - start < seconds and len(found[0]) < most):
        for own, one in zip(found, calls, strict=True):
            before = time.process_time_ns()
            one()
            own.append((time.process_time_ns() - before) / 1e6)
    return found


def ratio_of_times(first: Sequence[float], second: Sequence[float]) -> float:
    """How many times as long the first call takes: the ratio of medians of interleaved repeats."""
    return statistics.median(first) / statistics.median(second)


def peak_bytes(call: Callable[[], object]) -> int:
    """The most bytes that a call holds at once beyond what was there: torch's own records of its CPU allocator."""
    call()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        result = call()
    assert recorded.profiler is not None
    events = [e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    del result
    return most
