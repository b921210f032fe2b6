"""Kernels in their inference form: the same outputs, borders included, and one convolution where one will do."""

import copy

import pytest
import torch
from kernel_sizes import fitting
from lowering_programs import FC, PROGRAMS, SIZES, TAPS, UNFOLD, op, program
from torch.utils.flop_counter import FlopCounterMode

import kas
from kas import zoo
from kas.generation import sample
from kas.language import Infeasible, KasError
from kas.lowering import build
from kas.lowering.fusing import convolution, fuse_kernel, fuse_kernel_before, fused_parts, linear_price, map_of
from kas.lowering.origin import origin_of


def built(kernel, channels=16, size=None, groups=4, values=None):
    """A module whose weights are all random: no scale is one, no bias zero."""
    values = dict.fromkeys(kernel.variables, 8) if values is None else values
    module = build(kernel, channels=channels, size=size or fitting(kernel, SIZES[kernel.rank][0]), groups=groups, values=values)
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    return module


def apart(first, second, *sizes, channels=16):
    """The largest relative difference in float32, at all sizes."""
    worst = 0.0
    for size in sizes:
        x = torch.randn(3, channels, *size, generator=torch.Generator().manual_seed(2))
        with torch.no_grad():
            a, b = first(x), second(x)
        worst = max(worst, float((a - b).abs().max() / a.abs().max()))
    return worst


def ops(module):
    return " ".join(step.op for step in origin_of(module).kernel.steps)


def fused_ops(*steps, rank=2, channels=16):
    """The steps that a program becomes, once it is seen to give the same outputs, at the borders too."""
    kernel = program(*steps, rank=rank)
    module = built(kernel, channels=channels)
    fused = fuse_kernel(module)
    assert apart(module, fused, *SIZES[rank][: 1 if kernel.fixed_size else 2], channels=channels) < 1e-5
    return ops(fused)


SCALE, BIAS = op("scale", axes=["0.c"]), op("bias", axes=["0.c"])


CONV = op("conv", to="C", k=[3, 3])
DEPTHWISE = op("conv", to="C", k=[3, 3], depthwise=True)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        # parallel
        ([CONV, op("fc", ins=[0], to="C"), op("add", ins=[1, 2]), op("add", ins=[0, 3])], "conv"),
        ([CONV, op("neg", ins=[0]), op("sub", ins=[1, 2], swap=True)], "conv"),
        ([DEPTHWISE, op("conv", ins=[0], to="C", k=[5, 5], depthwise=True), op("add", ins=[1, 2])], "conv"),
        ([op("conv", to="C", k=[1, 3]), op("conv", ins=[0], to="C", k=[3, 3]), op("add", ins=[1, 2])], "conv"),
        ([op("conv", to="C", k=[3, 1]), op("conv", ins=[0], to="C", k=[1, 3]), op("add", ins=[1, 2])], "conv conv add"),
        # one after the other
        ([FC, FC], "fc"),
        ([FC, CONV], "conv"),
        ([CONV, FC], "conv"),
        ([op("fc", to="2*C"), FC], "fc"),
        ([CONV, CONV], "conv conv"),
        ([op("conv", to="C/4", k=[3, 1]), op("conv", to="C", k=[1, 3])], "conv conv"),
        # scales and biases
        ([CONV, SCALE, BIAS, SCALE], "conv bias"),
        ([SCALE, CONV], "conv"),
        ([BIAS, FC], "fc bias"),
        ([FC, BIAS, CONV], "fc bias conv"),  # the bias is not there beyond the border
        ([FC, op("bias", axes=["1.h"]), FC], "fc bias fc"),
        ([SCALE, BIAS, SCALE, BIAS, op("relu"), FC], "scale bias relu fc"),
        # views, taps, means
        ([UNFOLD, op("fold", axes=TAPS, how="mean"), op("sub", ins=[2, 0])], "conv"),
        ([UNFOLD, FC, op("scale", axes=["0.c"])], "conv"),
        ([op("group", by="G"), FC, op("group", by="G"), FC], "group fc"),
        ([op("group", by="G"), CONV, op("add", ins=[2, 2])], "group conv"),
        ([op("group", by="G"), FC, op("group", by="G"), op("transpose"), op("ungroup"), FC], "fc"),
        ([CONV, op("fold", axes=["0.c"], how="mean"), op("add", ins=[2, 0])], "conv add"),
        # one filter for everything
        ([op("filter", axis="0.c", k=3, d=2), FC], "fc"),
        ([CONV, op("filter", axis="0.c", k=5)], "conv"),
        ([op("filter", axis="1.h", k=3), op("add", ins=[1, 0])], "conv"),
        ([op("group", by="G"), op("filter", axis="0.c", k=3), FC], "group fc"),
        # shifts are circular
        ([FC, op("shift", axes=["1.h"], by=1), FC], "shift fc"),
        ([op("shift", axes=["1.h"], by=1), op("shift", axes=["1.w"], by=1), FC], "shift shift fc"),
        ([CONV, op("shift", axes=["1.h", "1.w"], by=-2), CONV], "conv shift conv"),
        ([CONV, op("shift", axes=["1.w"], by=2), FC], "conv shift fc"),
        # nothing goes through what is not linear, or not the same everywhere
        ([FC, op("relu"), FC], "fc relu fc"),
        ([FC, op("mix", axes=["1.h"], to=["H"]), FC], "fc mix fc"),
        ([FC, op("mul", ins=[1, 0]), FC], "fc mul fc"),
    ],
)  # fmt: skip
def test_what_programs_become(steps, expected):
    assert fused_ops(*steps) == expected


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([op("conv", to="C", k=[3, 1]), op("fc", ins=[0], to="C"), op("add", ins=[1, 2])], "conv"),
        ([op("unfold", over="h", k=3), FC, op("bias", axes=["0.c"]), FC], "conv bias"),
        ([op("shift", axes=["1.h"], by=1), FC, FC], "shift fc"),
    ],
)
def test_sequences(steps, expected):
    assert fused_ops(*steps, rank=1) == expected


def test_linear_layers():
    assert fused_ops(FC, FC, op("bias", axes=["0.c"]), op("scale", axes=["0.c"]), rank=0) == "fc bias"
    assert fused_ops(op("group", by="G"), FC, op("add", ins=[2, 0]), rank=0) == "group fc"


def test_two_branches_that_only_pay_off_together():
    """One of them alone would be dearer as a dense 3x3."""
    half = [op("fc", to="C/2"), CONV, op("fc", ins=[0], to="C/2"), CONV, op("add", ins=[2, 4])]
    assert fused_ops(*half, channels=128) == "conv"
    assert fused_ops(op("fc", to="C/4"), CONV, channels=128) == "fc conv"


def test_a_bottleneck_stays():
    assert fused_ops(op("fc", to="C/8"), FC, channels=64) == "fc fc"


def test_taps_far_apart_stay_apart():
    wide = op("conv", ins=[0], to="C", k=[3, 3], d=[3, 3])
    assert fused_ops(CONV, wide, op("add", ins=[1, 2]), channels=64) == "conv conv add"


def test_a_branch_with_other_readers_is_computed_once():
    assert fused_ops(CONV, op("relu"), op("add", ins=[1, 2])) == "conv relu add"


@pytest.mark.parametrize("name", zoo.names())
def test_known_kernels(name):
    check(zoo.get(name))


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name):
    check(PROGRAMS[name])


def check(kernel, **sizes):
    """Equal in float32, at a size that it was not checked at too; cheaper, or as it was."""
    module = built(kernel, **sizes)
    state = copy.deepcopy(module.state_dict())
    fused = fuse_kernel(module)
    assert not fused.training
    sizes = [fitting(kernel, size) for size in SIZES[kernel.rank][: 1 if kernel.fixed_size else 2]]
    assert apart(module.eval(), fused, *sizes) < 1e-5
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    if fused.fused:
        assert linear_price(fused) < linear_price(module)
    else:
        assert ops(fused) == ops(module)
    return bool(fused.fused)


def test_sampled_kernels():
    """At least a tenth of what the search samples has something to merge; all give the same outputs."""
    merged = []
    for kernel in sample(n=100, rank=2, seed=5):
        try:
            module = built(kernel, groups=4)
        except Infeasible:
            continue
        fused = fuse_kernel(module)
        x = torch.randn(2, 16, *fitting(kernel, SIZES[2][0]), generator=torch.Generator().manual_seed(3))
        with torch.no_grad():
            a, b, exact = module(x), fused(x), copy.deepcopy(module).double()(x.double())
        scale = float(exact.abs().max())
        assert scale > 0, kernel.to_json()
        own = float((a - exact).abs().max()) / scale  # the kernel's own rounding: a division may enlarge it
        assert float((a - b).abs().max()) / scale <= max(1e-5, 4 * own), kernel.to_json()
        merged.append(bool(fused.fused))
    assert len(merged) > 80
    assert sum(merged) >= 10


def test_repvgg_is_one_convolution_of_the_expected_weight():
    module = built(zoo.get("repvgg"), channels=8)
    fused = fuse_kernel(module)
    three, one = (parameter.detach() for parameter in module.parameters())
    expected = three.clone()
    expected[:, :, 1, 1] += one + torch.eye(8)
    (weight,) = fused.parameters()
    torch.testing.assert_close(weight.detach(), expected)
    with FlopCounterMode(display=False) as counter:
        fused(torch.randn(1, 8, 6, 10))
    assert counter.get_total_flops() == 2 * 8 * 8 * 9 * 60
    assert [str(part) for part in fused.fused] == [str(fused_parts(fused)[0])]
    assert (fused.fused[0].before, fused.fused[0].after) == ("conv fc add add", "conv")


def test_affine_behind_a_kernel():
    scale, bias = (torch.randn(16, generator=torch.Generator().manual_seed(i)).double() for i in (0, 1))
    like = torch.empty(0)
    module = built(zoo.get("depthwise_separable"))
    fused = fuse_kernel_before(module, scale.numpy(), bias.numpy(), like)
    assert fused is not None
    assert ops(fused) == "conv relu fc bias"
    x = torch.randn(2, 16, 6, 10)
    expected = module(x) * scale.float()[:, None, None] + bias.float()[:, None, None]
    torch.testing.assert_close(fused(x), expected, rtol=1e-5, atol=1e-5)
    gated = built(program(FC, op("mul", ins=[1, 0])))
    assert fuse_kernel_before(gated, scale.numpy(), bias.numpy(), like) is None


def test_a_whole_module_as_a_torch_layer():
    module = built(zoo.get("repvgg"))
    found = map_of(module)
    assert found is not None
    layer = convolution(found, 2)
    assert isinstance(layer, torch.nn.Conv2d)
    x = torch.randn(2, 16, 6, 10)
    torch.testing.assert_close(layer(x.double()).float(), module(x), rtol=1e-5, atol=1e-5)
    strided = convolution(found, 2, (2, 1))
    torch.testing.assert_close(strided(x.double()).float(), module(x[:, :, ::2]), rtol=1e-5, atol=1e-5)
    assert map_of(built(zoo.get("bottleneck"))) is None
    assert map_of(torch.nn.ReLU()) is None


def test_the_fused_module_is_a_module_like_any_other():
    module = built(zoo.get("repvgg"))
    fused = kas.fuse(module)
    x = torch.randn(2, 16, 6, 10)
    twin = copy.deepcopy(fused)
    torch.testing.assert_close(twin(x), fused(x), rtol=0, atol=0)
    fresh = kas.fuse(built(zoo.get("repvgg")))
    fresh.load_state_dict(fused.state_dict())
    torch.testing.assert_close(fresh(x), fused(x), rtol=0, atol=0)
    exported = torch.export.export(fused, (x,))
    torch.testing.assert_close(exported.module()(x), fused(x))
    again = kas.fuse(fused)
    assert again.fused == ()
    assert again is not fused


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_precision_stays(dtype):
    module = built(zoo.get("repvgg")).to(dtype)
    fused = kas.fuse(module)
    assert {parameter.dtype for parameter in fused.parameters()} == {dtype}


def test_channels_last_stays():
    module = built(zoo.get("repvgg")).to(memory_format=torch.channels_last)
    (weight,) = fuse_kernel(module).parameters()
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_a_mistake_is_found(monkeypatch):
    """A merge that is wrong must not leave the house."""
    from kas.lowering.fusing import maps

    monkeypatch.setattr(maps.ConvMap, "weight", lambda self, real=maps.ConvMap.weight: real(self) * 1.001)
    with pytest.raises(KasError, match=r"fuse: <Kernel .*, rank 2: conv .*> changes by .* when fused"):
        fuse_kernel(built(zoo.get("repvgg")))


def test_outputs_that_cancel_prove_nothing():
    """The mean of what is standardised is zero: the merged form differs from the other by rounding alone, and is not used."""
    centred = [op("normalize", axes=["0.c"], how="standard"), op("neg"), op("fold", axes=["0.c"], how="mean"), FC]
    module = built(program(*centred, rank=0))
    fused = fuse_kernel(module)
    assert fused.fused == ()
    assert apart(module, fused, ()) == 0


def test_the_random_state_stays():
    module = built(zoo.get("repvgg"))
    before = torch.get_rng_state()
    fuse_kernel(module)
    assert torch.equal(torch.get_rng_state(), before)


def test_other_modules_are_refused():
    with pytest.raises(KasError, match=r"ReLU was not built by kas\.build"):
        fuse_kernel(torch.nn.ReLU())
