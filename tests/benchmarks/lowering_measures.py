"""What the benchmark of lowerings measures: equality, latency, peak memory."""

from __future__ import annotations

import statistics
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch._dynamo
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import kas
from kas import zoo

__all__ = [
    "compiled",
    "differences",
    "hand_written",
    "inference",
    "peak_bytes",
    "ratio_of_times",
    "times",
    "traced_whole",
]


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


class _Live(TorchDispatchMode):
    """The bytes of all storages that operators have made and that are still held, and the most that there were."""

    def __init__(self) -> None:
        super().__init__()
        self.held = self.most = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._enter(tensor.untyped_storage())
        return result

    def known(self, tensor: torch.Tensor) -> None:
        """Do not count a storage."""
        self._known.add(tensor.untyped_storage()._cdata)

    def _enter(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            self.held += size
            self.most = max(self.most, self.held)
            weakref.finalize(storage, self._leave, key, size)

    def _leave(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.held -= size


def peak_bytes(module: torch.nn.Module, x: torch.Tensor) -> int:
    """The most bytes of tensors that a forward without gradients holds at once beyond its input and parameters.

    What an operator needs for itself while it runs is not counted.
    """
    with torch.no_grad(), _Live() as live:
        for tensor in (x, *module.parameters()):
            live.known(tensor)
        module(x)
    return live.most


def inference(module: Callable[[torch.Tensor], object], x: torch.Tensor) -> Callable[[], None]:
    """One inference as a call."""

    def call() -> None:
        with torch.inference_mode():
            module(x)

    return call


def traced_whole(module: torch.nn.Module, x: torch.Tensor) -> str:
    """Why a module is not one graph for torch.compile; "" if it is."""
    torch._dynamo.reset()
    try:
        with torch.no_grad():
            torch.compile(module, fullgraph=True, backend="eager")(x)
    except Exception as error:  # any refusal of the tracer is the answer
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return ""


def compiled(module: torch.nn.Module, x: torch.Tensor) -> Callable[[], None]:
    """One inference of the module compiled by Inductor, as a call that has run once. Raises what the compiler raises."""
    torch._dynamo.reset()
    call = inference(torch.compile(module, fullgraph=True), x)
    call()
    return call


class _Attention(torch.nn.Module):
    """Non-local attention as a person would write it."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.q, self.k, self.v = (torch.nn.Linear(channels, width, bias=False) for _ in range(3))
        self.out = torch.nn.Linear(width, channels, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        rows = x.flatten(2).transpose(1, 2)
        y = torch.nn.functional.scaled_dot_product_attention(
            self.q(rows).unsqueeze(1), self.k(rows).unsqueeze(1), self.v(rows).unsqueeze(1)
        )
        y = self.out(y.squeeze(1) / (h * w) ** 0.5)
        return x + y.transpose(1, 2).reshape(n, c, h, w)


_UNFOLD = {"op": "unfold", "ins": [0], "over": "hw", "k": 3}
_FC = {"op": "fc", "ins": [2], "to": "C"}
_FORMS: dict[str, list[dict[str, Any]] | str] = {
    "depthwise, by unfold": [_UNFOLD, {"op": "group", "ins": [1], "by": "C"}, _FC],
    "grouped, by unfold": [_UNFOLD, {"op": "group", "ins": [1], "by": "G"}, _FC],
    "dilated, by unfold": [{**_UNFOLD, "d": 2}, {**_FC, "ins": [1]}],
    "attention": "nonlocal_attention",
}


def hand_written() -> Iterator[tuple[str, int, list[Callable[[], None]]]]:
    """Kernel and torch module for depthwise, grouped, dilated and attention forms, at three sizes, batch 1 and 32."""
    for name, steps in _FORMS.items():
        if isinstance(steps, str):
            kernel = zoo.get(steps)
        else:
            kernel = kas.Kernel.from_dict({"format": "kas.kernel/1", "rank": 2, "steps": steps})
        for channels, side in ((64, 32), (128, 16), (256, 8)):
            width = channels // 4
            values = dict.fromkeys(kernel.variables, width)
            own = kas.build(kernel, channels=channels, size=(side, side), groups=4, values=values).eval()
            groups = {"depthwise": channels, "grouped": 4}.get(name.partition(",")[0], 1)
            d = 2 if name.startswith("dilated") else 1
            conv = torch.nn.Conv2d(channels, channels, 3, padding=d, dilation=d, groups=groups, bias=False)
            theirs = _Attention(channels, width).eval() if name == "attention" else conv.eval()
            for batch in (1, 32):
                x = torch.randn(batch, channels, side, side)
                yield f"{name} {channels}x{side}", batch, [inference(own, x), inference(theirs, x)]
