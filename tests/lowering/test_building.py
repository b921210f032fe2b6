"""Built modules: weights, copies, precision, memory format, compilation and export."""

import copy
import pickle
from dataclasses import replace

import pytest
import torch
import torch.fx
from kernel_sizes import fitting
from lowering_programs import FC, PROGRAMS, SIZES, op, program
from torch.utils._pytree import tree_leaves

from kas import zoo
from kas.language import Infeasible, InvalidKernel
from kas.lowering import build
from kas.lowering.building import rebuilt
from kas.lowering.origin import origin_of

LOWERINGS = ["plain", "optimized"]
SOME = [
    "involution",
    "nonlocal_attention",
    "shufflenet_unit",
    "squeeze_excitation",
    "poolformer",
    "convnext",
    "shift1x1",
    "grouped_linear",
]


def made(kernel, lowering="optimized", channels=16):
    values = dict.fromkeys(kernel.variables, 8)
    size = fitting(kernel, SIZES[kernel.rank][0])
    return build(kernel, channels=channels, size=size, groups=4, values=values, lowering=lowering)


def image(kernel, batch=2):
    return torch.randn(batch, 16, *fitting(kernel, SIZES[kernel.rank][0]), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", PROGRAMS)
def test_both_lowerings_have_the_same_parameters(name):
    plain, optimized = (made(PROGRAMS[name], lowering).state_dict() for lowering in LOWERINGS)
    assert {key: value.shape for key, value in plain.items()} == {key: value.shape for key, value in optimized.items()}
    weighted = [i for i, outcome in enumerate(PROGRAMS[name].outcomes, 1) if outcome.weight is not None]
    assert list(plain) == [f"w{i}" for i in weighted]


def test_weights_come_from_the_seed():
    def drawn():
        torch.manual_seed(3)
        return [made(zoo.get("bottleneck"), lowering).state_dict() for lowering in LOWERINGS]

    first, again = drawn(), drawn()
    assert all(torch.equal(a, b) for a, b in zip(tree_leaves(first), tree_leaves(again), strict=True))


@pytest.mark.parametrize(
    "name", ["fc", "fc grouped", "convolution by unfold", "depthwise by scale", "dense by scale", "mix of channels"]
)
def test_weights_keep_the_variance(name):
    kernel = PROGRAMS[name]
    if name == "dense by scale":
        kernel = program(*[step.to_dict() for step in kernel.steps[:3]], op("mul", ins=[3, 0]))
    torch.manual_seed(0)
    module = build(kernel, channels=64, size=(24, 24), groups=4)
    x = torch.randn(8, 64, 24, 24)
    factor = x.square().mean() if name == "dense by scale" else 1.0
    assert float(module(x).detach().square().mean() / factor) == pytest.approx(1, rel=0.35)


def test_weights_before_a_relu_keep_the_second_moment():
    torch.manual_seed(0)
    module = build(program(FC, op("relu"), FC), channels=256, size=(8, 8))
    assert float(module(torch.randn(4, 256, 8, 8)).detach().square().mean()) == pytest.approx(1, rel=0.3)


def test_scale_starts_at_one_and_bias_at_zero():
    module = made(PROGRAMS["scale of positions"])
    assert torch.equal(module.w2, torch.ones_like(module.w2))
    assert torch.equal(module.w3, torch.zeros_like(module.w3))


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("name", zoo.names())
def test_deepcopy_and_state_dict(name, lowering):
    kernel = zoo.get(name)
    module, x = made(kernel, lowering), image(kernel)
    expected = module(x)
    assert torch.equal(copy.deepcopy(module)(x), expected)
    other = made(kernel, lowering)
    other.load_state_dict(module.state_dict())
    assert torch.equal(other(x), expected)
    assert module.state_dict().keys() == dict(module.named_parameters()).keys()


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("name", zoo.names())
def test_pickled_as_its_program(name, lowering):
    kernel = zoo.get(name)
    module, x = made(kernel, lowering), image(kernel)
    data = pickle.dumps(module)
    assert kernel.to_json().encode() in data
    assert not any(word in data for word in (b"def forward", b"kas.generated"))
    assert torch.equal(pickle.loads(data)(x), module(x))


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("name", zoo.names())
def test_traced_by_fx_for_any_batch_and_size(name, lowering):
    kernel = zoo.get(name)
    module = made(kernel, lowering)
    traced = pickle.loads(pickle.dumps(torch.fx.symbolic_trace(module)))
    for size in SIZES[kernel.rank][: 1 if kernel.fixed_size else None]:
        x = torch.randn(3, 16, *fitting(kernel, size))
        assert torch.equal(traced(x), module(x))


def test_a_traced_module_checks_its_sizes():
    traced = torch.fx.symbolic_trace(made(zoo.get("gmlp")))
    with pytest.raises(ValueError, match="was built for the size"):
        traced(torch.randn(1, 16, 3, 3))


def test_a_pickle_with_another_program_is_refused():
    origin = origin_of(made(zoo.get("conv3x3")))
    with pytest.raises(InvalidKernel, match="exec"):
        rebuilt(*replace(origin, program=origin.program.replace('"conv"', '"exec"')).arguments)
    with pytest.raises(Infeasible, match="of rank 2"):
        rebuilt(*replace(origin, size=(4,)).arguments)


def test_a_module_keeps_its_state_in_a_pickle():
    module = made(zoo.get("involution")).eval().requires_grad_(False).double()
    module.register_forward_hook(print)
    module.note = "mine"
    again = pickle.loads(pickle.dumps(module))
    assert type(again) is type(module)
    assert (again.training, again.note, again.w1.requires_grad, again.w1.dtype) == (False, "mine", False, torch.double)
    assert list(again._forward_hooks.values()) == [print]
    assert origin_of(again) == origin_of(module)


def test_a_parametrized_module_is_copied_and_says_that_it_cannot_be_pickled():
    module = made(zoo.get("conv3x3"))
    torch.nn.utils.parametrize.register_parametrization(module, "w1", torch.nn.Tanh())
    x = image(zoo.get("conv3x3"))
    assert torch.equal(copy.deepcopy(module)(x), module(x))
    with pytest.raises(RuntimeError, match="parametrized"):
        pickle.dumps(module)


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("name", zoo.names())
def test_autocast(name, lowering):
    kernel = zoo.get(name)
    module, x = made(kernel, lowering), image(kernel).requires_grad_()
    expected = module(x)
    with torch.autocast("cpu", torch.bfloat16):
        found = module(x)
    found.float().sum().backward()
    assert float(((found.float() - expected).abs().max() / expected.abs().max()).detach()) < 0.05


@pytest.mark.parametrize("name", [name for name, kernel in PROGRAMS.items() if kernel.rank == 2])
def test_channels_last_input(name):
    module, x = made(PROGRAMS[name]), image(PROGRAMS[name])
    assert torch.allclose(module(x.to(memory_format=torch.channels_last)), module(x), rtol=1e-3, atol=1e-4)


FIVE = ["0.c", "0.kh", "0.kw", "1.h", "1.w"]
SCALED_TAPS = {
    f"{name} over {len(axes)} axes": program(op("unfold", over="hw", k=3), op(name, axes=axes), op("relu"), FC)
    for name in ("scale", "bias")
    for axes in (FIVE[:3], FIVE[1:], FIVE)
}


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("name", SCALED_TAPS)
def test_modules_go_to_channels_last(name, lowering):
    module, x = made(SCALED_TAPS[name], lowering), image(SCALED_TAPS[name])
    moved = copy.deepcopy(module).to(memory_format=torch.channels_last)
    assert torch.allclose(moved(x.to(memory_format=torch.channels_last)), module(x), rtol=1e-3, atol=1e-4)


def test_channels_last_is_kept_by_convolutions():
    kernel = program(op("conv", to="C", k=[3, 3]), op("relu"), op("unfold", over="hw", k=3), op("group", by="G"), FC)
    x = image(kernel).to(memory_format=torch.channels_last)
    assert made(kernel)(x).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", SOME)
def test_export_with_any_batch_and_size(name):
    kernel = zoo.get(name)
    module, x = made(kernel).eval(), image(kernel)
    dynamic = dict.fromkeys((0, *range(2, 2 + kernel.rank)), torch.export.Dim.DYNAMIC)
    exported = torch.export.export(module, (x,), dynamic_shapes=(dynamic,)).module()
    other = torch.randn(5, 16, *fitting(kernel, SIZES[kernel.rank][-1]))
    assert torch.allclose(exported(other), module(other), rtol=1e-4, atol=1e-5)


# Loading the compiler's default backend warns of torch's own use of its script compiler.
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.slow
@pytest.mark.parametrize("name", [*SOME, "conv3x3"])
def test_compile(name):
    kernel = zoo.get(name)
    module, x = made(kernel), image(kernel)
    compiled = torch.compile(module, fullgraph=True)
    assert torch.allclose(compiled(x), module(x), rtol=1e-3, atol=1e-4)
    compiled(x).sum().backward()


def test_tracebacks_show_the_generated_line():
    module = build(PROGRAMS["convolution"], channels=4, size=(4, 4))
    with pytest.raises(RuntimeError) as caught:
        module(torch.zeros(1, 3, 4, 4))
    assert any("F.conv2d" in str(entry.statement) for entry in caught.traceback)
