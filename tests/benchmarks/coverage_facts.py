"""What kinds of kernels there are: facts about one program, read off its steps and shapes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kas.language import Kernel, Step
from kas.language.dims import ONE
from kas.language.shapes import SPATIAL

__all__ = ["Facts", "attribute_values", "width_kind"]

_FUNCTIONS = frozenset(["gelu", "relu", "sigmoid", "tanh", "abs", "exp", "neg", "sin", "sqrt", "sqr"])
_LIGHT = _FUNCTIONS | {"group", "ungroup", "transpose", "scale", "bias", "normalize"}
_LINEAR = frozenset(["fc", "conv", "mix"])


def width_kind(text: str) -> str:
    """A dim with its free variable without a number: `G*x3` is `G*x`."""
    head, _, tail = text.partition("x")
    return head + "x" + tail.lstrip("0123456789") if tail else text


def attribute_values(step: Step) -> Iterator[tuple[str, str]]:
    """The attributes of a step with their values as short texts, as `("conv k", "3x3")`; dims without numbers of variables."""
    for key, value in step.to_dict().items():
        if key in ("op", "ins", "side"):
            continue
        name = f"{step.op} {key}"
        if key in ("k", "d") and isinstance(value, list):
            yield name, "x".join(map(str, value))
        elif key == "axes":
            yield name, " ".join(value)
        elif step.op == "mix":
            yield from ((name, width_kind(one)) for one in value)
        elif isinstance(value, bool):
            yield name, "yes" if value else "no"
        elif isinstance(value, list):  # the flags of a matmul
            yield name, " ".join("T" if flag else "-" for flag in value)
        else:
            yield name, width_kind(str(value)) if key in ("to", "by") else str(value)


@dataclass(frozen=True)
class Facts:
    """What is counted of one kernel."""

    kernel: Kernel

    @cached_property
    def ops(self) -> frozenset[str]:
        return frozenset(step.op for step in self.kernel.steps)

    @cached_property
    def joins(self) -> int:
        """Steps that read two tensors."""
        return sum(step.arity == 2 for step in self.kernel.steps)

    @cached_property
    def width(self) -> int:
        """The most tensors that are still to be read (or the output) after any step."""
        last = {i: number for number, step in enumerate(self.kernel.steps, 1) for i in step.ins}
        count = len(self.kernel.steps)
        return max(sum(last.get(i, count + 1) > n for i in range(n + 1)) for n in range(count + 1))

    @cached_property
    def _above(self) -> list[frozenset[int]]:
        """For each tensor those that it is made from, itself included."""
        above = [frozenset([0])]
        for number, step in enumerate(self.kernel.steps, 1):
            above.append(frozenset([number]).union(*(above[i] for i in step.ins)))
        return above

    @cached_property
    def form(self) -> str:
        """How branches meet: a chain, skips only (one side of every join is made from the other), or parallel branches."""
        if not self.joins:
            return "chain"
        return "parallel branches" if any(map(self._is_parallel, self.kernel.steps)) else "skips or gates"

    def _is_parallel(self, step: Step) -> bool:
        if step.arity < 2:
            return False
        left, right = step.ins
        return left not in self._above[right] and right not in self._above[left]

    @cached_property
    def attends(self) -> bool:
        """A matmul with softmax, or a softmax whose result a matmul or mul takes in later."""
        for number, step in enumerate(self.kernel.steps, 1):
            if step.op == "matmul" and getattr(step, "softmax", False):
                return True
            if step.op in ("matmul", "mul") and any(
                self.kernel.steps[i - 1].op == "softmax" for i in self._above[number] if i and i != number
            ):
                return True
        return False

    @cached_property
    def convolves(self) -> bool:
        """A convolution over neighbours, or an unfold or shift whose result a linear map or a fold takes in later."""
        for number, step in enumerate(self.kernel.steps, 1):
            if step.op == "conv" and max(_pair(step, "k")) > 1:
                return True
            if (step.op in _LINEAR or step.op == "fold") and any(
                self.kernel.steps[i - 1].op in ("unfold", "shift") for i in self._above[number] if i and i != number
            ):
                return True
        return False

    @cached_property
    def is_local(self) -> bool:
        """Reads neighbours: a convolution over more than one position, an unfold or a shift."""
        return any(step.op in ("unfold", "shift") or (step.op == "conv" and max(_pair(step, "k")) > 1)
                   for step in self.kernel.steps)  # fmt: skip

    @cached_property
    def mixes_positions(self) -> bool:
        """Whether anything passes from one position to another, near or far."""
        return self.is_local or any(self._gathers(step) for step in self.kernel.steps)

    def _gathers(self, step: Step) -> bool:
        if step.op == "filter":
            return str(step.to_dict()["axis"])[2:] in ("h", "w")
        if step.op in ("fold", "softmax", "normalize", "mix"):
            return any(name[2:] in ("h", "w") for name in step.to_dict()["axes"])
        if step.op != "matmul":
            return False
        contracted = self.kernel.shapes[step.ins[0]].sides[0 if step.to_dict()["t"][0] else 1]
        return contracted.kind == SPATIAL and contracted.product is not ONE

    @cached_property
    def grouped_heads(self) -> bool:
        """A linear map to as many channels as G heads need, whose result is grouped by G."""
        for step in self.kernel.steps:
            if step.op == "group" and str(step.to_dict()["by"]) == "G" and step.ins[0]:
                before = self.kernel.steps[self._through(step.ins[0]) - 1]
                if before.op in ("fc", "conv") and "G" in str(before.to_dict()["to"]):
                    return True
        return False

    @cached_property
    def added_heads(self) -> bool:
        """Two parallel branches, each with a linear map of its own near its end, that are added."""
        for step in self.kernel.steps:
            if step.op in ("add", "sub") and self._is_parallel(step):
                ends = [self._through(i) for i in step.ins]
                if ends[0] != ends[1] and all(i and self.kernel.steps[i - 1].op in _LINEAR for i in ends):
                    return True
        return False

    def _through(self, tensor: int) -> int:
        """The tensor that one is a view or a function of, element by element."""
        while tensor and self.kernel.steps[tensor - 1].op in _LIGHT:
            tensor = self.kernel.steps[tensor - 1].ins[0]
        return tensor

    @cached_property
    def widths(self) -> list[bool]:
        """For each linear map to channels, the one that makes the output left out: whether its width is free."""
        linear = [(number, step) for number, step in enumerate(self.kernel.steps, 1) if step.op in ("fc", "conv")]
        return ["x" in str(step.to_dict()["to"]) for number, step in linear if number < len(self.kernel.steps)]


def _pair(step: Step, name: str) -> tuple[Any, ...]:
    return tuple(getattr(step, name))
