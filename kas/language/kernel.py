"""The kernel: a checked program, its file format, and what can be read off it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from kas.language.dims import ONE, Dim
from kas.language.errors import InvalidKernel, shown
from kas.language.primitives import OPS, Outcome, Step
from kas.language.primitives._base import channel_side
from kas.language.rules import check_program, trace
from kas.language.shapes import Shape, input_shape

__all__ = ["FORMAT", "MAX_STEPS", "Kernel"]

FORMAT = "kas.kernel/1"
MAX_STEPS = 128  # of a kernel that is read; programs have under 60 in practice
MAX_TEXT = 1 << 20  # characters of a kernel as JSON


class Kernel:
    """A legal program: a map `[N, C, H, W] -> [N, C, H, W]` (rank 2; `[N, C, H]` at rank 1, `[N, C]` at rank 0).

    Attributes:
        rank: the number of spatial axes, 2, 1 or 0.
        steps: the primitives; step i (from 1) makes tensor i, tensor 0 is the input.
        outcomes: shape, weight and cost of each step, as monomials.

    In a notebook a kernel is shown as its drawing.

    >>> steps = [{"op": "fc", "ins": [0], "to": "C/4"}, {"op": "relu", "ins": [1]}, {"op": "fc", "ins": [2], "to": "C"}]
    >>> Kernel.from_json({"format": "kas.kernel/1", "rank": 2, "steps": steps})
    <Kernel 718f4fe9b68db0e6, rank 2: fc → C/4; relu; fc → C>
    """

    def __init__(self, rank: int, steps: Iterable[Step]):
        """Checks the program. Raises InvalidKernel that names the step and the broken rule."""
        self.rank = rank
        self.steps: tuple[Step, ...] = tuple(steps)
        self.outcomes: tuple[Outcome, ...] = trace(rank, self.steps)
        check_program(rank, self.steps, self.outcomes)
        if any(getattr(step, "side", None) is not None for step in self.steps):
            self.steps = tuple(_without_first_side(step, self.shapes) for step in self.steps)

    @classmethod
    def of_outcomes(
        cls, rank: int, steps: Iterable[Step], outcomes: Iterable[Outcome], shapes: Iterable[Shape] | None = None
    ) -> Kernel:
        """A program whose outcomes are known and whose rules have all been checked step by step, as the sampler does.

        `shapes`: those of all tensors, the input first, if they are at hand.
        """
        kernel = cls.__new__(cls)
        kernel.rank, kernel.steps, kernel.outcomes = rank, tuple(steps), tuple(outcomes)
        if shapes is not None:
            kernel.__dict__["shapes"] = tuple(shapes)
        return kernel

    @classmethod
    def from_json(cls, source: str | bytes | dict[str, Any]) -> Kernel:
        """Read a kernel from its JSON text or object. Raises InvalidKernel: the step and the reason."""
        return cls.from_dict(_parse(source) if isinstance(source, str | bytes) else source)

    @classmethod
    def from_dict(cls, data: Any) -> Kernel:
        """Read a kernel from its JSON object. Raises InvalidKernel: the step and the reason."""
        if not isinstance(data, dict):
            raise InvalidKernel(f"a kernel is a JSON object with format, rank and steps, not {type(data).__name__}")
        for key in ("format", "rank", "steps"):
            if key not in data:
                raise InvalidKernel(f"the key {key!r} is missing; a kernel has format, rank and steps")
        for key in data:
            if key not in ("format", "rank", "steps"):
                raise InvalidKernel(f"unknown key {shown(key)}; a kernel has format, rank and steps")
        if data["format"] != FORMAT:
            raise InvalidKernel(f"the format is {shown(data['format'])}; this kas reads {FORMAT!r}")
        rank = data["rank"]
        if isinstance(rank, bool) or not isinstance(rank, int) or rank not in (0, 1, 2):
            raise InvalidKernel(f"rank must be 2, 1 or 0, not {shown(rank)}")
        if not isinstance(data["steps"], list | tuple):
            raise InvalidKernel(f"steps must be a list, not {type(data['steps']).__name__}")
        if len(data["steps"]) > MAX_STEPS:
            raise InvalidKernel(f"a kernel has at most {MAX_STEPS} steps, not {len(data['steps'])}")
        return cls(rank, [_read_step(i, entry) for i, entry in enumerate(data["steps"], 1)])

    def to_dict(self) -> dict[str, Any]:
        """The canonical JSON object."""
        return {"format": FORMAT, "rank": self.rank, "steps": [step.to_dict() for step in self.steps]}

    def to_json(self) -> str:
        """The canonical JSON text, without spaces."""
        return json.dumps(self.to_dict(), separators=(",", ":"))

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """The shape of every tensor, the input first."""
        return (input_shape(self.rank), *(outcome.shape for outcome in self.outcomes))

    @cached_property
    def dims(self) -> tuple[tuple[int, Dim], ...]:
        """Every dim and quotient that must be a positive integer at a target, each with the first step it occurs in."""
        found: dict[Dim, int] = {}
        for i, (step, outcome) in enumerate(zip(self.steps, self.outcomes, strict=True), 1):
            own = [dim for _, dim in step.dims() if dim is not ONE]
            axes = [dim for _, dim in outcome.shape.axes()]
            for dim in (*own, *axes, *outcome.quotients):
                found.setdefault(dim, i)
        return tuple((i, dim) for dim, i in found.items())

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """The free variables that occur, by number."""
        names = {name for _, dim in self.dims for name in dim.variables}
        return tuple(sorted(names, key=lambda name: int(name[1:])))

    @cached_property
    def uses_groups(self) -> bool:
        """Whether `G` occurs."""
        return any(dim.power_of("G") for _, dim in self.dims)

    @cached_property
    def fixed_size(self) -> bool:
        """Whether a weight depends on `H` or `W`, which ties the kernel to one resolution."""
        weights = [dim for outcome in self.outcomes for dim in outcome.weight or ()]
        return any(dim.power_of("H") or dim.power_of("W") for dim in weights)

    @cached_property
    def hash(self) -> str:
        """Of the normal form: equal for kernels that are the same functions with the same trained parameters."""
        from kas.language.normal import kernel_hash

        return kernel_hash(self)

    @cached_property
    def family(self) -> str:
        """The hash of the form that the kernel fuses to: equal for re-parametrisations of one another."""
        from kas.language.normal import kernel_family

        return kernel_family(self)

    def draw(self, path: str | Path) -> Path:
        """Draw the micro-DAG to a `.svg` or `.png` file and return its path."""
        import importlib

        drawing = importlib.import_module("kas.lowering.drawing")
        written: Path = drawing.draw(self, path)
        return written

    def __eq__(self, other: object) -> bool:
        """The same program, step by step; kernels that only do the same have equal `hash`."""
        return isinstance(other, Kernel) and self.rank == other.rank and self.steps == other.steps

    def __hash__(self) -> int:
        return hash((self.rank, self.steps))

    def __repr__(self) -> str:
        """The hash and the steps; a step that reads other tensors than the last one says which."""
        import importlib

        text = importlib.import_module("kas.lowering.labels").step_text
        reads = [f" of {', '.join(map(str, step.ins))}" * (step.ins != (i,)) for i, step in enumerate(self.steps)]
        steps = [text(step) + read for step, read in zip(self.steps, reads, strict=True)]
        return f"<Kernel {self.hash}, rank {self.rank}: {'; '.join(steps)}>"

    def _repr_svg_(self) -> str:
        """The drawing, which a notebook shows in the kernel's place."""
        import importlib

        svg: str = importlib.import_module("kas.lowering.drawing").svg_text(self)
        return svg


def _without_first_side(step: Step, shapes: tuple[Shape, ...]) -> Step:
    """A step that names its side only where it is not the first channel side."""
    side = getattr(step, "side", None)
    if side is None or side != channel_side(shapes[step.ins[0]], None):
        return step
    changed: Step = replace(cast(Any, step), side=None)
    return changed


def _parse(text: str | bytes) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
            raise InvalidKernel(f"the key {shown(twice)} occurs twice in one object")
        return found

    if len(text) > MAX_TEXT:
        raise InvalidKernel(f"a kernel has at most {MAX_TEXT} characters, not {len(text)}")
    try:
        return json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise InvalidKernel(f"this is not JSON: {error}") from None


def _read_step(number: int, entry: Any) -> Step:
    if not isinstance(entry, dict):
        raise InvalidKernel(f"step {number}: a step is a JSON object, not {shown(entry)}")
    op = entry.get("op")
    if not isinstance(op, str) or op not in OPS:
        known = ", ".join(OPS)
        raise InvalidKernel(f"step {number}: unknown op {shown(op)}; the ops are {known}")
    try:
        return OPS[op].from_dict(entry)
    except InvalidKernel as error:
        raise InvalidKernel(f"step {number} ({op}): {error}") from None
