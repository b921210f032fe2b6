"""Kernels by hand for the solver's tests, and random ones."""

from __future__ import annotations

import random

from kas.language import InvalidKernel, Kernel

HAND = {
    "bottleneck": [
        {"op": "fc", "ins": [0], "to": "x0"},
        {"op": "conv", "ins": [1], "to": "x0", "k": [3, 3]},
        {"op": "relu", "ins": [2]},
        {"op": "fc", "ins": [3], "to": "C"},
    ],
    "two widths": [
        {"op": "conv", "ins": [0], "to": "x0", "k": [3, 3]},
        {"op": "relu", "ins": [1]},
        {"op": "fc", "ins": [2], "to": "x1"},
        {"op": "fc", "ins": [3], "to": "C"},
    ],
    "three widths": [
        {"op": "fc", "ins": [0], "to": "x0"},
        {"op": "fc", "ins": [1], "to": "x3"},
        {"op": "fc", "ins": [2], "to": "2*x7"},
        {"op": "fc", "ins": [3], "to": "C"},
    ],
    "six widths": [
        *({"op": "fc", "ins": [i], "to": f"{1 + i}*x{i}"} for i in range(6)),
        {"op": "fc", "ins": [6], "to": "C"},
    ],
    "grouped": [
        {"op": "group", "ins": [0], "by": "G"},
        {"op": "conv", "ins": [1], "to": "G*x0", "k": [3, 3]},
        {"op": "fc", "ins": [2], "to": "C"},
    ],
    "grouped, fixed": [{"op": "group", "ins": [0], "by": "G"}, {"op": "conv", "ins": [1], "to": "C", "k": [3, 3]}],
    "quarter": [
        {"op": "fc", "ins": [0], "to": "x0"},
        {"op": "group", "ins": [1], "by": "4"},
        {"op": "fc", "ins": [2], "to": "x1/3"},
        {"op": "fc", "ins": [3], "to": "C"},
    ],
    "depthwise": [{"op": "conv", "ins": [0], "to": "C", "k": [3, 3], "depthwise": True}, {"op": "fc", "ins": [1], "to": "C"}],
    "positions": [
        {"op": "mix", "ins": [0], "axes": ["1.h"], "to": ["x0"]},
        {"op": "shift", "ins": [1], "axes": ["1.h"], "by": 2},
        {"op": "mix", "ins": [2], "axes": ["1.h"], "to": ["H"]},
    ],
    "attention": [
        {"op": "fc", "ins": [0], "to": "x0"},
        {"op": "fc", "ins": [0], "to": "x0"},
        {"op": "matmul", "ins": [1, 2], "t": [True, False], "softmax": True},
        {"op": "matmul", "ins": [0, 3]},
    ],
}


def kernel(name: str) -> Kernel:
    """A kernel of HAND."""
    return Kernel.from_json({"format": "kas.kernel/1", "rank": 2, "steps": HAND[name]})


def chain(rng: random.Random) -> Kernel:
    """A random chain of linear steps, with one to three free variables, divided and grouped widths, and a join."""
    widths = ["x0", "x1", "x2", "2*x0", "x1/2", "x0/3", "3*x2", "C/2", "C/G", "G*x0", "C"]
    while True:
        steps: list[dict[str, object]] = []
        for i in range(rng.randint(1, 3)):
            to = rng.choice(widths)
            if rng.random() < 0.3:
                steps.append({"op": "conv", "ins": [i], "to": to, "k": rng.choice([[1, 3], [3, 3], [3, 1]])})
            else:
                steps.append({"op": "fc", "ins": [i], "to": to})
        last = len(steps)
        steps.append({"op": "relu", "ins": [last]})
        steps.append({"op": "fc", "ins": [last + 1], "to": "C"})
        if rng.random() < 0.4:
            steps.append({"op": "add", "ins": [0, last + 2]})
        if rng.random() < 0.2:
            steps.append({"op": "fc", "ins": [len(steps)], "to": "C"})
        try:
            found = Kernel.from_json({"format": "kas.kernel/1", "rank": 2, "steps": steps})
        except InvalidKernel:
            continue
        if found.variables:
            return found
