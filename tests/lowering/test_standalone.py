"""The standalone file: sizes are arguments, tensors have names, and it checks itself when it is run."""

import ast
import random
import re
import subprocess
import sys

import pytest
import torch
from lowering_comparison import random_program
from lowering_programs import FC, PROGRAMS, UNFOLD, op, program

from kas import zoo
from kas.generated import load
from kas.language import Infeasible
from kas.lowering import build, class_name, source
from kas.lowering.code import Code
from kas.lowering.mathematics import mathematics
from kas.lowering.sketch import sketch
from kas.lowering.symbolic import Amount, SymbolicCode
from kas.lowering.wrapping import wrapped

SIZES = {2: (6, 10), 1: (12,), 0: ()}
OTHERS = {2: (8, 12), 1: (16,), 0: ()}
ATTENTION = zoo.get("nonlocal_attention")


def written(kernel, groups=4, **options):
    values = dict.fromkeys(kernel.variables, 8)
    return source(kernel, channels=16, size=SIZES[kernel.rank], groups=groups, values=values, **options)


def elsewhere(kernel, text, channels=32, groups=8):
    """The largest relative difference of the file from the plain lowering at other arguments; None where there is none."""
    values = {name: 6 + 6 * (i % 2) for i, name in enumerate(kernel.variables)}
    size = OTHERS[kernel.rank]
    try:
        plain = build(kernel, channels=channels, size=size, groups=groups, values=values, lowering="plain").double()
    except Infeasible:
        return None
    arguments = {"channels": channels} | ({"groups": groups} if kernel.uses_groups else {})
    alone = len(values) == 1
    arguments |= {"width" if alone else f"width{name[1:]}": value for name, value in values.items()}
    arguments |= {"size": size} if kernel.fixed_size else {}
    module = load(text, class_name(kernel))(**arguments).double()
    module.load_state_dict(plain.state_dict())
    x = torch.randn(2, channels, *size, dtype=torch.double)
    with torch.no_grad():
        a, b = plain(x), module(x)
    return float((a - b).abs().max() / a.abs().max().clamp(min=1e-9))


def check_of(text):
    """Run the check of a file in this process."""
    scope = {"__name__": "standalone"}
    exec(compile(text, "standalone.py", "exec"), scope)
    scope["check"]()


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_pattern_checks_itself_and_serves_other_sizes(name):
    text = written(PROGRAMS[name])
    check_of(text)
    difference = elsewhere(PROGRAMS[name], text)
    assert difference is None or difference < 1e-9
    assert max(map(len, text.partition("def forward")[2].partition("\n# What")[0].splitlines())) <= 124


@pytest.mark.parametrize("name", ["involution", "repvgg", "shufflenet_unit", "linear", "conv1d3"])
def test_known_kernels_in_the_plain_lowering(name):
    check_of(written(zoo.get(name), lowering="plain"))


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, 600, 50))
def test_random_kernels(start):
    served = 0
    for seed in range(start, start + 50):
        rng = random.Random(seed)
        kernel = random_program(rng, rng.choice([2, 2, 2, 1, 0]), rng.randint(2, 12))
        if kernel is None:
            continue
        try:
            text = written(kernel, groups=rng.choice([1, 2, 4]))
        except Infeasible:
            continue
        check_of(text)
        difference = elsewhere(kernel, text)
        assert difference is None or difference < 1e-7, kernel.to_json()
        served += difference is not None
    assert served


def test_the_script_says_ok_and_what_is_wrong(tmp_path):
    path = tmp_path / "kernel.py"
    text = written(ATTENTION)
    path.write_text(text)
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")
    start = "def forward(self, x: Tensor) -> Tensor:\n"
    path.write_text(text.replace(start, f"{start}        x = 1.01 * x\n"))
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("failed: the outputs [")


def test_only_torch_and_one_class():
    tree = ast.parse(written(zoo.get("involution")))
    modules = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert {module.split(".")[0] for module in modules} == {"torch"}
    assert [node.name for node in tree.body if isinstance(node, ast.ClassDef)] == [class_name(zoo.get("involution"))]


def test_tensors_have_names():
    forward = written(ATTENTION).partition("def forward")[2].partition("\n# What")[0]
    assert all(word in forward for word in ("queries", "keys", "values", "attended", "self.channels"))
    for kernel in PROGRAMS.values():
        forward = written(kernel, check=False).partition("def forward")[2]
        assert not re.search(r"\bt\d+\b", forward)


def test_arguments_and_their_checks():
    kernel = zoo.get("shufflenet_unit")
    made = load(written(kernel), class_name(kernel))
    assert (made().groups, made().width) == (4, 8)
    assert made(channels=24, groups=3, width=2)(torch.zeros(1, 24, 5, 5)).shape == (1, 24, 5, 5)
    with pytest.raises(ValueError, match=r"step 1 \(group\): C/G is no integer at channels = 16, groups = 3"):
        made(groups=3)
    with pytest.raises(ValueError, match="built for 16 channels, not 8"):
        made()(torch.zeros(1, 8, 5, 5))


def test_a_size_that_weights_belong_to_is_an_argument():
    kernel = PROGRAMS["mix of rows"]
    made = load(written(kernel), class_name(kernel))
    assert made(size=(4, 5))(torch.zeros(1, 16, 4, 5)).shape == (1, 16, 4, 5)
    with pytest.raises(ValueError, match="built for H = 6, not 10"):
        made()(torch.zeros(1, 16, 10, 6))


def test_positions_are_checked():
    kernel = program(op("fc", to="4"), op("matmul", ins=[0, 1], t=[False, True]), FC, op("add", ins=[3, 0]), rank=1)
    module = load(written(kernel), class_name(kernel))(channels=8)
    with pytest.raises(ValueError, match=r"step 4 \(add\): the dim H/4 is no integer at H = 7"):
        module(torch.zeros(2, 8, 7))
    shift = load(written(PROGRAMS["shift"]), class_name(PROGRAMS["shift"]))()
    with pytest.raises(ValueError, match=r"step 1 \(shift\): the axis of H is not longer than the shift by -2 at H = 2"):
        shift(torch.zeros(1, 16, 2, 10))


def test_an_amount_is_never_a_literal():
    kernel = zoo.get("bottleneck")
    env = {"C": 16, "G": 1, "H": 8, "W": 8, "x0": 4}
    code, plain = SymbolicCode(kernel, env), Code(kernel, env)
    assert any(isinstance(code.number(dim), Amount) for _, dim in kernel.dims)
    for _, dim in kernel.dims:
        amount = code.number(dim)
        if isinstance(amount, Amount):
            assert amount.value == plain.number(dim)
            with pytest.raises(TypeError, match="would become a literal number"):
                int(amount)
            with pytest.raises(TypeError, match="would become a literal number"):
                [0] * amount


def test_docstring_has_formula_drawing_and_cost():
    text = ast.get_docstring(next(n for n in ast.parse(written(ATTENTION)).body if isinstance(n, ast.ClassDef)))
    assert "y = x + W₆·(W₃·x)·softmax((W₁·x)ᵀ·(W₂·x)/√d)ᵀ/√d" in text
    assert "├─┼─╮" in text
    assert re.search(r"parameters +4\*C\*x0 +512", text)


def test_formulas():
    assert mathematics(zoo.get("involution")) == ["y = mean[kh, kw](W₃·relu(W₁·x) ⊙ taps₃ₓ₃(x))"]
    assert mathematics(zoo.get("ghost")) == ["a = relu(W₁·x)", "y = a + W₃ ∗ a"]
    difference = program(FC, op("sub", ins=[0, 1]), op("sub", ins=[0, 2]), op("div", ins=[3, 0], swap=True))
    assert mathematics(difference) == ["y = x ⊘ (x - (x - W₁·x))"]


def test_sketch():
    lanes = [line[:5].rstrip() for line in sketch(program(FC, op("relu"), op("add", ins=[0, 2])))]
    assert lanes == ["○", "├─╮", "│ ●", "│ ●", "├─╯", "●"]
    chain = [line[0] for line in sketch(program(UNFOLD, FC))]
    assert chain == ["○", "●", "●"]


def test_long_lines_are_broken_within_brackets():
    line = f"x = call({', '.join(['argument'] * 20)}).method(1)"
    assert ast.dump(ast.parse("\n".join(wrapped(line)))) == ast.dump(ast.parse(line))
    assert max(map(len, wrapped(line))) <= 112
    summed = f"x = ({' + '.join(['argument'] * 20)}).exp()"
    assert ast.dump(ast.parse("\n".join(wrapped(summed)))) == ast.dump(ast.parse(summed))
