"""From a plan to the merged program and its weights: convolutions, scales, sums and biases in the kernel language."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from kas.language.dims import ONE, Dim
from kas.language.kernel import Kernel
from kas.language.primitives import OPS, Step
from kas.lowering.fusing.affine import Affine, Source
from kas.lowering.fusing.maps import HERE, ConvMap, Floats
from kas.lowering.fusing.reading import Program
from kas.lowering.fusing.search import Plan

__all__ = ["write"]


def write(program: Program, plan: Plan, needed: set[int]) -> tuple[Kernel, list[Floats]]:
    """The program with each planned step computed as planned, and its weights in step order, in the language's layout.

    Raises InvalidKernel where the language cannot say it.
    """
    writer = _Writer(program)
    for number in sorted(needed - {0}):
        if number in plan:
            writer.merged(number, plan[number])
        else:
            writer.as_it_is(number)
    return Kernel(program.kernel.rank, writer.steps), writer.weights


class _Writer:
    """Steps and weights so far; `names` are the new numbers of the program's tensors."""

    def __init__(self, program: Program):
        self.program = program
        self.steps: list[Step] = []
        self.weights: list[Floats] = []
        self.names = {0: 0}

    def as_it_is(self, number: int) -> None:
        step: Any = self.program.kernel.steps[number - 1]
        self.steps.append(replace(step, ins=tuple(self.names[i] for i in step.ins)))
        self.names[number] = len(self.steps)
        if number in self.program.weights:
            self.weights.append(self.program.weights[number])

    def merged(self, number: int, form: Affine) -> None:
        """Sources that stay as they are go last: they are added to the rest."""
        side = self.program.kernel.shapes[number].first
        ordered = sorted(form.terms.items(), key=lambda term: (abs(term[1].sign), term[1].diagonal_values is not None))
        total, bias = None, form.bias if form.bias.any() else None
        for source, map_ in ordered:
            total = self._term(source, map_, number, total)
            if bias is not None:
                total = self._push("bias", (total,), bias, axes=["0.c"])
                bias = None
        assert total is not None
        if side.dim("g") is not ONE:
            total = self._push("group", (total,), by=side.dim("g").text)
        self.names[number] = total

    def _term(self, source: Source, map_: ConvMap, number: int, total: int | None) -> int:
        """One source's part, added to what is there; channels `c` alone."""
        tensor = self.names[source.tensor]
        if source.roll != HERE:
            tensor = self._shifted(tensor, source.roll)
        if map_.diagonal_values is None:
            tensor = self._convolution(tensor, source.tensor, map_, number)
        else:
            tensor = self._ungrouped(tensor, source.tensor)
            if not map_.sign:
                tensor = self._push("scale", (tensor,), map_.diagonal_values, axes=["0.c"])
        if total is None:
            return self._push("neg", (tensor,)) if map_.sign < 0 else tensor
        if map_.sign < 0:
            return self._push("sub", (total, tensor))
        return self._push("add", (total, tensor))

    def _shifted(self, tensor: int, roll: tuple[int, int]) -> int:
        if roll[0] == roll[1]:
            return self._push("shift", (tensor,), axes=["1.h", "1.w"], by=roll[0])
        for axis, by in zip(("1.h", "1.w"), roll, strict=True):
            tensor = self._push("shift", (tensor,), axes=[axis], by=by) if by else tensor
        return tensor

    def _ungrouped(self, tensor: int, original: int) -> int:
        """A tensor with all channels in `c`."""
        grouped = self.program.kernel.shapes[original].first.dim("g") is not ONE
        return self._push("ungroup", (tensor,)) if grouped else tensor

    def _convolution(self, tensor: int, original: int, map_: ConvMap, number: int) -> int:
        """A map as fc, where it reads single positions and is not depthwise, or as conv."""
        to = self.program.kernel.shapes[number].first.product.text
        own = self.program.kernel.shapes[original].first.dim("g")
        depthwise = 1 < map_.groups == map_.columns
        if depthwise or own.value(self.program.env) != map_.groups:
            tensor = self._ungrouped(tensor, original)
            if not depthwise and map_.groups > 1:
                tensor = self._push("group", (tensor,), by=Dim.of(map_.groups).text)
        if map_.pointwise and not depthwise:
            return self._push("fc", (tensor,), map_.weight(), to=to)
        k, d = map_.window
        return self._push("conv", (tensor,), map_.weight(), to=to, k=list(k), d=list(d), depthwise=depthwise)

    def _push(self, op: str, ins: tuple[int, ...], weight: Floats | None = None, **attributes: Any) -> int:
        self.steps.append(OPS[op].from_dict({"op": op, "ins": list(ins), **attributes}))
        if weight is not None:
            self.weights.append(np.asarray(weight))
        return len(self.steps)
