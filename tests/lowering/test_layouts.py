"""The layouts of images in memory: what is turned and what is not, and that any choice of them gives the same results.

Sizes are those of `layout_costs`: 64 channels and 32x32 positions, or 256 and 8x8.
"""

import random
import re
from collections import defaultdict

import pytest
import torch
from lowering_comparison import difference, random_difference
from lowering_programs import FC, PROGRAMS, op, program

from kas import zoo
from kas.lowering import build, layouts
from kas.lowering.calls import brought_along
from kas.lowering.module_source import class_name, source
from kas.lowering.standalone import source as standalone_source

TOLERANCE = 1e-9
LARGE, SMALL = (64, (32, 32)), (256, (8, 8))
DEPTHWISE, WIDE = op("conv", to="C", k=[3, 3], depthwise=True), op("conv", to="C", k=[7, 7], depthwise=True)
LINES = (
    op("conv", to="C", k=[3, 3], depthwise=True),
    op("conv", ins=[0], to="C", k=[5, 5], depthwise=True),
    op("bmm", ins=[1, 2], batch=["h"], t=[True, False], softmax=True),
    op("bmm", ins=[0, 3], batch=["h"], t=[False, True]),
    op("mul", ins=[4, 0]),
    op("conv", to="8", k=[3, 3]),
    FC,
)
GATED = (DEPTHWISE, op("relu"), op("mul", ins=[1, 2]), op("add", ins=[3, 2]))
FEW, MANY = op("conv", to="8", k=[5, 5]), op("conv", to="C", k=[5, 5])
SPREAD_FAR = op("conv", to="C", k=[5, 5], d=[2, 2])
SPREAD = op("conv", to="32", k=[3, 3], d=[2, 2])

# name: program, channels and size, a pattern that the forward must have, one that it must not have
CASES = {
    "few outputs": (program(FEW, FC), LARGE, r"= \S+channels_last\(x\)(.*\n)+.*conv2d\(x, self\.w1", r"first|last\(self"),
    "many outputs of many taps": (program(MANY, FC), LARGE, "conv2d", "channels_"),
    "few positions, dilated": (program(SPREAD, FC), SMALL, r"= \S+channels_last\(x\)(.*\n)+.*conv2d\(x, self\.w1", "first"),
    "a large weight": (program(op("conv", to="C", k=[3, 3])), SMALL, r"channels_last\(x", "first"),
    "many more outputs": (program(op("conv", to="C*4", k=[3, 3]), FC), SMALL, "conv2d", "channels_"),
    "a weight that is computed": (program(SPREAD_FAR, op("fold", axes=["0.c"], how="mean"), op("relu"), op("fc", to="C")),
                                  LARGE, r"channels_last\(self\.w1\.mean", "channels_first"),
    "small groups": (program(op("group", by="C/4"), op("conv", to="C", k=[3, 3])), LARGE, r"channels_last\(x", "first"),
    "depthwise": (program(DEPTHWISE, DEPTHWISE, FC), LARGE, r"= \S+channels_last\(x\)", r"channels_last\(self|first"),
    "little to save": (program(DEPTHWISE, FC), LARGE, "conv2d", "channels_"),
    "depthwise of many taps": (program(WIDE, FC), LARGE, "conv2d", "channels_"),
    "turned once": (program(DEPTHWISE, op("conv", ins=[0], to="C", k=[3, 3], depthwise=True), op("add", ins=[1, 2])),
                    LARGE, r"channels_last\(x", r"channels_last(.*\n)+.*channels_last"),
    "functions of elements follow": (program(DEPTHWISE, op("gelu"), op("scale", axes=["0.c"]), DEPTHWISE, FC),
                                     LARGE, r"channels_last\(x", r"channels_last(.*\n)+.*channels_|first"),
    "a map writes what convolutions read": (program(FC, FEW, FC), LARGE,
                                            r"self\.w1\.t\(\)\.expand(.*\n)+.*conv2d\(.*, self\.w2, ", r"channels_last\(x"),
    "turned back for a softmax": (program(FEW, op("conv", ins=[0], to="8", k=[5, 5]), op("add", ins=[1, 2]),
                                          op("softmax", axes=["1.h", "1.w"]), FC),
                                  LARGE, r"channels_last\(x(.*\n)+.*channels_first\(", "none"),
    "products for each line": (program(*LINES), LARGE, r"channels_last\(x",
                               r"channels_last\(x(.*\n)+.*(channels_last\(x|first)"),
    "sums of products of elements follow": (program(*GATED, DEPTHWISE, FC), LARGE, r"channels_last\(x(.*\n)+.*addcmul",
                                            r"channels_last(.*\n)+.*channels_|first"),
    "a parameter of both sides": (program(op("scale", axes=["0.c", "1.h", "1.w"]), FC), LARGE, "w1", "channels_"),
}  # fmt: skip


def written(kernel, channels, size, lowering="optimized"):
    values = dict.fromkeys(kernel.variables, 8)
    return source(kernel, channels=channels, size=size, groups=4, values=values, lowering=lowering).split("def forward")[1]


@pytest.mark.parametrize("name", CASES)
def test_layouts(name):
    kernel, (channels, size), has, lacks = CASES[name]
    forward = written(kernel, channels, size)
    assert re.search(has, forward), forward
    assert not re.search(lacks, forward), forward
    assert difference(kernel, channels=channels, sizes=[size, (size[0], size[1] + 2)]) < TOLERANCE


def test_without_channels_last_nothing_is_turned():
    assert "channels_" not in written(program(*LINES), *LARGE, lowering="optimized, no channels last")


def forced(monkeypatch, rng):
    """Layouts that nothing but chance chooses: turning is free, and a convolution wants its channels last or first."""
    monkeypatch.setattr(layouts, "turning", lambda node, code: 0.0)
    wants = defaultdict(lambda: rng.choice([-1e9, 1e9]))
    monkeypatch.setattr(layouts, "saved", lambda node, code, filled: wants[node])
    monkeypatch.setattr(layouts, "rows", lambda node, code, last: wants[node])


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", [name for name, kernel in PROGRAMS.items() if kernel.rank == 2])
def test_any_layouts_of_programs(name, seed, monkeypatch):
    forced(monkeypatch, random.Random(seed))
    assert difference(PROGRAMS[name]) < TOLERANCE


@pytest.mark.parametrize("name", zoo.names())
def test_any_layouts_of_known_kernels(name, monkeypatch):
    forced(monkeypatch, random.Random(name))
    assert difference(zoo.get(name)) < TOLERANCE


def test_any_layouts_of_random_programs(monkeypatch):
    forced(monkeypatch, random.Random(0))
    found = [random_difference(random.Random(seed)) for seed in range(300, 400)]
    assert max(value for value in found if value is not None) < TOLERANCE


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 16, 7, 1), (3, 2, 2, 2)])
def test_the_functions_turn_and_turn_back(shape):
    scope = {"torch": torch, "Tensor": torch.Tensor}
    exec(brought_along("channels_last( channels_first("), scope)
    x = torch.randn(shape, dtype=torch.double, requires_grad=True)
    last = scope["channels_last"](x)
    assert torch.equal(last, x)
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert scope["channels_last"](last) is last
    first = scope["channels_first"](last * 1.0)
    assert torch.equal(first, x)
    assert first.is_contiguous()
    (direction,) = (torch.randn(shape, dtype=torch.double),)
    (first * direction).sum().backward()
    assert torch.equal(x.grad, direction)


def test_weights_are_stored_as_their_convolutions_read_them():
    kernel = program(FEW, FC)
    module, plain = (build(kernel, channels=64, size=(32, 32), lowering=name) for name in ("optimized", "plain"))
    assert module.w1.is_contiguous(memory_format=torch.channels_last)
    assert not module.w1.is_contiguous()
    assert all(parameter.is_contiguous() for parameter in (module.w2, *plain.parameters()))
    module.load_state_dict(plain.state_dict())
    assert not module.w1.is_contiguous()
    x = torch.randn(2, 64, 32, 32)
    torch.testing.assert_close(module(x), plain(x))
    again = build(kernel, channels=64, size=(32, 32))
    again.load_state_dict(plain.state_dict(), assign=True)
    assert torch.equal(again(x), module(x))


def test_what_is_last_already_stays():
    kernel = program(DEPTHWISE, op("relu"), DEPTHWISE, FC)
    x = torch.randn(2, 64, 32, 32)
    module = build(kernel, channels=64, size=(32, 32))
    torch.testing.assert_close(module(x.to(memory_format=torch.channels_last)), module(x))


NINE = op("conv", to="9", k=[5, 5])
FILLED = {
    "read as a matrix": program(NINE, FC),
    "with a bias": program(NINE, op("bias", axes=["0.c"]), op("gelu"), FC),
    "turned first": program(NINE, op("softmax", axes=["1.h", "1.w"]), FC),
    "read by a convolution, later": program(NINE, op("relu"), op("conv", to="C", k=[3, 3]), FC),
    "added": program(NINE, op("conv", ins=[0], to="9", k=[5, 5]), op("add", ins=[1, 2]), FC),
}


@pytest.mark.parametrize("name", FILLED)
def test_outputs_are_filled_up_to_eight(name, monkeypatch):
    monkeypatch.setattr(layouts, "saved", lambda node, code, filled: 1e9)
    forward = written(FILLED[name], *LARGE)
    assert ".narrow(1, 0, 9)" in forward
    assert re.search(r"F\.pad\(self\.w1, \(0, 0, 0, 0, 0, 0, 0, 7\)\)", forward)
    assert difference(FILLED[name], channels=64, sizes=[(8, 8), (7, 10)]) < TOLERANCE


def test_outputs_that_a_convolution_reads_are_not_filled_up(monkeypatch):
    monkeypatch.setattr(layouts, "saved", lambda node, code, filled: 1e9)
    kernel = program(NINE, op("conv", to="C", k=[3, 3]), FC)
    assert "narrow" not in written(kernel, *LARGE)
    assert difference(kernel, channels=64, sizes=[(8, 8), (7, 10)]) < TOLERANCE


def test_outputs_are_filled_up_in_a_file_for_any_width(monkeypatch):
    monkeypatch.setattr(layouts, "saved", lambda node, code, filled: 1e9)
    text = standalone_source(program(op("conv", to="x0", k=[5, 5]), FC), channels=64, size=(16, 16), values={"x0": 9})
    assert "(0, 0, 0, 0, 0, 0, 0, -self.width % 8)" in text
    scope: dict[str, object] = {"__name__": "test"}
    exec(text, scope)
    made = scope[class_name(program(op("conv", to="x0", k=[5, 5]), FC))]
    for width in (9, 12, 16):
        assert made(width=width)(torch.randn(2, 64, 8, 8)).shape == (2, 64, 8, 8)
