"""Windows and products: legal shapes and costs, exact messages, axes, ranks, the hash, JSON, and the solver."""

from __future__ import annotations

import pytest
from short_programs import program

import kas
from kas.language import FAMILIES, Dim, Infeasible, InvalidKernel, Kernel, cost
from kas.language.shapes import MAX_AXES

W2 = "window over=hw size=2"
MAPS = ("fc to=C in=0", "fc to=C in=0", "fc to=C in=0")
HEADS = ("group by=G in=1", "group by=G in=2", "group by=G in=3")
SCORES = "bmm in={},{} batch={} t=true,false softmax=true"
AVERAGE = "bmm in={},{} batch={} t=false,true"
BY_ROW = (*MAPS, SCORES.format(1, 2, "h"), AVERAGE.format(3, 4, "h"))
BY_HEAD = (*MAPS, *HEADS, SCORES.format(4, 5, "g"), AVERAGE.format(6, 7, "g"))
WINDOWS = tuple(f"{W2} grid=true in={i}" for i in (4, 5, 6))
IN_WINDOWS = (*MAPS, *HEADS, *WINDOWS, SCORES.format(7, 8, "g,kh,kw"), AVERAGE.format(9, 10, "g,kh,kw"))

# steps, which step, its shape, its MACs, its element-wise work
TABLE = [
    ((W2, "fc to=4*C", "subpixel over=hw k=2", "unwindow over=hw"), 1, "[c=C, kh=2, kw=2 | h=H/2, w=W/2]", "", ""),
    ((f"{W2} grid=true", "unwindow over=hw grid=true"), 1, "[c=C, kh=H/2, kw=W/2 | h=2, w=2]", "", ""),
    (("window over=w size=4", "unwindow over=w"), 1, "[c=C, kw=4 | h=H, w=W/4]", "", ""),
    (("unfold over=h k=3", "window over=w size=2", "unwindow over=w", "fc to=C"), 2, "[c=C, kh=3, kw=2 | h=H, w=W/2]", "", ""),
    ((W2, "unwindow over=w", "unwindow over=h"), 2, "[c=C, kh=2 | h=H/2, w=W]", "", ""),
    (("fc to=9*x0", "subpixel over=hw k=3", "fc to=C"), 2, "[c=x0, kh=3, kw=3 | h=H, w=W]", "", ""),
    (("group by=G", "subpixel over=h k=2", "fc to=C"), 2, "[g=G, c=C/2/G, kh=2 | h=H, w=W]", "", ""),
    (("pool over=hw k=2 how=mean", "upsample over=hw k=2"), 1, "[c=C | h=H/2, w=W/2]", "", "C*H*W"),
    (("pool over=h k=4 how=max", "upsample over=h k=4"), 2, "[c=C | h=H, w=W]", "", ""),
    (("fc to=9*C", "subpixel over=hw k=3", "col2im over=hw"), 3, "[c=C | h=H, w=W]", "", "9*C*H*W"),
    (("fc to=9*C", "subpixel over=hw k=3", "col2im over=h d=2", "fc to=C"), 3, "[c=C, kw=3 | h=H, w=W]", "", "9*C*H*W"),
    (("spatial_shift by=1,0;-1,0 pad=edge",), 1, "[c=C | h=H, w=W]", "", ""),
    (BY_ROW, 4, "[h=H, w=W | w=W]", "C*H*W*W", "4*H*W*W"),
    (BY_ROW, 5, "[c=C | h=H, w=W]", "C*H*W*W", "C*H*W"),
    (BY_HEAD, 7, "[g=G, h=H, w=W | h=H, w=W]", "C*H*H*W*W", "4*H*H*W*W*G"),
    (BY_HEAD, 8, "[g=G, c=C/G | h=H, w=W]", "C*H*H*W*W", "C*H*W"),
    ((*IN_WINDOWS, "unwindow over=hw grid=true"), 10, "[g=G, kh=H/2, kw=W/2, h=2, w=2 | h=2, w=2]", "4*C*H*W", "16*H*W*G"),
    (("group by=G", "bmm in=1,1 batch=g t=false,true", "bmm in=2,1 batch=g"), 2, "[g=G, c=C/G | c=C/G]", "C*C*H*W/G", "C*C/G"),
    (
        ("group by=G", "unfold over=hw k=3", "fc in=0 to=9*G", "group by=G", "reassemble in=2,4"),
        5, "[g=G, c=C/G | h=H, w=W]", "9*C*H*W", "",
    ),
    (
        ("unfold over=hw k=3", "fc in=0 to=81", "subpixel over=hw k=3", "reassemble in=1,3", "col2im over=hw"),
        4, "[c=C, kh=3, kw=3 | h=H, w=W]", "81*C*H*W", "",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "number", "shape", "macs", "elementwise"), TABLE)
def test_rule(steps: tuple[str, ...], number: int, shape: str, macs: str, elementwise: str) -> None:
    outcome = program(*steps).outcomes[number - 1]
    assert str(outcome.shape) == shape
    assert outcome.weight is None
    assert (outcome.macs.text if outcome.macs else "") == macs
    times, dim = outcome.elementwise or (0, None)
    assert ((dim * Dim.of(times)).text if dim else "") == elementwise


@pytest.mark.parametrize("steps", sorted({row[0] for row in TABLE}))
def test_round_trip(steps: tuple[str, ...]) -> None:
    kernel = program(*steps)
    again = Kernel.from_json(kernel.to_json())
    assert again == kernel
    assert (again.hash, again.family) == (kernel.hash, kernel.family)


def test_canonical_json() -> None:
    assert '{"op":"window","ins":[0],"over":"hw","size":2,"grid":false}' in program(W2, "unwindow over=hw").to_json()
    assert '"by":[[1,0],[-1,0]],"pad":"zero"}' in program("spatial_shift by=1,0;-1,0 pad=zero").to_json()
    assert '"ins":[1,2],"batch":["h"],"t":[true,false],"softmax":true}' in program(*BY_ROW).to_json()


ERRORS = [
    (("window over=hw size=1",), "'size' must be an integer of at least 2, not 1"),
    (("window over=d size=2",), "'over' must be one of h, w, hw, not 'd'"),
    (("fold axes=1.h how=mean", W2), "the axis h is empty; the tensor is [c=C | w=W]"),
    (("unfold over=w k=3", W2), "the axis kw is taken; the tensor is [c=C, kw=3 | h=H, w=W]"),
    (("matmul in=0,0 t=true,false", W2), "needs a tensor [channel | spatial], not [spatial | spatial]"),
    (("unwindow over=h",), "the axis kh is empty; the tensor is [c=C | h=H, w=W]"),
    (("unfold over=h k=3", "subpixel over=w k=2"), "needs empty kh and kw; the tensor is [c=C, kh=3 | h=H, w=W]"),
    (("fc to=9", "subpixel over=hw k=2"), "c over the taps would be 9/4, which is not an integer"),
    (("col2im over=h",), "kh must be an odd number over 1, not 1; the tensor is [c=C | h=H, w=W]"),
    ((W2, "col2im over=hw"), "kh must be an odd number over 1, not 2"),
    ((f"{W2} grid=true", "col2im over=hw"), "kh must be an odd number over 1, not H/2"),
    (("pool over=h k=2 how=min",), "'how' must be one of mean, max, not 'min'"),
    (("upsample over=h k=1",), "'k' must be an integer of at least 2, not 1"),
    (("spatial_shift by=1,0 pad=zero",), "'by' must have at least two pairs, not [[1, 0]]"),
    (("spatial_shift by=0,0;0,0 pad=zero",), "shifts nothing: all of 'by' are 0"),
    (("spatial_shift by=1;2 pad=zero",), "'by' must be pairs of integers, not [1]"),
    (("group by=G", "spatial_shift by=1,0;0,1 pad=zero"), "needs empty g, kh and kw; the tensor is [g=G, c=C/G | h=H, w=W]"),
    (("fold axes=1.w how=mean", "spatial_shift by=0,1;1,0 pad=edge"), "shifts along w, which is empty"),
    (("spatial_shift by=1,0;0,1 pad=mirror",), "'pad' must be one of zero, edge, roll, not 'mirror'"),
    (("bmm in=0,0 batch=g",), "needs the axis g once in both tensors; [c=C | h=H, w=W] has it 0 times"),
    (("bmm in=0,0 batch=w,h",), "'batch' must name each axis once, in the order g, kh, kw, h, w, not ['w', 'h']"),
    (("bmm in=0,0 batch=c",), "'batch' must be a list of axes out of g, kh, kw, h, w, not ['c']"),
    (("pool over=h k=2 how=max", "bmm in=0,1 batch=h t=true,false"), "the axis h is H in one tensor and H/2 in the other"),
    (("fc to=4", "bmm in=0,1 batch=h t=true,false"), "contracts C with 4, which are not equal"),
    (("bmm in=0,0 batch=h t=false,true",), "a channel side cannot keep the axis h"),
    (("bmm in=0,0 batch=h,w t=true,false softmax=true",), "a softmax over only empty axes is a constant"),
    (("unfold over=hw k=3", "fc in=0 to=8", "reassemble in=1,2"), "recombines 9 taps with a matrix of 8 rows"),
    (("fc to=9", "reassemble in=0,1"), "recombines 1 taps with a matrix of 9 rows"),
    (
        ("unfold over=hw k=3", "fc in=0 to=9*G", "group by=G", "reassemble in=1,3"),
        "needs as many groups in both tensors, not 1 and G",
    ),
    (
        ("unfold over=hw k=3", "pool in=0 over=h k=2 how=max", "fc to=9", "reassemble in=1,3"),
        "needs the same positions in both tensors, not h=H, w=W and h=H/2, w=W",
    ),
]


@pytest.mark.parametrize(("steps", "message"), ERRORS, ids=[row[1][:40] for row in ERRORS])
def test_errors(steps: tuple[str, ...], message: str) -> None:
    with pytest.raises(InvalidKernel) as caught:
        program(*steps)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"step {len(steps)} ({steps[-1].split()[0]}): ")


def test_at_most_seven_axes() -> None:
    assert len(program(*IN_WINDOWS, "unwindow over=hw grid=true").shapes[10].axes()) == MAX_AXES
    with pytest.raises(InvalidKernel, match=r"has 8 axes; at most 7 are possible"):
        program("group by=G", W2, "matmul in=2,2 t=false,true")


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (("window over=w size=2",), "the axis w is empty"),
        (("spatial_shift by=0,1;1,0 pad=zero",), "shifts along w, which is empty"),
    ],
)
def test_rank_one_has_no_w(steps: tuple[str, ...], message: str) -> None:
    assert str(program("window over=h size=2", "unwindow over=h", rank=1).shapes[1]) == "[c=C, kh=2 | h=H/2]"
    with pytest.raises(InvalidKernel, match=message):
        program(*steps, rank=1)


@pytest.mark.parametrize(
    "step",
    [
        "window over=h size=2",
        "subpixel over=h k=2",
        "pool over=h k=2 how=max",
        "upsample over=h k=2",
        "spatial_shift by=1,0;0,0 pad=zero",
    ],
)
def test_rank_zero_has_products_only(step: str) -> None:
    with pytest.raises(InvalidKernel):
        program(step, "fc to=C", rank=0)
    gram = program("group by=G", "bmm in=1,1 batch=g t=false,true", "bmm in=2,1 batch=g", rank=0)
    assert str(gram.shapes[2]) == "[g=G, c=C/G | c=C/G]"
    assert cost(gram, 8, (), 2).macs == 2 * 2 * 4 * 4


ALIKE = [
    ((*BY_ROW, "fc to=C"), (*MAPS, SCORES.format(3, 1, "h"), AVERAGE.format(2, 4, "h"), "fc to=C"), "the names of the maps"),
    (("fc to=x0", "pool over=hw k=2 how=max", "upsample over=hw k=2", "fc to=C"),
     ("fc to=x3", "pool over=hw k=2 how=max", "upsample over=hw k=2", "fc to=C"), "the name of a variable"),
    (("group by=G", "pool over=hw k=2 how=max", "upsample over=hw k=2"),
     ("pool over=hw k=2 how=max", "group by=4", "upsample over=hw k=2"), "groups that pooling does not see"),
    (("group by=G", W2, "unwindow over=hw grid=true", "ungroup"), (W2, "unwindow over=hw grid=true"),
     "a group and its undoing"),
    (("spatial_shift by=1,0;0,1 pad=zero",), ("spatial_shift by=1,0;0,1 pad=zero", "group by=2", "ungroup"),
     "a group after the shift"),
]  # fmt: skip
APART = [
    ((W2, "unwindow over=hw grid=true"), ("window over=hw size=4", "unwindow over=hw grid=true"), "size"),
    ((W2, "unwindow over=hw grid=true"), (f"{W2} grid=true", "unwindow over=hw"), "grid"),
    (("pool over=h k=2 how=max", "upsample over=h k=2"), ("pool over=h k=2 how=mean", "upsample over=h k=2"), "how"),
    (("pool over=h k=2 how=max", "upsample over=h k=2"), ("pool over=w k=2 how=max", "upsample over=w k=2"), "over"),
    (("spatial_shift by=1,0;0,1 pad=zero",), ("spatial_shift by=1,0;0,1 pad=edge",), "pad"),
    (("spatial_shift by=1,0;0,1 pad=zero",), ("spatial_shift by=0,1;1,0 pad=zero",), "the order of the parts"),
    (("unfold over=hw k=3", "relu", "col2im over=hw"), ("unfold over=hw k=3", "relu", "col2im over=hw d=2"), "dilation"),
    (BY_ROW, (*MAPS, SCORES.format(1, 2, "w"), AVERAGE.format(3, 4, "w")), "batch"),
    (BY_HEAD, (*MAPS, *(h.replace("G", "2") for h in HEADS), *BY_HEAD[6:]), "the number of heads"),
]


@pytest.mark.parametrize(("one", "two", "why"), ALIKE, ids=[row[2] for row in ALIKE])
def test_hash_alike(one: tuple[str, ...], two: tuple[str, ...], why: str) -> None:
    assert program(*one).hash == program(*two).hash
    assert program(*one).family == program(*two).family


@pytest.mark.parametrize(("one", "two", "why"), APART, ids=[row[2] for row in APART])
def test_hash_apart(one: tuple[str, ...], two: tuple[str, ...], why: str) -> None:
    assert program(*one).hash != program(*two).hash
    assert program(*one).family != program(*two).family


TARGETS = [kas.Target("a", 64, 64, (28, 28)), kas.Target("b", 128, 128, (14, 14))]


@pytest.mark.parametrize(
    "steps",
    [
        ("fc to=9*x0", "subpixel over=hw k=3", "relu", "col2im over=hw", "fc to=C"),
        ("fc to=4*x0", "spatial_shift by=1,0;-1,0;0,1;0,-1 pad=zero", "fc to=C"),
        ("window over=hw size=7", "fc to=x0", "gelu", "fc to=49*C", "subpixel over=hw k=7", "unwindow over=hw"),
        (*(text.replace("to=C", "to=G*x0") for text in MAPS), *BY_HEAD[3:], "ungroup", "fc to=C"),
    ],
)  # fmt: skip
def test_free_widths_fill_the_budget(steps: tuple[str, ...]) -> None:
    kernel = program(*steps)
    sizes = kas.solve(kernel, TARGETS, {"macs": 0.5, "params": 0.5})
    total = sum(cost(kernel, t.channels, t.size, sizes.groups, sizes.values[t.name]).macs for t in TARGETS)
    assert total == sizes.macs
    assert 0.8 < max(sizes.use.values()) <= 1


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (("window over=hw size=4", "unwindow over=hw grid=true"), "the dim H/4 is 7/2, which is not an integer"),
        (("spatial_shift by=0,0;14,0 pad=zero",), "which is not longer than the shift by 14"),
    ],
)
def test_sizes_that_do_not_exist(steps: tuple[str, ...], message: str) -> None:
    with pytest.raises(Infeasible, match=message):
        kas.solve(program(*steps), TARGETS)
    with pytest.raises(Infeasible, match=message):
        cost(program(*steps), 128, (14, 14))


def test_every_op_of_both_families_is_in_the_table() -> None:
    seen = {step.split()[0] for steps, *_ in TABLE for step in steps}
    assert {one.op for family in ("windows", "products") for one in FAMILIES[family]} <= seen
