"""Every primitive: a legal program, its shapes, parameters and MACs, and the round trip through JSON."""

from __future__ import annotations

import json

import pytest
from short_programs import program

from kas.language import FAMILIES, OPS, InvalidKernel, Kernel, cost

# op, steps, which step, its shape, its weight ("" for none), its MACs ("" for none)
TABLE = [
    ("group", ("group by=C/4", "fc to=C"), 1, "[g=C/4, c=4 | h=H, w=W]", "", ""),
    ("group", ("group by=G", "fc to=C"), 1, "[g=G, c=C/G | h=H, w=W]", "", ""),
    ("ungroup", ("group by=G", "transpose", "ungroup"), 3, "[c=C | h=H, w=W]", "", ""),
    ("transpose", ("group by=G", "transpose"), 2, "[g=C/G, c=G | h=H, w=W]", "", ""),
    ("shift", ("shift axes=1.h,1.w by=-2",), 1, "[c=C | h=H, w=W]", "", ""),
    ("unfold", ("unfold over=hw k=5 d=2", "fc to=C"), 1, "[c=C, kh=5, kw=5 | h=H, w=W]", "", ""),
    ("unfold", ("unfold over=w k=3", "unfold over=h k=3", "fc to=C"), 2, "[c=C, kh=3, kw=3 | h=H, w=W]", "", ""),
    ("fold", ("fold axes=1.h,1.w how=mean", "add in=1,0"), 1, "[c=C | ·]", "", ""),
    ("fold", ("unfold over=hw k=3", "fold axes=0.kh how=max", "fc to=C"), 2, "[c=C, kw=3 | h=H, w=W]", "", ""),
    ("fc", ("fc to=2*C", "fc to=C"), 1, "[c=2*C | h=H, w=W]", "2*C C", "2*C*C*H*W"),
    ("fc", ("group by=G", "fc to=G*x0", "fc to=C"), 2, "[c=G*x0 | h=H, w=W]", "G*x0 C/G", "C*H*W*x0"),
    ("fc", ("unfold over=hw k=3", "fc to=C"), 2, "[c=C | h=H, w=W]", "C 9*C", "9*C*C*H*W"),
    ("fc", ("matmul in=0,0 t=false,true", "fc to=C side=1", "matmul in=2,0"), 2, "[c=C | c=C]", "C C", "C*C*C"),
    ("conv", ("conv to=C k=3,5 d=2,1",), 1, "[c=C | h=H, w=W]", "C C 3 5", "15*C*C*H*W"),
    ("conv", ("group by=G", "conv to=C k=1,3"), 2, "[c=C | h=H, w=W]", "C C/G 1 3", "3*C*C*H*W/G"),
    ("conv", ("conv to=2*C k=3,3 depthwise=true", "fc to=C"), 1, "[c=2*C | h=H, w=W]", "2*C 1 3 3", "18*C*H*W"),
    ("mix", ("group by=G", "mix axes=0.c to=x0", "fc to=C"), 2, "[g=G, c=x0 | h=H, w=W]", "x0 C/G", "C*H*W*x0"),
    ("mix", ("mix axes=1.h,0.c to=H,C",), 1, "[c=C | h=H, w=W]", "H C H C", "C*C*H*H*W"),
    ("mix", ("mix axes=1.w to=1", "add in=1,0"), 1, "[c=C | h=H]", "1 W", "C*H*W"),
    ("filter", ("filter axis=0.c k=5 d=2",), 1, "[c=C | h=H, w=W]", "5", "5*C*H*W"),
    ("filter", ("group by=G", "filter axis=0.c k=3"), 2, "[g=G, c=C/G | h=H, w=W]", "3", "3*C*H*W"),
    ("filter", ("fold axes=1.h,1.w how=mean", "filter axis=0.c k=3", "mul in=2,0"), 2, "[c=C | ·]", "3", "3*C"),
    ("filter", ("unfold over=h k=3", "filter axis=1.w k=3", "fc to=C"), 2, "[c=C, kh=3 | h=H, w=W]", "3", "9*C*H*W"),
    ("filter", ("matmul in=0,0 t=false,true", "filter axis=1.c k=3", "matmul in=2,0"), 2, "[c=C | c=C]", "3", "3*C*C"),
    ("scale", ("scale axes=0.c,1.h", "fc to=C"), 1, "[c=C | h=H, w=W]", "C H", ""),
    ("bias", ("bias axes=1.w", "fc to=C"), 1, "[c=C | h=H, w=W]", "W", ""),
    ("softmax", ("softmax axes=1.h,1.w",), 1, "[c=C | h=H, w=W]", "", ""),
    ("normalize", ("normalize axes=0.c,1.h how=standard",), 1, "[c=C | h=H, w=W]", "", ""),
    ("normalize", ("normalize axes=0.c how=l2",), 1, "[c=C | h=H, w=W]", "", ""),
    *[
        (op, (op, "fc to=C"), 1, "[c=C | h=H, w=W]", "", "")
        for op in ("gelu", "relu", "sigmoid", "tanh", "abs", "exp", "neg", "sin", "sqrt", "sqr")
    ],
    *[(op, ("fc to=C", f"{op} in=0,1"), 2, "[c=C | h=H, w=W]", "", "") for op in ("add", "sub", "mul", "div", "max", "min")],
    ("sub", ("fc to=C", "sub in=0,1 swap=true"), 2, "[c=C | h=H, w=W]", "", ""),
    ("add", ("fc to=C", "mul in=1,1", "add in=2,2"), 3, "[c=C | h=H, w=W]", "", ""),
    ("matmul", ("matmul in=0,0 t=false,true softmax=true", "matmul in=1,0"), 1, "[c=C | c=C]", "", "C*C*H*W"),
    ("matmul", ("matmul in=0,0 t=true,false", "matmul in=0,1"), 1, "[h=H, w=W | h=H, w=W]", "", "C*H*H*W*W"),
]


@pytest.mark.parametrize(("op", "steps", "number", "shape", "weight", "macs"), TABLE)
def test_rule(op: str, steps: tuple[str, ...], number: int, shape: str, weight: str, macs: str) -> None:
    kernel = program(*steps)
    outcome = kernel.outcomes[number - 1]
    assert kernel.steps[number - 1].op == op
    assert str(outcome.shape) == shape
    assert " ".join(dim.text for dim in outcome.weight or ()) == weight
    assert (outcome.macs.text if outcome.macs else "") == macs


@pytest.mark.parametrize("steps", sorted({row[1] for row in TABLE}))
def test_round_trip(steps: tuple[str, ...]) -> None:
    kernel = program(*steps)
    again = Kernel.from_json(kernel.to_json())
    assert again == kernel
    assert again.to_json() == kernel.to_json()
    assert again.hash == kernel.hash
    assert again.family == kernel.family
    assert Kernel.from_json(kernel.to_dict()).hash == kernel.hash
    assert " " not in kernel.to_json()


def test_every_op_is_in_the_table() -> None:
    elsewhere = {one.op for family in ("windows", "products") for one in FAMILIES[family]}  # test_windows_and_products.py
    assert {row[0] for row in TABLE} | elsewhere == set(OPS)
    assert sum(len(family) for family in FAMILIES.values()) == len(OPS)


def test_canonical_json_writes_defaults_but_not_the_first_side() -> None:
    kernel = program("unfold over=hw k=3", "group by=C", "fc to=C")
    assert kernel.to_json() == (
        '{"format":"kas.kernel/1","rank":2,"steps":[{"op":"unfold","ins":[0],"over":"hw","k":3,"d":1},'
        '{"op":"group","ins":[1],"by":"C"},{"op":"fc","ins":[2],"to":"C"}]}'
    )
    assert json.loads(program("matmul in=0,0 t=true,false", "matmul in=0,1").to_json())["steps"][0] == {
        "op": "matmul",
        "ins": [0, 0],
        "t": [True, False],
        "softmax": False,
    }


def test_a_side_that_is_given_is_kept_where_it_is_not_the_first() -> None:
    steps = ("matmul in=0,0 t=false,true", "fc to=C side=1", "matmul in=2,0")
    assert json.loads(program(*steps).to_json())["steps"][1]["side"] == 1
    first = program("matmul in=0,0 t=false,true", "fc to=C side=0", "matmul in=2,0")
    assert "side" not in json.loads(first.to_json())["steps"][1]


@pytest.mark.parametrize(
    ("left", "right", "shape"),
    [
        ("fold axes=1.h,1.w how=mean", "relu in=0", "[c=C | h=H, w=W]"),
        ("fold axes=0.c how=mean", "relu in=0", "[c=C | h=H, w=W]"),
        ("fc to=C/4", "fc to=C in=0", "[c=C | h=H, w=W]"),
        ("fold axes=1.h how=max", "relu in=0", "[c=C | h=H, w=W]"),
    ],
)
def test_broadcast(left: str, right: str, shape: str) -> None:
    kernel = program(left, right, "add in=1,2", "fc to=C")
    assert str(kernel.shapes[3]) == shape


@pytest.mark.parametrize("steps", [("fc to=x0", "add in=1,0"), ("fc to=2*C", "add in=1,0", "fc to=C")])
def test_a_broadcast_needs_a_whole_multiplier(steps: tuple[str, ...]) -> None:
    with pytest.raises(InvalidKernel, match="the multiplier of the broadcast would be"):
        program(*steps)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (("filter axis=0.kh k=3",), "'axis' must name an axis c, h or w with its side, such as '0.c' or '1.h', not '0.kh'"),
        (("filter axis=c k=3",), "'axis' must name an axis c, h or w with its side, such as '0.c' or '1.h', not 'c'"),
        (("fold axes=1.h how=mean", "filter axis=1.h k=3"), "the axis '1.h' is empty; the tensor is [c=C | w=W]"),
        (("filter axis=0.c k=2",), "'k' must be an odd integer of at least 3, not 2"),
        (("filter axis=0.c k=3 d=0",), "'d' must be an integer of at least 1, not 0"),
    ],
)
def test_a_filter_that_is_none(steps: tuple[str, ...], message: str) -> None:
    with pytest.raises(InvalidKernel) as caught:
        program(*steps)
    assert str(caught.value).endswith(message)


def test_ranks() -> None:
    assert str(program("conv to=C k=3,1", rank=1).shapes[1]) == "[c=C | h=H]"
    assert str(program("fc to=C", rank=0).shapes[1]) == "[c=C | ·]"
    assert cost(program("fc to=C", rank=0), 8, ()).macs == 64
    assert cost(program("filter axis=0.c k=3", rank=0), 8, ()).macs == 24
