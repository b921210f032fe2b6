"""Kernels that start badly, at the sizes of a solution, and kernels like them that do not."""

from __future__ import annotations

from typing import Any

import pytest

import kas
from kas.generation.sanity import Sanity
from kas.solvers import Sizes

TARGETS = [kas.Target(f"{c},{s}", c, c, (s, s)) for c, s in ((64, 32), (256, 8))]


def starts_sanely(steps: list[Raw], width: int = 32, groups: int = 1) -> bool:
    raw = [{"ins": [number], **step} for number, step in enumerate(steps)]
    kernel = kas.Kernel.from_json({"format": "kas.kernel/1", "rank": 2, "steps": raw})
    values = {target.name: dict.fromkeys(kernel.variables, width) for target in TARGETS}
    return Sanity(TARGETS).holds(kernel, Sizes(groups, values, macs=0, params=0, memory=0, work=0, use={}))


Raw = dict[str, Any]
CONV: Raw = {"op": "conv", "to": "C", "k": [3, 3]}
BACK: Raw = {"op": "fc", "to": "C"}
OVER: Raw = {"op": "matmul", "ins": [1, 2], "t": [False, True], "softmax": True}
BY: Raw = {"op": "matmul", "ins": [3, 1]}
SHARES: Raw = {"op": "softmax", "axes": ["1.h", "1.w"]}
TINY = [SHARES, {"op": "sqr"}]
BIAS: Raw = {"op": "bias", "axes": ["0.c"]}
PROGRAMS: dict[str, tuple[list[Raw], bool]] = {
    "logits that add up in step over positions": ([{"op": "relu"}, CONV, OVER, BY, BACK], False),
    "logits that do not": ([{"op": "neg"}, CONV, OVER, BY, BACK], True),
    "sigmoids of what adds up in step": (
        [
            {"op": "relu"},
            {"op": "matmul", "ins": [1, 1], "t": [False, True]},
            {"op": "sigmoid"},
            {"op": "matmul", "ins": [3, 0]},
        ],
        False,
    ),
    "sigmoids of what does not": (
        [CONV, {"op": "matmul", "ins": [1, 0], "t": [False, True]}, {"op": "sigmoid"}, {"op": "matmul", "ins": [3, 0]}, BACK],
        True,
    ),
    "a bias that drowns what is tiny": ([SHARES, {"op": "sin"}, BIAS, BACK], False),
    "what is tiny, rescaled": ([SHARES, {"op": "sin"}, BACK], True),
    "a bias on what is not": ([{"op": "sin"}, BIAS, BACK], True),
    "a branch that is dust next to another": ([CONV, *TINY, {"op": "add", "ins": [3, 0]}], False),
    "the same branch, rescaled": ([CONV, *TINY, BACK, {"op": "add", "ins": [4, 0]}], True),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_starts(name: str) -> None:
    steps, sane = PROGRAMS[name]
    assert starts_sanely(steps) == sane


def test_no_softmax_over_what_another_solution_makes_one() -> None:
    steps: list[Raw] = [{"op": "fc", "to": "x0"}, {"op": "softmax", "axes": ["0.c"]}, BACK]
    assert starts_sanely(steps, width=8)
    assert not starts_sanely(steps, width=2)
    steps[0]["to"] = "G*x0"
    assert starts_sanely(steps, width=8, groups=2)
    assert not starts_sanely(steps, width=2, groups=2)
