"""Short spellings of programs for the tests, and random programs.

`program("unfold over=hw k=3", "group by=C", "fc to=C")`: one text a step; the first word is the op, then attributes; `in=`
names the tensors that it reads, by default the one before (of two: the input and the one before).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kas.language import OPS, KasError, Kernel
from kas.language.kernel import _read_step
from kas.language.primitives import Step
from kas.language.rules import apply_step, is_output, unconsumed
from kas.language.shapes import input_shape


def step(text: str, number: int = 1) -> dict[str, Any]:
    """One step as its JSON object."""
    op, *words = text.split()
    entry: dict[str, Any] = {"op": op, "ins": [number - 1] if OPS[op].arity == 1 else [0, number - 1]}
    for word in words:
        key, value = word.split("=", 1)
        parts = value.split(",")
        if key == "in":
            entry["ins"] = [int(part) for part in parts]
        elif key in ("k", "d", "t") and (op in ("conv", "matmul", "bmm")):
            entry[key] = [_value(part) for part in parts]
        elif key == "by" and op == "spatial_shift":
            entry[key] = [[int(by) for by in pair.split(",")] for pair in value.split(";")]
        elif key in ("axes", "batch") or (key == "to" and op == "mix"):
            entry[key] = parts
        elif key in ("to", "by") and op != "shift":
            entry[key] = value
        else:
            entry[key] = _value(value)
    return entry


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    return int(text) if text.lstrip("-").isdigit() else text


def program(*steps: str, rank: int = 2) -> Kernel:
    """The kernel of short step texts."""
    entries = [step(text, number) for number, text in enumerate(steps, 1)]
    return Kernel.from_json({"format": "kas.kernel/1", "rank": rank, "steps": entries})


_DIMS = {"fc": ("C", "C", "2*C", "4", "G*x0", "x1", "C/G"), "group": ("G", "C", "2", "x0"), "mix": ("C", "1", "2", "x2", "H")}


def _random_entry(rng: np.random.Generator, shapes: list[Any], rank: int, open_: list[int]) -> dict[str, Any]:
    ops = [op for op in OPS if rank or op not in ("unfold", "shift", "spatial_shift")]
    op = str(rng.choice(ops))
    pick = [int(rng.choice(open_)) if rng.random() < 0.75 else int(rng.integers(len(shapes))) for _ in range(OPS[op].arity)]
    entry: dict[str, Any] = {"op": op, "ins": pick}
    shape = shapes[pick[0]]
    names = [name for name, _ in shape.axes()]
    for name, (codec, _) in OPS[op].codecs().items():
        if codec.kind == "dim":
            entry[name] = str(rng.choice(_DIMS.get(op, _DIMS["fc"])))
        elif codec.kind == "axes":
            chosen = [n for n in names if rng.random() < 0.45] or names[:1]
            entry[name] = [n for n in chosen if n[0] == chosen[0][0]] if op in ("fold", "softmax") and chosen else chosen
        elif codec.kind == "axis":
            entry[name] = str(rng.choice([n for n in names if n[2:] in ("c", "h", "w")] or ["0.c"]))
        elif codec.kind == "dims":
            entry[name] = [str(rng.choice(_DIMS["mix"])) for _ in entry["axes"]]
        elif codec.kind == "choice":
            entry[name] = str(rng.choice(codec.choices))
        elif codec.kind == "flags":
            entry[name] = [bool(rng.integers(2)), bool(rng.integers(2))]
        elif codec.kind == "flag":
            entry[name] = bool(rng.random() < 0.4)
        elif codec.kind == "signed":
            entry[name] = int(rng.choice([-1, 1, 2]))
        elif codec.kind == "odd":
            entry[name] = 3
        elif codec.kind == "integer":
            entry[name] = int(rng.integers(1, 3))
        elif codec.kind == "names":
            entry[name] = [axis for axis in codec.choices if rng.random() < 0.4] or ["g"]
        elif codec.kind == "pairs":
            entry[name] = [[1, 0], [0, -1 if rank > 1 else 0]]
        elif codec.kind == "pair" and name == "k":
            spatial = [i < rank for i in range(2)]
            entry[name] = [3 if here and rng.random() < 0.7 else 1 for here in spatial]
        elif codec.kind == "pair":
            entry[name] = [int(rng.integers(1, 3)) if k > 1 else 1 for k in entry["k"]]
    return entry


def random_kernel(rng: np.random.Generator, rank: int = 2, most: int = 8) -> Kernel | None:
    """A legal program by trial and error, None if none was found in a bounded number of tries."""
    steps: list[Step] = []
    shapes = [input_shape(rank)]
    length = int(rng.integers(1, most))
    for _ in range(12 * length):
        left = unconsumed(steps) or [0]
        if len(steps) >= length:
            break
        _try(_random_entry(rng, shapes, rank, left), steps, shapes, rank)
    for _ in range(40):
        left = unconsumed(steps)
        if len(left) == 1 and is_output(shapes[left[0]], rank) and left[0]:
            break
        ends = left if len(left) > 1 else [left[0], 0]
        choices: list[dict[str, Any]] = [
            {
                "op": str(rng.choice(["add", "mul", "sub", "matmul", "max"])),
                "ins": [int(rng.choice(ends)), int(rng.choice(ends))],
            },
            {"op": "fc", "ins": [left[-1]], "to": "C"},
            {"op": "ungroup", "ins": [left[-1]]},
        ]
        _try(choices[int(rng.integers(3))], steps, shapes, rank)
    try:
        return Kernel(rank, steps)
    except KasError:
        return None


def _try(entry: dict[str, Any], steps: list[Step], shapes: list[Any], rank: int) -> None:
    try:
        new = _read_step(1, entry)
        outcome = apply_step([*steps, new], shapes, rank)
    except KasError:
        return
    steps.append(new)
    shapes.append(outcome.shape)
