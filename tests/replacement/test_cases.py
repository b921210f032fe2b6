"""Networks that break tools which swap layers: each has the right outcome, and so have others of its kind."""

import copy
import logging
import subprocess
import sys
import threading
from types import MethodType

import pytest
import torch
import torch.nn.functional as F
from case_networks import CASES, SHAPE, InPlace, KeepsActivation, WalksByType, after_a_pass, conv, example, lazy, plain
from replacement_networks import same_template
from torch import nn
from torch.nn.utils import parametrizations

import kas
from kas import KasError
from kas.replacement import StandIn, check_replaced, find_targets, fuse, only_replaced_train, replace_layers, survey

KERNEL = kas.zoo.get("depthwise_separable")
LOAD = """
import sys, torch
network = torch.load(sys.argv[1], weights_only=False)
x, y = torch.load(sys.argv[2])
assert torch.equal(network(x), y)
print("equal")
"""


def replaced(name, **options):
    """The case, its example, and the network with the kernel, after one pass forward and backward."""
    model, x = CASES[name]()
    new = kas.replace(model, KERNEL, x, budget={"macs": 0.5}, **options)
    output = new(x.clone())
    logits = output["out"] if isinstance(output, dict) else output
    logits.square().mean().backward()
    assert all(p.grad is not None for p in new.parameters() if p.requires_grad)
    return model, x, new


def stand_ins(new):
    return {name: module for name, module in new.named_modules() if isinstance(module, StandIn)}


def test_compiled():
    _, x, new = replaced("compiled")
    new.eval()
    torch.compiler.reset()
    compiled = torch.compile(new, backend="eager", fullgraph=True)
    with torch.no_grad():
        assert torch.allclose(compiled(x), new(x), atol=1e-6)


def test_saved(tmp_path):
    _, x, new = replaced("saved")
    new.eval()
    torch.save(new, tmp_path / "network.pt")
    torch.save((x, new(x).detach()), tmp_path / "values.pt")
    words = [sys.executable, "-c", LOAD, str(tmp_path / "network.pt"), str(tmp_path / "values.pt")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.stdout == "equal\n", done.stderr


def test_traced_by_fx():
    _, x, new = replaced("traced by fx")
    new.eval()
    traced = torch.fx.symbolic_trace(new)
    for size in (32, 36, 33):
        x = torch.randn(2, 3, size, size)
        assert torch.allclose(traced(x), new(x), atol=1e-6)


def test_reads_dtype():
    model, x, new = replaced("reads dtype")
    layer = new.body
    assert (layer.weight.dtype, layer.weight.device, layer.weight.shape) == (torch.float32, x.device, (32, 16, 3, 3))
    assert not any("_weight" in key for key in (*new.state_dict(), *dict(new.named_parameters())))
    assert copy.deepcopy(new).double().body.weight.dtype == torch.float64
    assert new.to("meta").body.weight.device.type == "meta"
    assert model.body.weight.device.type == "cpu"


def test_a_network_that_reads_dtype_can_be_compiled_traced_fused_and_have_no_weights():
    model, x = CASES["reads dtype"]()
    unfold = {"op": "unfold", "ins": [0], "over": "hw", "k": 3}
    fold = {"op": "fold", "ins": [1], "axes": ["0.kh", "0.kw"], "how": "max"}
    pooling = kas.Kernel.from_dict({"format": "kas.kernel/1", "rank": 2, "steps": [unfold, fold]})
    for kernel in (KERNEL, pooling):
        new = kas.replace(model, kernel, x).eval()
        assert bool(list(new.body.templates.parameters())) == (kernel is KERNEL)
        torch.compiler.reset()
        with torch.no_grad():
            expected = new(x)
            assert torch.allclose(torch.compile(new, backend="eager", fullgraph=True)(x), expected, atol=1e-6)
            assert torch.allclose(torch.fx.symbolic_trace(new)(x), expected, atol=1e-6)
            assert torch.allclose(fuse(new, x)(x), expected, atol=1e-5)
        assert fuse(new, x).body.weight.dtype == torch.float32


ANSWERS = (
    "in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode", "extra", "i"
)  # fmt: skip


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"stride": 2, "groups": 2}, {"padding_mode": "reflect"}], ids=str)
def test_a_stand_in_answers_as_the_layer_did(options):
    layer = nn.Conv2d(8, 8, 3, **{"padding": 1} | options)
    layer.extra, layer.i = [1, (2, "x")], -1  # as detectors number their layers
    model = nn.Sequential(layer)
    (target,) = find_targets(model, torch.zeros(1, 8, 9, 9), names="0")
    new = replace_layers(model, [target], same_template)[0]
    assert {key: getattr(new, key) for key in ANSWERS} == {key: getattr(layer, key) for key in ANSWERS}
    assert new.weight.shape == layer.weight.shape
    assert (new.bias is None) == (layer.bias is None)
    assert new.bias is None or new.bias.shape == layer.bias.shape


def test_a_stand_in_of_a_linear_layer_answers():
    model = nn.Sequential(nn.Linear(6, 6))
    new = replace_layers(model, find_targets(model, torch.zeros(2, 6), names="0"), same_template)[0]
    assert (new.in_features, new.out_features, new.weight.shape) == (6, 6, (6, 6))


class Computes(nn.Module):
    """Runs a convolution, and computes with its weight besides."""

    def __init__(self, forward):
        super().__init__()
        self.stem, self.a, self.b = conv(3, 8), conv(8, 8), conv(8, 8)
        self.run = forward

    def forward(self, x):
        return self.run(self, self.b(self.a(self.stem(x))))


@pytest.mark.parametrize(
    "forward",
    [
        lambda net, x: F.conv2d(x, net.a.weight, padding=1),
        lambda net, x: x * net.a.weight.square().mean(),
        lambda net, x: x + F.normalize(net.a.weight, dim=1).sum(),
    ],
)
def test_a_weight_that_a_network_computes_with_is_an_error(forward):
    with pytest.raises(KasError, match="Computes computes with the weight of a, besides calling it; kernels have"):
        kas.replace(Computes(forward), KERNEL, example())


def test_a_network_that_asks_for_shapes_or_new_tensors_is_none():
    new = kas.replace(Computes(lambda net, x: x + net.a.weight.new_zeros(8, 1, 1) * net.a.weight.shape[0]), KERNEL, example())
    assert new(example()).isfinite().all()


def test_nan_of_another_origin_is_not_the_weights():
    kas.replace(Computes(lambda net, x: x * float("nan")), KERNEL, example())


def test_walks_by_type():
    model, x = CASES["walks by type"]()
    with pytest.raises(KasError, match=r"WalksByType would not call layers\.1, layers\.2 any more: its forward looks for"):
        kas.replace(model, KERNEL, x)
    targets = find_targets(model, x)
    with pytest.raises(KasError, match=r"would not call layers\.1, layers\.2 any more"):
        check_replaced(replace_layers(model, targets, same_template), targets, x)
    assert kas.replace(model, KERNEL, x, check=False)(x).shape == (2, 10)


class ByClassName(WalksByType):
    def forward(self, x):
        for layer in self.layers:
            x = layer(x) if type(layer).__name__ == "Conv2d" else x.repeat(1, 16 // x.shape[1], 1, 1)
        return self.head(x.mean((2, 3)))


class ByFunction(WalksByType):
    def forward(self, x):
        for layer in self.layers:
            x = layer(x) if isinstance(layer, nn.Conv2d) else F.conv2d(x, layer.weight, layer.bias, padding=1)
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("kind", [ByClassName, ByFunction])
def test_other_ways_not_to_call_a_layer(kind):
    with pytest.raises(KasError, match=r"would not call layers\.1, layers\.2 any more"):
        kas.replace(kind(), KERNEL, example())


def test_an_attribute_that_a_stand_in_lacks_is_named():
    model = Computes(lambda net, x: x * len(net.b.marker))
    model.b.marker = {"of": "a layer"}
    with pytest.raises(KasError, match=r"which have no `marker` \(it reads `b\.marker`\), Computes does not run"):
        kas.replace(model, KERNEL, example())


def test_in_place():
    model, x = CASES["in place"]()
    before = x.clone()
    targets = find_targets(model, x)
    new = kas.replace(model, KERNEL, x, budget={"macs": 0.5})
    fuse(new, x)
    assert torch.equal(x, before)
    assert [target.name for target in targets] == ["body.3", "body.6"]
    new(x).sum().backward()


class TakesMany(nn.Module):
    """Changes tensors deep in its arguments."""

    def __init__(self):
        super().__init__()
        self.body = plain()

    def forward(self, images, extras):
        extras["scales"][0].mul_(2)
        return self.body(images.add_(extras["scales"][0]))


def test_examples_of_many_tensors_stay_as_they_are():
    images, scale = example(), torch.ones(1)
    for given in ((images, {"scales": (scale,)}), {"images": images, "extras": {"scales": [scale]}}):
        before = images.clone()
        kas.replace(TakesMany(), KERNEL, given)
        assert torch.equal(images, before)
        assert torch.equal(scale, torch.ones(1))


def both(model, x, before=None):
    """The message of find_targets, which is that of replace with targets that were found `before` (in a like network)."""
    targets = find_targets(plain() if before is None else before, x)
    texts = []
    for call in (lambda: find_targets(model, x), lambda: kas.replace(model, KERNEL, x, targets=targets)):
        with pytest.raises(KasError) as error:
            call()
        texts.append(str(error.value))
    assert texts[1].endswith(texts[0])
    return texts[0]


def test_keeps_an_activation():
    text = both(*CASES["keeps an activation"](), KeepsActivation())
    assert text.startswith("KeepsActivation cannot be copied: its attribute `seen` holds a tensor")
    assert "set `seen` to None" in text
    model, x = CASES["keeps an activation"]()
    model.seen = None
    assert kas.replace(model, KERNEL, x)(x).shape == (2, 10)


class KeepsDeep(KeepsActivation):
    def forward(self, x):
        self.body[6].cache = {"last": [None, self.body[:6](x)]}
        return self.body[6:](self.body[6].cache["last"][1])


def test_activations_in_containers_and_other_things_that_cannot_be_copied():
    assert "`body.6.cache['last'][1]`" in both(*after_a_pass(KeepsDeep()), KeepsDeep())
    buffered = plain()
    buffered[4].register_buffer("scale", torch.ones(1, requires_grad=True) * 2)
    assert "`4.scale`" in both(buffered, example())
    locked = plain()
    locked[4].guard = threading.Lock()
    assert "because of its attribute `4.guard`: TypeError" in both(locked, example())
    with pytest.raises(KasError, match=r"because of its attribute `4\.guard`"):
        fuse(locked, example())


def test_pruned():
    text = both(*CASES["pruned"]())
    assert "the weight of module '3' is computed by pruning" in text
    assert "torch.nn.utils.prune.remove(model.get_submodule('3'), 'weight')" in text
    model, x = CASES["pruned"]()
    torch.nn.utils.prune.remove(model.get_submodule("3"), "weight")
    assert kas.replace(model, KERNEL, x)(x).shape == (2, 10)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
@pytest.mark.parametrize("name", ["weight_norm", "spectral_norm"])
def test_the_older_norms_of_weights(name):
    model = plain()
    getattr(torch.nn.utils, name)(model[3])
    text = both(*after_a_pass(model))
    call = f"torch.nn.utils.remove_{name}(model.get_submodule('3'), 'weight')"
    assert call in text
    getattr(torch.nn.utils, f"remove_{name}")(model[3])
    assert kas.replace(model, KERNEL, example())(example()).shape == (2, 10)


@pytest.mark.parametrize("norm", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_parametrized_layers_are_replaced_and_others_keep_theirs(norm):
    model = plain()
    for layer in (model[0], model[3]):
        norm(layer)
    targets = find_targets(*after_a_pass(model))
    assert [target.name for target in targets] == ["3", "6"]
    new = kas.replace(model, KERNEL, example(), targets=targets)
    assert not hasattr(new[3], "parametrizations")
    assert (new[3].weight.dtype, new[3].weight.shape) == (torch.float32, (32, 16, 3, 3))
    assert torch.equal(new.eval()[0](example()), model.eval()[0](example()))
    new(example()).sum().backward()


class Scaled(nn.Conv2d):
    """Holds a scale besides its weight."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.gain = nn.Parameter(torch.ones(1))


class Counts(nn.Conv2d):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.register_buffer("steps", torch.zeros(()))


class Activated(nn.Conv2d):
    """Holds an activation, as wrappers do."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.activation = nn.ReLU()


class Standardised(nn.Conv2d):
    """Computes with another weight than it holds."""

    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(x, weight - weight.mean(), bias)


class Own(nn.Conv2d):
    """A subclass that is a convolution and nothing else."""


MORE, FORWARD = "holds more than its weight and bias", "subclass with a forward of its own (only by name)"


@pytest.mark.parametrize(
    ("kind", "reason"), [(Scaled, MORE), (Counts, MORE), (Activated, MORE), (Standardised, FORWARD), (Own, None)]
)
def test_subclasses(kind, reason):
    model = nn.Sequential(conv(3, 8), kind(8, 8, 3, padding=1))
    found = survey(model, example())
    assert found.excluded.get("1") == reason
    if reason is not None:
        with pytest.raises(KasError) as error:
            find_targets(model, example())
        assert reason in str(error.value)
    assert ("1" in survey(model, example(), names="1").excluded) == (reason == MORE)


def test_a_forward_of_one_layer_alone():
    model = nn.Sequential(conv(3, 8), conv(8, 8))
    model[1].forward = MethodType(lambda self, x: nn.Conv2d.forward(self, x).relu(), model[1])
    assert survey(model, example()).excluded["1"] == FORWARD


def test_lazy():
    model, x, new = replaced("lazy")
    assert all(isinstance(model[i], nn.LazyConv2d) for i in (0, 2, 5))
    assert list(stand_ins(new)) == ["2", "5"]
    assert new.training
    assert new[3].num_batches_tracked == 1  # of the pass above; not of the example
    assert [target.name for target in find_targets(model, x)] == ["2", "5"]
    state = torch.get_rng_state()
    find_targets(model, x)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_network_that_is_lazy_in_part():
    model = nn.Sequential(plain(16), nn.LazyLinear(4))
    new = kas.replace(model, KERNEL, example())
    assert torch.equal(new[0][0].weight, model[0][0].weight)
    assert new(example()).shape == (2, 4)
    with pytest.raises(KasError, match="does not run on the example input"):
        find_targets(lazy(), torch.zeros(2, 3))


def test_half():
    model, x = CASES["half"]()
    text = both(model, x, plain())
    assert "Its weights are torch.bfloat16, the example is torch.float32: give it .to(torch.bfloat16)" in text
    x = x.bfloat16()
    new = kas.replace(model, KERNEL, x)
    assert {p.dtype for p in new.parameters()} == {torch.bfloat16}
    assert new[3].weight.dtype == torch.bfloat16
    new(x).sum().backward()


def test_dictionary():
    _, x, new = replaced("dictionary")
    assert new(x)["out"].shape == (2, 10)
    assert fuse(new.eval(), x)(x)["out"].shape == (2, 10)


def test_frozen(caplog):
    with caplog.at_level(logging.WARNING, logger="kas"):
        model, _, new = replaced("frozen")
    sentence = "no parameter of Sequential requires a gradient: nothing can be trained but the replaced layers, and they are"
    assert caplog.messages == [sentence]
    trained = {name for name, parameter in new.named_parameters() if parameter.requires_grad}
    assert trained
    assert all(name.split(".")[0] in ("3", "6") for name in trained)
    model[9].bias.requires_grad_(True)
    assert only_replaced_train(model) is None


def test_every_case_is_tested():
    tested = {name.removeprefix("test_").replace("_", " ") for name in globals() if name.startswith("test_")}
    assert set(CASES) - tested == {"cyclic"}  # in test_padding_modes.py
    assert tuple(InPlace()(example()).shape[:1]) + SHAPE[1:] == SHAPE
