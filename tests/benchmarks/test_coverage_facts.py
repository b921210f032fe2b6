"""What coverage.py counts, on kernels whose form is known."""

from __future__ import annotations

import pytest
from coverage_facts import Facts, attribute_values, width_kind

import kas


def facts(*steps: dict[str, object]) -> Facts:
    return Facts(kas.Kernel.from_json({"format": "kas.kernel/1", "rank": 2, "steps": list(steps)}))


CONV = {"op": "conv", "ins": [0], "to": "C", "k": [3, 3]}
FC = {"op": "fc", "ins": [0], "to": "C"}


def test_a_chain() -> None:
    one = facts(CONV, {"op": "relu", "ins": [1]}, {"op": "fc", "ins": [2], "to": "C"})
    assert (one.form, one.joins, one.width) == ("chain", 0, 1)
    assert one.convolves
    assert one.is_local
    assert one.mixes_positions
    assert not one.attends


def test_a_gate_and_parallel_branches() -> None:
    gate = facts(FC, {"op": "sigmoid", "ins": [1]}, {"op": "mul", "ins": [2, 1]})
    assert (gate.form, gate.width, gate.added_heads) == ("skips or gates", 2, False)
    assert not gate.mixes_positions
    heads = facts(CONV, FC, {"op": "relu", "ins": [2]}, {"op": "add", "ins": [3, 1]})
    assert (heads.form, heads.width, heads.added_heads) == ("parallel branches", 2, True)


@pytest.mark.parametrize(("axes", "mixes"), [(["0.c"], False), (["1.h", "1.w"], True)])
def test_a_softmax_over_positions_mixes_them(axes: list[str], mixes: bool) -> None:
    one = facts(FC, {"op": "softmax", "ins": [1], "axes": axes}, {"op": "mul", "ins": [2, 0]})
    assert (one.mixes_positions, one.is_local, one.attends) == (mixes, False, True)


def test_products_over_positions_mix_them_and_others_do_not() -> None:
    steps = [FC, {"op": "matmul", "ins": [1, 0], "t": [False, True], "softmax": True}, {"op": "matmul", "ins": [2, 0]}]
    one = facts(*steps)  # [C | C], then [C | H, W]
    assert one.mixes_positions
    assert one.attends
    channels = facts(FC, {"op": "fold", "ins": [1], "axes": ["0.c"], "how": "mean"}, {"op": "mul", "ins": [2, 0]})
    assert not channels.mixes_positions


def test_heads_by_groups_and_free_widths() -> None:
    one = facts(
        {"op": "fc", "ins": [0], "to": "G*x0"},
        {"op": "group", "ins": [1], "by": "G"},
        {"op": "softmax", "ins": [2], "axes": ["0.c"]},
        {"op": "fc", "ins": [3], "to": "C"},
    )
    assert one.grouped_heads
    assert one.widths == [True]
    assert not facts(FC, {"op": "group", "ins": [1], "by": "G"}, {"op": "fc", "ins": [2], "to": "C"}).grouped_heads


def test_attribute_values() -> None:
    kernel = kas.Kernel.from_json(
        '{"format":"kas.kernel/1","rank":2,"steps":[{"op":"conv","ins":[0],"to":"G*x3","k":[1,5],"d":[1,2]},'
        '{"op":"fc","ins":[1],"to":"C"}]}'
    )
    found = dict(value for step in kernel.steps for value in attribute_values(step))
    assert found == {"conv to": "G*x", "conv k": "1x5", "conv d": "1x2", "conv depthwise": "no", "fc to": "C"}
    assert [width_kind(text) for text in ("C/2", "9*x10", "x2/4", "2*G*x0")] == ["C/2", "9*x", "x/4", "2*G*x"]
