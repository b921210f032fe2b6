"""The kernels of the benchmark of lowerings, with their classes and sizes.

The classes, each decided by the program alone:

* unfold: it has an unfold.
* attention: it has a product with a softmax of scores (a matmul or bmm read by a softmax, or with its own).
* broadcast, fold: plain makes a tensor in memory of which nothing but its fold is ever read, and which an expert need not make.
  That is a fold of a tensor that nothing else reads (views left out), made by
  - for a mean over any axes: fc, conv, mix, matmul without a softmax, unfold, scale, bias, neg, shift, add, sub: what they
    read, or their weights, can be folded first;
  - for a mean: mul, or div with `swap`, whose left operand is broadcast, by name, along at least one of the folded axes;
    or mul with an unfolded operand, folded over its taps;
  - for a maximum: an unfold, folded over its taps, a shift along a folded axis, or relu, sigmoid, tanh, exp.
  A fold of anything else (the maximum of an fc; the mean of a product of two images; of what others read too) has to be made.
* others: none of these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import kas
from kas import zoo
from kas.language.kernel import Kernel
from kas.language.primitives.binary import align
from kas.language.primitives.reductions import Fold

__all__ = ["CLASSES", "SIZES", "Case", "cases", "classes", "label"]

SIZES = ((64, 32), (128, 16), (256, 8), (512, 4))  # channels, height and width
CLASSES = ("unfold", "attention", "broadcast, fold", "others")

_VIEWS = ("group", "ungroup", "transpose")
_AFTER_MEAN = ("fc", "conv", "mix", "unfold", "scale", "bias", "neg", "shift", "add", "sub")  # what the mean can go before
_AFTER_MAXIMUM = ("relu", "sigmoid", "tanh", "exp")
_TAPS = {"0.kh", "0.kw"}
_PRODUCTS = ("matmul", "bmm")


@dataclass(frozen=True)
class Case:
    """A kernel at some targets: `values[i]` are its free variables at `SIZES[i]`, None where it does not exist there."""

    name: str
    kernel: Kernel
    groups: int
    values: tuple[dict[str, int] | None, ...]

    def at(self, number: int, lowering: str) -> Any:
        """The module for one of the sizes."""
        channels, side = SIZES[number]
        values = self.values[number]
        assert values is not None
        size = (side, side)
        return kas.build(self.kernel, channels=channels, size=size, groups=self.groups, values=values, lowering=lowering)


def cases(count: int, seed: int, budget: float) -> Iterator[Case]:
    """All known kernels of rank 2 (four groups; free widths a quarter of the channels), then sampled ones."""
    for name in zoo.names(2):
        kernel = zoo.get(name)
        values = tuple(dict.fromkeys(kernel.variables, channels // 4) for channels, _ in SIZES)
        yield Case(name, kernel, 4, tuple(v if _exists(kernel, i, 4, v) else None for i, v in enumerate(values)))
    targets = [kas.Target(f"t{i}", c, c, (side, side), kernel_size=(3, 3)) for i, (c, side) in enumerate(SIZES)]
    wanted = {"macs": budget}
    for i, kernel in enumerate(kas.sample(count, rank=2, seed=seed, targets=targets, budget=wanted)):
        sizes = kas.solve(kernel, targets, wanted)
        yield Case(f"sample {i}", kernel, sizes.groups, tuple(dict(sizes.values[t.name]) for t in targets))


def _exists(kernel: Kernel, number: int, groups: int, values: dict[str, int]) -> bool:
    channels, side = SIZES[number]
    try:
        kas.cost(kernel, channels, (side, side), groups, values)
    except kas.Infeasible:
        return False
    return True


def classes(kernel: Kernel) -> set[str]:
    """The classes of a kernel, by what its program has; `others` only if it is in none of the rest."""
    found = set()
    for step in kernel.steps:
        if step.op == "unfold":
            found.add("unfold")
        if step.op in _PRODUCTS and any(_is_attention(kernel, i) for i in step.ins):
            found.add("attention")
        if isinstance(step, Fold) and _made_to_be_folded(kernel, step):
            found.add("broadcast, fold")
    return found or {"others"}


def _made_to_be_folded(kernel: Kernel, fold: Fold) -> bool:
    """Whether nothing but its fold is read of a tensor that need not be made (see above)."""
    readers = Counter(i for step in kernel.steps for i in step.ins)
    tensor, axes = fold.ins[0], set(fold.axes)
    while tensor and readers[tensor] == 1 and kernel.steps[tensor - 1].op in _VIEWS:
        tensor = kernel.steps[tensor - 1].ins[0]
    if not tensor or readers[tensor] > 1:
        return False
    step = kernel.steps[tensor - 1]
    if fold.how == "max":
        moved = set(getattr(step, "axes", ())) if step.op == "shift" else _TAPS if step.op == "unfold" else set()
        return bool(axes & moved) or step.op in _AFTER_MAXIMUM
    if step.op == "matmul":
        return not getattr(step, "softmax", False)
    if step.op == "mul" and axes & _TAPS and "unfold" in [_behind_views(kernel, i) for i in step.ins]:
        return True
    if step.op == "mul" or (step.op == "div" and getattr(step, "swap", False)):
        left, right = (kernel.shapes[i] for i in step.ins)
        named = all(align(ours, theirs).by_name for ours, theirs in zip(left, right, strict=True))
        return named and not axes <= {name for name, _ in left.axes()}
    return step.op in _AFTER_MEAN


def _behind_views(kernel: Kernel, tensor: int) -> str:
    """The op that made a tensor, views left out; `input` for the input."""
    while tensor and kernel.steps[tensor - 1].op in _VIEWS:
        tensor = kernel.steps[tensor - 1].ins[0]
    return kernel.steps[tensor - 1].op if tensor else "input"


def _is_attention(kernel: Kernel, tensor: int) -> bool:
    """Whether a tensor is a softmax of scores."""
    step = kernel.steps[tensor - 1] if tensor else None
    if step is None:
        return False
    if step.op == "softmax":
        return _behind_views(kernel, step.ins[0]) in _PRODUCTS
    return step.op in _PRODUCTS and bool(getattr(step, "softmax", False))


def label(kernel: Kernel) -> str:
    """A program in one line: `1 unfold(0) over=hw k=3; 2 fc(1) to=C`."""
    lines = []
    for number, step in enumerate(kernel.steps, 1):
        entry = step.to_dict()
        op, ins = entry.pop("op"), entry.pop("ins")
        assert isinstance(ins, list)
        words = [f"{key}={_short(value)}" for key, value in entry.items() if value is not False and value != [1, 1]]
        lines.append(" ".join([f"{number} {op}({','.join(map(str, ins))})", *words]))
    return "; ".join(lines)


def _short(value: object) -> str:
    if isinstance(value, list):
        return "[" + " ".join(map(_short, value)) + "]"
    return {True: "t", False: "f"}[value] if isinstance(value, bool) else str(value)
