"""One forward pass on an example, to see which modules run, in which order, on which sizes, with how much work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from kas.replacement.copying import cloned, copied
from kas.replacement.example import ExampleInput, arguments
from kas.replacement.running import run

__all__ = ["Call", "observe"]


@dataclass(frozen=True)
class Call:
    """One call of a module: the shapes of its only argument and its result; None where these are not single tensors.

    reads_input: the argument is (a view of) a tensor of the example itself, not something computed from it.
    parts: the shapes of the tensors in its first argument: one tensor, or a list of tensors; empty for anything else.
    others: whether it is given anything besides, other than None, truth values and the first argument again.
    first: the shape of its result, or of the first of several; None where that is no tensor.
    macs: multiply-adds, of the whole batch.
    """

    inputs: tuple[int, ...] | None
    outputs: tuple[int, ...] | None
    reads_input: bool
    parts: tuple[tuple[int, ...], ...] = ()
    others: bool = False
    first: tuple[int, ...] | None = None
    macs: int = 0


def observe(
    model: nn.Module, example_input: ExampleInput, wanted: Callable[[str, nn.Module], bool], *, count: bool = False
) -> dict[str, list[Call]]:
    """The calls of each wanted module that ran, by qualified name, in the order in which the first calls ended.

    count: whether to count the multiply-adds; they are 0 without.
    Runs a copy of the model in eval mode on a copy of the example, without gradients and with its own random state: the
    model, its mode, its running statistics and the example stay as they are. Raises KasError if the model cannot be
    copied or does not run on the example.
    """
    model, example_input = copied(model).eval(), cloned(example_input)
    args, kwargs = arguments(example_input)
    tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
    storages = {tensor.untyped_storage().data_ptr() for tensor in tensors}
    calls: dict[str, list[Call]] = {}
    with ExitStack() as stack:
        stack.enter_context(_plain_attention())
        counter = stack.enter_context(FlopCounterMode(display=False)) if count else None
        for name, module in model.named_modules():
            if wanted(name, module):
                recorder = _Recorder(calls, name, storages, counter)
                for handle in recorder.hook(module):
                    stack.callback(handle.remove)
        run(model, example_input)
    return calls


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Transformers call their parts, and attention runs as the matrix products that it is, not as one call of its own."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


class _Recorder:
    """The hooks that note the calls of one module."""

    def __init__(self, calls: dict[str, list[Call]], name: str, storages: set[int], counter: FlopCounterMode | None) -> None:
        self.calls, self.name, self.storages, self.counter = calls, name, storages, counter
        self.flops: list[int] = []  # counted when a call began; a module may call itself

    def hook(self, module: nn.Module) -> list[Any]:
        """Register the hooks; returns their handles."""
        before = module.register_forward_pre_hook(self.begin)
        return [before, module.register_forward_hook(self.end, with_kwargs=True)]

    def begin(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self.flops.append(self._total())

    def end(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        values = (*args, *kwargs.values())
        single = values[0] if len(values) == 1 and isinstance(values[0], Tensor) else None
        given = values[0] if values and isinstance(values[0], (list, tuple)) else values[:1]
        first = result[0] if isinstance(result, tuple) and result else result
        call = Call(
            inputs=None if single is None else tuple(single.shape),
            outputs=tuple(result.shape) if isinstance(result, Tensor) else None,
            reads_input=single is not None and single.untyped_storage().data_ptr() in self.storages,
            parts=tuple(tuple(part.shape) for part in given) if all(isinstance(part, Tensor) for part in given) else (),
            others=any(not (value is None or isinstance(value, bool) or value is values[0]) for value in values),
            first=tuple(first.shape) if isinstance(first, Tensor) else None,
            macs=(self._total() - self.flops.pop()) // 2,
        )
        self.calls.setdefault(self.name, []).append(call)

    def _total(self) -> int:
        return 0 if self.counter is None else self.counter.get_total_flops()
