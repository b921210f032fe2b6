"""The optimized lowering does what the plain one does, with the calls that an expert would make."""

import random
import re

import pytest
import torch
from lowering_comparison import difference, random_difference
from lowering_programs import FC, PROGRAMS, SIZES, TAPS, UNFOLD, op, program
from torch.utils._python_dispatch import TorchDispatchMode

from kas import zoo
from kas.generation.sample import sample
from kas.language import Infeasible
from kas.lowering import build
from kas.lowering.module_source import source

TOLERANCE = 1e-9


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name):
    assert difference(PROGRAMS[name]) < TOLERANCE


@pytest.mark.parametrize("name", zoo.names())
def test_known_kernels(name):
    assert difference(zoo.get(name)) < TOLERANCE


def test_random_programs():
    found = [random_difference(random.Random(seed)) for seed in range(120)]
    differences = [value for value in found if value is not None]
    assert len(differences) > 60
    assert max(differences) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, 3000, 500))
def test_many_random_programs(start):
    found = [(random_difference(random.Random(seed)) or 0.0, seed) for seed in range(1000 + start, 1500 + start)]
    assert max(found)[0] < TOLERANCE, max(found)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [2, 1, 0])
def test_sampled_kernels(rank):
    sizes = {2: [(6, 12), (12, 18)], 1: [(12,), (24,)], 0: [()]}[rank]
    seen = 0
    for kernel in sample(300, rank=rank, seed=5):
        try:
            assert difference(kernel, channels=32, sizes=sizes) < TOLERANCE, kernel.to_json()
        except Infeasible:
            continue  # some divide by more than these sizes have
        except ValueError as error:
            if "no integer" not in str(error) and "not longer" not in str(error):
                raise
            continue
        seen += 1
    assert seen > 200


def text(kernel, lowering="optimized", channels=16, size=None):
    values = dict.fromkeys(kernel.variables, 8)
    size = size or SIZES[kernel.rank][0]
    return source(kernel, channels=channels, size=size, groups=4, values=values, lowering=lowering)


def forward(name_or_kernel, size=None):
    """The lines of a forward without comments and without the check for empty images."""
    kernel = PROGRAMS[name_or_kernel] if isinstance(name_or_kernel, str) else name_or_kernel
    written = text(kernel, size=size).split("def forward(self, x: Tensor) -> Tensor:\n")[1]
    written = re.sub(r"( +_, _, h(, w)? = x.shape\n)? +functions\.require\(h( \* w)? > 0,.*\n", "", written)
    return [re.sub(r"  #.*", "", line).strip() for line in written.splitlines()]


@pytest.mark.parametrize("lowering", ["plain", "optimized"])
@pytest.mark.parametrize("name", ["conv3x3", "shift1x1", "nonlocal_attention"])
def test_empty_images_are_refused(name, lowering):
    kernel = zoo.get(name)
    sizes = {"channels": 16, "groups": 4, "values": dict.fromkeys(kernel.variables, 8), "lowering": lowering}
    module = build(kernel, size=(8, 8), **sizes)
    with pytest.raises(ValueError, match=r"^an image without positions: H = 0, W = 8$"):
        module(torch.zeros(2, 16, 0, 8))
    with pytest.raises(Infeasible, match=r"^W must be an integer of at least 1, not 0$"):
        build(kernel, size=(8, 0), **sizes)


CONVOLUTIONS = {
    "convolution": "F.conv2d(x, self.w1, padding=(2, 2), dilation=(2, 1))",
    "convolution by unfold": "F.conv2d(x, self.w2, padding=1)",
    "convolution by two unfolds": "F.conv2d(x, self.w3, padding=(4, 1), dilation=(2, 1))",
    "grouped by unfold": "F.conv2d(x, self.w3, padding=1, groups=4)",
    "depthwise by unfold": "F.conv2d(x, self.w3, padding=1, groups=16)",
    "unfold of a row": "F.conv1d(x, self.w2, padding=1)",
    "bias of a convolution": "F.conv2d(x, self.w1, self.w2.reshape(16), padding=1)",
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_one_call(name):
    call = CONVOLUTIONS[name].replace("padding=(2, 2)", "padding=2")
    assert forward(name) == [f"return {call}"]


class Calls(TorchDispatchMode):
    """The names of the operators that run."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(function.__name__)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["convolution by unfold", "grouped by unfold", "depthwise by unfold"])
def test_a_convolution_is_one_operator(name):
    module = build(PROGRAMS[name], channels=16, size=(8, 8), groups=4)
    x = torch.randn(1, 16, 8, 8)
    with torch.no_grad(), Calls() as calls:
        module(x)
    assert calls.names == ["convolution.default"]


@pytest.mark.parametrize(
    "name",
    [
        "depthwise by scale",
        "viewed depthwise by scale",
        "viewed grouped by scale",
        "one filter for all channels",
        "dense by scale",
        "half of the taps",
        "scaled convolution",
        "scaled in groups",
        "average",
        "maximum",
        "maximum over channels and taps",
        "relu between",
        "filter shared by mix",
        "filter of groups by mix",
        "involution",
        "two unfolds added",
        "gated unfold",
        "average of a row",
        "maximum of a row",
        "involution of a row",
    ],
)
def test_unfold_is_never_made(name):
    assert not re.search("unfold", "".join(forward(name)))
    assert "F.unfold" in text(PROGRAMS[name], "plain")


def test_unfold_is_made_where_nothing_else_does_the_same():
    assert "F.unfold" in "".join(forward("joint softmax of far axes", size=(4, 4)))
    views = ".unfold(2, 3, 1).unfold(3, 3, 1).permute(0, 1, 4, 5, 2, 3).contiguous()"
    assert views in "".join(forward("joint softmax of far axes", size=(12, 10)))


def test_the_three_spellings_of_a_depthwise_convolution_are_one_call():
    spelled = program(op("conv", to="C", k=[3, 3], depthwise=True))
    assert forward(spelled) == ["return F.conv2d(x, self.w1, padding=1, groups=16)"]
    assert "F.conv2d(x" in forward("depthwise by unfold")[-1]
    assert forward("depthwise by scale")[-1].startswith("return F.conv2d(x")


def test_shared_expressions_are_computed_once():
    kernel = program(
        op("tanh"), op("tanh", ins=[0]), op("fc", ins=[1], to="C"), op("fc", ins=[2], to="C"), op("add", ins=[3, 4])
    )
    assert "".join(forward(kernel)).count("torch.tanh") == 1


def test_views_cost_nothing():
    kernel = program(op("group", by="4"), UNFOLD, op("relu"), op("ungroup"), op("group", by="G"), FC)
    assert forward(kernel) == ["x = F.relu(x)", "return F.conv2d(x, self.w6, padding=1, groups=4)"]


def test_a_linear_map_of_channels_is_one_product():
    product = "torch.bmm(self.w1.expand(n, -1, -1), x.reshape(n, 16, h * w))"
    assert forward("fc") == ["n, _, h, w = x.shape", f"x = {product}", "return x.reshape(n, 16, h, w)"]


def test_relu_is_in_place_only_where_nothing_else_reads():
    alone = program(FC, op("relu"), FC)
    assert "inplace" in "".join(forward(alone))
    shared = program(FC, op("relu"), op("add", ins=[1, 2]))
    assert "inplace" not in "".join(forward(shared))
    assert "inplace" not in "".join(forward(program(op("relu"), FC)))


def test_a_mean_goes_before_a_linear_map():
    lines = forward("mean after fc")
    assert [line for line in lines if "mean" in line or "linear" in line] == [
        "t1 = x.mean((2, 3))",
        "t1 = F.linear(t1, self.w1)",
    ]


def test_large_attention_is_fused():
    kernel = PROGRAMS["attention"]
    written = source(kernel, channels=16, size=(24, 30))
    assert "scaled_dot_product_attention" in written
    assert difference(kernel, sizes=[(24, 30)]) < TOLERANCE


def test_taps_read_twice_are_not_unfolded():
    kernel = program(
        UNFOLD, op("fold", axes=TAPS, how="max"), op("group", ins=[1], by="G"), op("fc", to="C"), op("add", ins=[2, 4])
    )
    assert "unfold(" not in text(kernel)
    assert difference(kernel) < TOLERANCE


def test_factors_of_half_the_channels_for_taps_that_cut_them_unevenly():
    """With 16 channels the eight factors repeat over 16 * 3 values, where no run of them is a whole number of channels."""
    steps = op("unfold", over="w", k=3), op("conv", ins=[0], to="C/2", k=[3, 3]), op("mul", ins=[2, 1])
    kernel = program(*steps, op("fold", axes=["0.kw"], how="mean"))
    assert difference(kernel) < TOLERANCE
    assert difference(kernel, channels=12) < TOLERANCE  # here they are
