"""Kernels from files: every broken rule has one clear message, which names the step."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from short_programs import program, step

from kas.language import OPS, InvalidKernel, KasError, Kernel

FC = {"op": "fc", "ins": [0], "to": "C"}
OPS_TEXT = ", ".join(OPS)


def _kernel(*steps: Any, **changes: Any) -> dict[str, Any]:
    return {"format": "kas.kernel/1", "rank": 2, "steps": list(steps), **changes}


# A program (JSON object or text) and the exact message.
BAD: list[tuple[Any, str]] = [
    ([], "a kernel is a JSON object with format, rank and steps, not list"),
    ("[1]", "a kernel is a JSON object with format, rank and steps, not list"),
    ({"rank": 2, "steps": []}, "the key 'format' is missing; a kernel has format, rank and steps"),
    ({"format": "kas.kernel/1", "rank": 2}, "the key 'steps' is missing; a kernel has format, rank and steps"),
    (_kernel(FC, name="k"), "unknown key 'name'; a kernel has format, rank and steps"),
    (_kernel(FC, format="kas.kernel/2"), "the format is 'kas.kernel/2'; this kas reads 'kas.kernel/1'"),
    (_kernel(FC, rank=3), "rank must be 2, 1 or 0, not 3"),
    (_kernel(FC, rank=True), "rank must be 2, 1 or 0, not True"),
    (_kernel(FC, rank="2"), "rank must be 2, 1 or 0, not '2'"),
    (_kernel(steps={}), "steps must be a list, not dict"),
    (_kernel("fc"), "step 1: a step is a JSON object, not 'fc'"),
    (_kernel({"op": "fcc", "ins": [0]}), f"step 1: unknown op 'fcc'; the ops are {OPS_TEXT}"),
    (_kernel({"ins": [0]}), f"step 1: unknown op None; the ops are {OPS_TEXT}"),
    (_kernel({"op": ["fc"], "ins": [0]}), f"step 1: unknown op ['fc']; the ops are {OPS_TEXT}"),
    (_kernel({**FC, "bias": True}), "step 1 (fc): fc has no attribute 'bias'; its keys are op, ins, to, side"),
    (_kernel({"op": "fc", "to": "C"}), "step 1 (fc): the key 'ins' is missing: the numbers of the tensors that the step reads"),
    (_kernel({**FC, "ins": 0}), "step 1 (fc): 'ins' must be a list of tensor numbers, not 0"),
    (_kernel({**FC, "ins": [False]}), "step 1 (fc): 'ins' must be a list of tensor numbers, not [False]"),
    (_kernel({**FC, "ins": [0.0]}), "step 1 (fc): 'ins' must be a list of tensor numbers, not [0.0]"),
    (_kernel({**FC, "ins": [0, 0]}), "step 1 (fc): fc reads 1 tensor, but 'ins' names 2"),
    (_kernel({"op": "add", "ins": [0]}), "step 1 (add): add reads 2 tensors, but 'ins' names 1"),
    (_kernel({**FC, "ins": [1]}), "step 1 (fc): reads tensor 1, but only tensors 0 to 0 exist before it"),
    (_kernel({**FC, "ins": [-1]}), "step 1 (fc): reads tensor -1, but only tensors 0 to 0 exist before it"),
    (_kernel({"op": "fc", "ins": [0]}), "step 1 (fc): fc needs the attribute 'to'"),
    (
        _kernel({**FC, "to": None}),
        "step 1 (fc): 'to' is no legal dim: a dim must be a text such as 'C/4' or an integer, not None",
    ),
    (
        _kernel({**FC, "to": True}),
        "step 1 (fc): 'to' is no legal dim: a dim must be a text such as 'C/4' or an integer, not True",
    ),
    (_kernel({**FC, "to": 0}), "step 1 (fc): 'to' is no legal dim: a number in a dim must be between 1 and 2^31 - 1, not 0"),
    (
        _kernel({**FC, "to": "x0*x1"}),
        "step 1 (fc): 'to' is no legal dim: x0*x1 has more than one free variable, or one with a power over 1",
    ),
    (
        _kernel({**FC, "to": "x0*x0"}),
        "step 1 (fc): 'to' is no legal dim: x0*x0 has more than one free variable, or one with a power over 1",
    ),
    (_kernel({**FC, "to": "C/x0"}), "step 1 (fc): 'to' is no legal dim: C/x0 has a free variable in the denominator"),
    (
        _kernel({**FC, "to": "C/H"}),
        "step 1 (fc): 'to' is no legal dim: C/H has H in the denominator, where only integers and G may stand",
    ),
    (_kernel({**FC, "to": "H/G"}), "step 1 (fc): 'to' is no legal dim: H/G divides by G more often than C stands above"),
    (
        _kernel({**FC, "to": "D"}),
        "step 1 (fc): 'to' is no legal dim: 'D' is not a dim: "
        "positive integers, C, H, W, G and x0 … x15 joined by * and /, such as 'C*H/4'",
    ),
    (_kernel({**FC, "side": True}), "step 1 (fc): 'side' must be 0 or 1, not True"),
    (_kernel({**FC, "side": 2}), "step 1 (fc): 'side' must be 0 or 1, not 2"),
    (_kernel({**FC, "side": 1}), "step 1 (fc): side 1 is not a channel side; the tensor is [c=C | h=H, w=W]"),
    (_kernel(step("unfold over=hh k=3")), "step 1 (unfold): 'over' must be one of h, w, hw, not 'hh'"),
    (_kernel(step("unfold over=hw k=2")), "step 1 (unfold): 'k' must be an odd integer of at least 3, not 2"),
    (_kernel(step("unfold over=hw k=1")), "step 1 (unfold): 'k' must be an odd integer of at least 3, not 1"),
    (_kernel({**step("unfold over=hw k=3"), "k": 3.0}), "step 1 (unfold): 'k' must be an odd integer of at least 3, not 3.0"),
    (_kernel(step("unfold over=hw k=3 d=0")), "step 1 (unfold): 'd' must be an integer of at least 1, not 0"),
    (
        _kernel(step("unfold over=hw k=3"), step("unfold over=h k=3", 2)),
        "step 2 (unfold): the axis kh is taken; the tensor is [c=C, kh=3, kw=3 | h=H, w=W]",
    ),
    (_kernel(step("shift axes=1.h by=0")), "step 1 (shift): 'by' must be an integer other than 0, not 0"),
    (_kernel(step("shift axes=0.c by=1")), "step 1 (shift): shifts h and w only, not '0.c'"),
    (
        _kernel({**step("shift axes=1.h by=1"), "axes": "1.h"}),
        "step 1 (shift): 'axes' must be a list of axes such as ['0.c'], not '1.h'",
    ),
    (
        _kernel({**step("shift axes=1.h by=1"), "axes": []}),
        "step 1 (shift): 'axes' must be a list of axes such as ['0.c'], not []",
    ),
    (
        _kernel(step("scale axes=0.d")),
        "step 1 (scale): 'axes' has '0.d', which is no axis; axes are named by side and name, such as '0.c' or '1.h'",
    ),
    (_kernel(step("scale axes=0.c,0.c")), "step 1 (scale): 'axes' names an axis twice: ['0.c', '0.c']"),
    (_kernel(step("scale axes=0.g")), "step 1 (scale): the axis '0.g' is empty; the tensor is [c=C | h=H, w=W]"),
    (_kernel(step("scale axes=0.h")), "step 1 (scale): there is no axis '0.h'; the tensor is [c=C | h=H, w=W]"),
    (
        _kernel(step("scale axes=1.w,1.h")),
        "step 1 (scale): the axes must be in memory order, ['1.h', '1.w'], not ['1.w', '1.h']",
    ),
    (_kernel(step("fold axes=0.c,1.h how=mean")), "step 1 (fold): the axes must be of one side, not ['0.c', '1.h']"),
    (_kernel(step("fold axes=0.c how=sum")), "step 1 (fold): 'how' must be one of mean, max, not 'sum'"),
    (_kernel(step("softmax axes=0.c,1.h")), "step 1 (softmax): the axes must be of one side, not ['0.c', '1.h']"),
    (_kernel(step("mix axes=0.c to=C,C")), "step 1 (mix): 'to' must have one dim for each of the 1 axes, not 2"),
    (_kernel(step("conv to=C k=3")), "step 1 (conv): 'k' must be two odd integers, not [3]"),
    (_kernel(step("conv to=C k=3,2")), "step 1 (conv): 'k' must be an odd integer of at least 1, not 2"),
    (_kernel(step("conv to=C k=3,1 d=1,2")), "step 1 (conv): d is 2 along w, where k is 1, so it must be 1"),
    (_kernel({**step("conv to=C k=3,3"), "depthwise": 1}), "step 1 (conv): 'depthwise' must be true or false, not 1"),
    (
        _kernel(step("conv to=x0 k=3,3 depthwise=true")),
        "step 1 (conv): to/c would be x0/C, which has C in the denominator, where only integers and G may stand",
    ),
    (
        _kernel(step("group by=G"), step("conv to=C k=3,3 depthwise=true", 2)),
        "step 2 (conv): a depthwise conv needs an empty g; the tensor is [g=G, c=C/G | h=H, w=W]",
    ),
    (_kernel(step("group by=1")), "step 1 (group): 'by' must not be 1"),
    (_kernel(step("group by=x0")), "step 1 (group): c/by would be C/x0, which has a free variable in the denominator"),
    (
        _kernel(step("group by=G"), step("group by=2", 2)),
        "step 2 (group): needs an empty g; the tensor is [g=G, c=C/G | h=H, w=W]",
    ),
    (_kernel(step("ungroup")), "step 1 (ungroup): needs a g; the tensor is [c=C | h=H, w=W]"),
    (_kernel(step("transpose")), "step 1 (transpose): needs both g and c; the tensor is [c=C | h=H, w=W]"),
    (
        _kernel(step("group by=G"), step("fc to=x0", 2)),
        "step 2 (fc): to/g would be x0/G, which divides by G more often than C stands above",
    ),
    (_kernel(step("sub in=0,0")), "step 1 (sub): sub must not have the same tensor twice"),
    (_kernel(step("max in=0,0")), "step 1 (max): max must not have the same tensor twice"),
    (_kernel(step("matmul in=0,0")), "step 1 (matmul): contracts H*W with C, which are not equal"),
    (_kernel({**step("matmul in=0,0"), "t": [0, 1]}), "step 1 (matmul): 't' must be true or false, not 0"),
    (
        _kernel(step("fold axes=1.h,1.w how=max"), step("matmul in=1,1 t=false,true", 2), step("softmax axes=1.h", 3)),
        "step 3 (softmax): there is no axis '1.h'; the tensor is [c=C | c=C]",
    ),
    (
        _kernel(step("fold axes=1.h,1.w how=mean"), step("matmul in=0,1 t=true,false softmax=true", 2)),
        "step 2 (matmul): a softmax over only empty axes is a constant",
    ),
    (
        _kernel(step("softmax axes=0.c"), step("fold axes=0.c how=mean", 2), step("add in=2,0", 3)),
        "step 2 (fold): the mean over ['0.c'], the axes of softmax in step 1, is a constant",
    ),
    (
        _kernel(step("softmax axes=0.c"), step("group by=G", 2), step("fold axes=0.g,0.c how=mean", 3), step("add in=3,0", 4)),
        "step 3 (fold): the mean over ['0.g', '0.c'], the axes of softmax in step 1, is a constant",
    ),
    (
        _kernel(step("normalize axes=1.h,1.w how=standard"), step("fold axes=1.h,1.w how=mean", 2), step("add in=2,0", 3)),
        "step 2 (fold): the mean over ['1.h', '1.w'], the axes of normalize in step 1, is a constant",
    ),
    (
        _kernel(step("matmul in=0,0 t=false,true softmax=true"), step("fold axes=1.c how=mean", 2)),
        "step 2 (fold): the mean over ['1.c'], the axes of matmul in step 1, is a constant",
    ),
    (
        _kernel(step("relu")),
        "no step moves information between positions or channels; a kernel needs one of "
        "shift, unfold, fold, fc, conv, mix, filter, softmax, normalize, transpose, matmul",
    ),
    (
        _kernel(),
        "no step moves information between positions or channels; a kernel needs one of "
        "shift, unfold, fold, fc, conv, mix, filter, softmax, normalize, transpose, matmul",
    ),
    (
        _kernel(FC, FC),
        "step 1 (fc): nothing reads its result; exactly one tensor must be left unread, the output, but these are: [1, 2]",
    ),
    (
        _kernel({**FC, "to": "2*C"}),
        "step 1: the output must have a channel side of product C and the positions [H, W], but is [c=2*C | h=H, w=W]",
    ),
    (
        _kernel(step("fold axes=1.h how=mean")),
        "step 1: the output must have a channel side of product C and the positions [H, W], but is [c=C | w=W]",
    ),
    (
        _kernel(step("matmul in=0,0 t=false,true")),
        "step 1: the output must have a channel side of product C and the positions [H, W], but is [c=C | c=C]",
    ),
    (_kernel({**FC, "to": "W"}, rank=1), "step 1 (fc): 'to' is W, but a kernel of rank 1 has no W"),
    (_kernel(step("conv to=C k=3,3"), rank=1), "step 1 (conv): k is 3 along w, which is empty, so it must be 1"),
    (
        _kernel(step("unfold over=h k=3"), rank=0),
        "step 1 (unfold): unfold does not exist at rank 0, where there are no positions",
    ),
    (
        _kernel(step("shift axes=1.h by=1"), rank=0),
        "step 1 (shift): shift does not exist at rank 0, where there are no positions",
    ),
    ('{"format":"kas.kernel/1","rank":2,"rank":1,"steps":[]}', "the key 'rank' occurs twice in one object"),
    (
        '{"format":"kas.kernel/1","rank":2,"steps":[{"op":"fc","ins":[0],"to":"C","to":"G"}]}',
        "the key 'to' occurs twice in one object",
    ),
    ("", "this is not JSON: Expecting value: line 1 column 1 (char 0)"),
    ("{", "this is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
]


@pytest.mark.parametrize(("source", "message"), BAD, ids=[message[:60] for _, message in BAD])
def test_bad_program(source: Any, message: str) -> None:
    with pytest.raises(InvalidKernel) as error:
        Kernel.from_json(source)
    assert str(error.value) == message
    assert isinstance(error.value, KasError)


def test_a_broken_text_of_bytes() -> None:
    with pytest.raises(InvalidKernel, match="this is not JSON"):
        Kernel.from_json(b"\xff\xfe{")


def test_deep_json_is_refused() -> None:
    with pytest.raises(InvalidKernel):
        Kernel.from_json("[" * 100_000)


@pytest.mark.parametrize(
    "steps",
    [
        ("softmax axes=0.c", "fold axes=0.c how=max", "add in=2,0"),
        ("group by=G", "softmax axes=0.c", "fold axes=0.g,0.c how=mean", "add in=3,0"),
        ("softmax axes=1.h,1.w", "fold axes=1.h how=mean", "add in=2,0"),
        ("normalize axes=0.c how=l2", "fold axes=0.c how=mean", "add in=2,0"),
        ("softmax axes=0.c", "relu", "fold axes=0.c how=mean", "add in=3,0"),
    ],
)
def test_what_is_not_a_constant_mean(steps: tuple[str, ...]) -> None:
    assert program(*steps).hash


def test_facts() -> None:
    kernel = (
        program("fc to=x3", "relu", "group by=1*x3", "fc to=G*x1", "fc to=C")
        if False
        else program("fc to=G*x1", "relu", "fc to=C")
    )
    assert kernel.variables == ("x1",)
    assert kernel.uses_groups
    assert not kernel.fixed_size
    assert program("scale axes=1.h", "fc to=C").fixed_size
    assert program("mix axes=1.w to=W").fixed_size
    assert not program("fc to=C").uses_groups


def test_kernels_are_values() -> None:
    kernel = program("unfold over=hw k=3", "fc to=x0", "relu", "fc to=C")
    assert copy.deepcopy(kernel) == kernel
    assert pickle.loads(pickle.dumps(kernel)) == kernel
    assert len({kernel, Kernel.from_json(kernel.to_json())}) == 1
    assert repr(kernel) == f"<Kernel {kernel.hash}, rank 2: unfold hw 3; fc → x0; relu; fc → C>"
    assert repr(program("fc to=C", "add in=1,0")).endswith(": fc → C; add of 1, 0>")
    assert kernel._repr_svg_().startswith(("<?xml", "<svg"))
    assert kernel != program("fc to=C")
    assert Kernel.from_json(kernel.to_json().encode()) == kernel
    assert json.loads(kernel.to_json()) == kernel.to_dict()


def test_integers_are_accepted_for_dims() -> None:
    assert Kernel.from_json(_kernel({**FC, "to": 4}, step("fc to=C", 2))) == program("fc to=4", "fc to=C")
