"""The edit distance of programs: known cases, its axioms, and every assignment tried as the oracle."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import kas
from kas.language.primitives.binary import Binary
from kas.zoo import edit_distance, get, measured_distance
from kas.zoo._registry import program
from kas.zoo.distance import _alike

FC, RELU = {"op": "fc", "to": "C"}, {"op": "relu"}


def conv(k: int, to: str = "C", **more: object) -> dict[str, object]:
    return {"op": "conv", "to": to, "k": [k, k], **more}


CASES = {
    "the same": (get("bottleneck"), get("bottleneck"), 0),
    "the same by another spelling": (get("conv3x3"), program({"op": "unfold", "over": "hw", "k": 3}, FC), 0),
    "a width": (get("bottleneck"), program({"op": "fc", "to": "C/4"}, RELU, conv(3, "C/4"), RELU, FC), 0),
    "one attribute": (get("conv3x3"), program(conv(5)), 1),
    "one op": (get("feed_forward"), program({"op": "fc", "to": "x0"}, {"op": "gelu"}, FC), 1),
    "one step more in a chain": (get("feed_forward"), get("primer_feed_forward"), 1),
    "one step less at the end": (program(conv(3), RELU), get("conv3x3"), 1),
    "one step more at the start": (program(RELU, conv(3)), get("conv3x3"), 1),
    "a residual": (get("depthwise_separable"), program(conv(3, depthwise=True), RELU, FC, {"op": "add", "ins": [0, 3]}), 1),
    "another source": (
        program(conv(3), FC, {"op": "mul", "ins": [0, 2]}),
        program(conv(3), FC, {"op": "mul", "ins": [1, 2]}),
        1,
    ),
    "operands the other way round": (
        program(conv(3), {"op": "sigmoid"}, {"op": "mul", "ins": [1, 2]}, {"op": "add", "ins": [0, 3]}),
        program(conv(3), {"op": "sigmoid"}, {"op": "mul", "ins": [2, 1]}, {"op": "add", "ins": [3, 0]}),
        0,
    ),
    "a branch": (get("conv3x3"), program(conv(3), {"op": "fc", "ins": [0], "to": "C"}, {"op": "add", "ins": [1, 2]}), 2),
    "groups by number": (get("grouped3x3"), program({"op": "group", "by": "4"}, conv(3)), 0),
    "residual and gate": (get("nonlocal_attention"), get("self_attention"), 1),
    "nothing in common": (
        program(FC, RELU),
        program({"op": "unfold", "over": "h", "k": 3}, {"op": "fold", "axes": ["0.kh"], "how": "max"}),
        2,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_cases(case: str) -> None:
    kernel, other, expected = CASES[case]
    assert measured_distance(kernel, other) == (expected, True)
    assert measured_distance(other, kernel) == (expected, True)


def nearest(kernel: kas.Kernel, tensor: int, kept: set[int]) -> set[int]:
    """The kept tensors that a tensor comes from, by walking up one step at a time."""
    found, todo = set(), [tensor]
    while todo:
        at = todo.pop()
        if at == 0 or at in kept:
            found.add(at)
        else:
            todo.extend(kernel.steps[at - 1].ins)
    return found


def legal(kernel: kas.Kernel, other: kas.Kernel, pairs: dict[int, int]) -> bool:
    """Whether steps kept as one another read kept steps, edited ones aside."""
    kept, back, whole = set(pairs), set(pairs.values()), {0: 0, **pairs}
    for i, j in pairs.items():
        ours, theirs = kernel.steps[i - 1], other.steps[j - 1]
        mine = [{whole[t] for t in nearest(kernel, source, kept)} for source in ours.ins]
        its = [nearest(other, source, back) for source in theirs.ins]
        orders = [its, its[::-1]] if isinstance(ours, Binary) and ours.commutative else [its]
        if not any(all(a & b for a, b in zip(mine, order, strict=True)) for order in orders):
            return False
    return True


def brute_force(kernel: kas.Kernel, other: kas.Kernel) -> int:
    """Every set of pairs of steps that are alike, the largest first."""
    if kernel.hash == other.hash:
        return 0
    n, m = len(kernel.steps), len(other.steps)
    for size in range(min(n, m), -1, -1):
        for chosen in itertools.combinations(range(1, n + 1), size):
            for images in itertools.permutations(range(1, m + 1), size):
                pairs = dict(zip(chosen, images, strict=True))
                alike = all(_alike(kernel.steps[i - 1], other.steps[j - 1]) for i, j in pairs.items())
                if alike and legal(kernel, other, pairs):
                    return max(n, m) - size
    raise AssertionError("the empty set is legal")


def test_against_every_assignment() -> None:
    small = [kernel for kernel in kas.sample(600, rank=2, seed=3) if len(kernel.steps) <= 5]
    small += [get(name) for name in kas.zoo.names(2) if len(get(name).steps) <= 5]
    rng = np.random.default_rng(0)
    found = []
    for _ in range(250):
        kernel, other = (small[int(i)] for i in rng.integers(len(small), size=2))
        found.append(edit_distance(kernel, other))
        assert found[-1] == brute_force(kernel, other), (kernel, other)
    assert set(found) >= {2, 3, 4}


def test_bounds_and_symmetry() -> None:
    kernels = kas.sample(25, rank=2, seed=4)
    for kernel, other in itertools.combinations(kernels, 2):
        there, back = measured_distance(kernel, other), measured_distance(other, kernel)
        n, m = len(kernel.steps), len(other.steps)
        assert abs(n - m) <= there.steps <= max(n, m)
        assert there.exact
        assert there == back


def test_ten_steps_are_exact_and_longer_ones_a_stated_bound() -> None:
    pairs = list(itertools.combinations([get(name) for name in kas.zoo.names(2) if len(get(name).steps) <= 12], 2))
    assert len(pairs) > 500
    assert all(measured_distance(kernel, other).exact for kernel, other in pairs)
    bound = measured_distance(five_branches(), get("two_head_attention"), patience=500)
    assert not bound.exact
    assert bound.steps >= measured_distance(five_branches(), get("two_head_attention")).steps


def five_branches() -> kas.Kernel:
    """Equal branches with a shift of their own each, added: 22 steps that can be matched in many ways."""
    steps: list[dict[str, object]] = []
    ends = []
    for by in (0, 1, -1, 2, -2):
        steps.append({"op": "fc", "ins": [0], "to": "x0"})
        steps += [{"op": "shift", "ins": [len(steps)], "axes": ["1.h"], "by": by}] if by else []
        steps += [{"op": "relu", "ins": [len(steps)]}, {"op": "fc", "ins": [len(steps) + 1], "to": "C"}]
        ends.append(len(steps))
    total = ends[0]
    for end in ends[1:]:
        steps.append({"op": "add", "ins": [total, end]})
        total = len(steps)
    return kas.Kernel.from_dict({"format": "kas.kernel/1", "rank": 2, "steps": steps})
