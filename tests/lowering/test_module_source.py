"""The source file: standalone, readable, and clear about what it does not accept."""

import ast
import os
import subprocess
import sys

import pytest
import torch
from lowering_programs import FC, PROGRAMS, op, program

from kas import zoo
from kas.language import Infeasible, KasError
from kas.lowering import build, class_name, source

SIZE = {"channels": 16, "size": (6, 10), "groups": 4}


@pytest.mark.parametrize("lowering", ["plain", "optimized"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_imports_only_torch(name, lowering):
    kernel = PROGRAMS[name]
    tree = ast.parse(source(kernel, channels=16, size=(6, 10)[: kernel.rank], groups=4, lowering=lowering))
    modules = [alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert {module.split(".")[0] for module in modules} == {"torch"}
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    assert [node.name for node in classes] == [class_name(kernel)]
    assert "MACs" in ast.get_docstring(classes[0])


def test_needs_no_torch_to_write():
    code = f"from kas import zoo\nfrom kas.lowering import source\nprint(source(zoo.get('involution'), **{SIZE!r}))"
    texts = [
        subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True)
        for seed in ("1", "2")
    ]
    assert texts[0].stdout == texts[1].stdout == source(zoo.get("involution"), **SIZE) + "\n"


def test_unknown_lowering():
    with pytest.raises(KasError, match="lowering must be one of plain, optimized, not 'fast'"):
        source(zoo.get("conv3x3"), **SIZE, lowering="fast")


def test_infeasible_sizes():
    with pytest.raises(Infeasible, match=r"step 1 \(fc\): the dim C/4 is 3/2"):
        build(program(op("fc", to="C/4"), FC), channels=6, size=(4, 4))
    with pytest.raises(Infeasible, match="of rank 2"):
        source(PROGRAMS["fc"], channels=6, size=(4,))


@pytest.mark.parametrize("lowering", ["plain", "optimized"])
def test_another_size_where_a_dim_is_no_integer(lowering):
    kernel = program(op("fc", to="4"), op("matmul", ins=[0, 1], t=[False, True]), FC, op("add", ins=[3, 0]), rank=1)
    module = build(kernel, channels=8, size=(8,), lowering=lowering)
    assert module(torch.zeros(2, 8, 12)).shape == (2, 8, 12)
    with pytest.raises(ValueError, match=r"step 4 \(add\): the dim H/4 is no integer at H = 7"):
        module(torch.zeros(2, 8, 7))
    with pytest.raises(Infeasible, match="H/4"):
        build(kernel, channels=8, size=(7,), lowering=lowering)


def test_fixed_size_is_checked():
    module = build(PROGRAMS["mix of rows"], channels=4, size=(6, 10))
    module(torch.zeros(1, 4, 6, 10))
    with pytest.raises(ValueError, match=r"built for the size \(6, 10\), not \(10, 6\)"):
        module(torch.zeros(1, 4, 10, 6))


@pytest.mark.parametrize("lowering", ["plain", "optimized"])
def test_shift_longer_than_the_axis(lowering):
    module = build(PROGRAMS["shift"], channels=4, size=(6, 10), lowering=lowering)
    with pytest.raises(ValueError, match=r"step 1 \(shift\): the axis of H is not longer than the shift by -2 at H = 2"):
        module(torch.zeros(1, 4, 2, 10))


@pytest.mark.parametrize("lowering", ["plain", "optimized"])
def test_other_channels_are_refused(lowering):
    module = build(program(op("group", by="4"), op("transpose"), op("ungroup")), channels=8, size=(4, 4), lowering=lowering)
    with pytest.raises(ValueError, match="built for 8 channels, not 16"):
        module(torch.zeros(1, 16, 4, 4))
