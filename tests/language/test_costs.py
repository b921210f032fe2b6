"""Costs: MACs, parameters, element-wise work and memory against counts by hand, and the errors of infeasible sizes."""

from __future__ import annotations

import pytest
from short_programs import program

from kas.language import Cost, Infeasible, cost
from kas.language.costs import live_tensors

C, H, W = 8, 5, 6
N = H * W


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (("fc to=C",), Cost(C * C * N, C * C, 0, 4 * 2 * C * N)),
        (("conv to=C k=3,3",), Cost(9 * C * C * N, 9 * C * C, 0, 4 * 2 * C * N)),
        (("conv to=C k=3,3 depthwise=true", "relu"), Cost(9 * C * N, 9 * C, C * N, 4 * 2 * C * N)),
        (("unfold over=hw k=3", "fc to=C"), Cost(9 * C * C * N, 9 * C * C, 0, 4 * 10 * C * N)),
        (("fc to=C", "add in=0,1"), Cost(C * C * N, C * C, C * N, 4 * 3 * C * N)),
        (("softmax axes=0.c",), Cost(0, 0, 3 * C * N, 4 * 2 * C * N)),
        (("normalize axes=0.c how=l2",), Cost(0, 0, 2 * C * N, 4 * 2 * C * N)),
        (("normalize axes=0.c how=standard",), Cost(0, 0, 4 * C * N, 4 * 2 * C * N)),
        (("fold axes=1.h,1.w how=mean", "mul in=1,0"), Cost(0, 0, 2 * C * N, 4 * (2 * C * N + C))),
        (
            ("matmul in=0,0 t=false,true softmax=true", "matmul in=1,0"),
            Cost(2 * C * C * N, 0, 4 * C * C + C * N, 4 * (2 * C * N + C * C)),
        ),
        (("scale axes=0.c", "bias axes=1.h,1.w", "fc to=C"), Cost(C * C * N, C * C + C + N, 2 * C * N, 4 * 2 * C * N)),
        (("group by=G", "fc to=C"), Cost(C * C * N // 2, C * C // 2, 0, 4 * 2 * C * N)),
    ],
)
def test_cost(steps: tuple[str, ...], expected: Cost) -> None:
    assert cost(program(*steps), C, (H, W), groups=2) == expected


def test_work_is_macs_and_half_of_the_elementwise() -> None:
    assert cost(program("fc to=C", "relu"), C, (H, W)).work == C * C * N + C * N / 2


def test_free_variables() -> None:
    kernel = program("fc to=x0", "relu", "fc to=x3", "fc to=C")
    assert kernel.variables == ("x0", "x3")
    found = cost(kernel, C, (H, W), values={"x0": 3, "x3": 5})
    assert found.params == C * 3 + 3 * 5 + 5 * C
    assert found.macs == found.params * N


def test_live_tensors() -> None:
    kernel = program("fc to=C", "relu", "add in=0,2", "fc to=C")
    assert [sorted(row) for row in live_tensors(kernel)] == [[0, 1], [0, 1, 2], [0, 2, 3], [3, 4]]


@pytest.mark.parametrize(
    ("steps", "arguments", "message"),
    [
        (("fc to=C/3", "fc to=C"), {}, "step 1 (fc): the dim C/3 is 8/3, which is not an integer of at least 1"),
        (("group by=3", "fc to=C"), {}, "step 1 (group): the dim C/3 is 8/3, which is not an integer of at least 1"),
        (("fc to=x0", "fc to=C"), {}, "step 1 (fc): the dim x0 needs a value for the free variable x0; the kernel has x0"),
        (("fc to=C",), {"values": {"x0": 1}}, "x0 is no free variable of the kernel; it has none"),
        (("fc to=x0", "fc to=C"), {"values": {"x0": 0}}, "x0 must be an integer of at least 1, not 0"),
        (("fc to=x0", "fc to=C"), {"values": {"x0": True}}, "x0 must be an integer of at least 1, not True"),
        (("fc to=C",), {"groups": 3}, "groups = 3 does not divide channels = 8"),
        (("fc to=C",), {"size": (4,)}, "the size (4,) has 1 axes, but the kernel is of rank 2"),
        (("fc to=C",), {"size": 4}, "the size must have 2 axes, as the kernel is of rank 2, not be 4"),
        (("fc to=C",), {"channels": 0}, "channels must be an integer of at least 1, not 0"),
        (
            ("shift axes=1.h by=5",),
            {},
            "step 1 (shift): the axis '1.h' (H) is 5 long, which is not longer than the shift by 5",
        ),
        (
            ("shift axes=1.w by=-6",),
            {},
            "step 1 (shift): the axis '1.w' (W) is 6 long, which is not longer than the shift by -6",
        ),
    ],
)
def test_infeasible(steps: tuple[str, ...], arguments: dict[str, object], message: str) -> None:
    with pytest.raises(Infeasible) as error:
        cost(program(*steps), **{"channels": C, "size": (H, W), **arguments})  # type: ignore[arg-type]
    assert str(error.value) == message
