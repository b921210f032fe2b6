"""A replaced network is used as any other: compiled, saved, sent to processes, traced, exported, trained in parallel."""

import copy
import multiprocessing
import pickle
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from deployed_processes import gradients, outputs
from replacement_networks import ResidualImages
from torch import fx, nn

from kas import zoo
from kas.replacement import find_targets, fuse, replace
from kas.solvers import solve

# Loops over taps, attention, a shuffle of groups, parts of a product, weights over positions, an image turned in memory.
KERNELS = ["depthwise_separable", "involution", "self_attention", "multi_head_attention", "shufflenet_unit", "gmlp"]
LOWERINGS = ["optimized", "plain"]
IMAGE, OTHER = (2, 3, 16, 16), (3, 3, 24, 20)
PROCESS = multiprocessing.get_context("spawn")
SECONDS = 300


@cache
def replaced(name="involution", lowering="optimized"):
    """A residual network in eval mode with a kernel in its inner convolutions: plain, with copies and a stride, with a bias."""
    torch.manual_seed(0)
    kernel, x = zoo.get(name), torch.randn(IMAGE)
    targets = find_targets(ResidualImages(), x)
    assert [target.adapter.kind for target in targets] == ["same", "copies", "same"]
    sizes = solve(kernel, targets, {"macs": 2.0})
    return replace(ResidualImages(), kernel, x, targets, sizes=sizes, lowering=lowering).eval()


def images(shape=IMAGE):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def other(name):
    """Images of another size and batch; of another batch for a kernel that is tied to a size."""
    return images((3, *IMAGE[1:]) if zoo.get(name).fixed_size else OTHER)


def same(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.fixture(autouse=True)
def no_graphs_of_others():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("name", KERNELS)
def test_traced_by_fx(name, lowering):
    network = replaced(name, lowering)
    traced = fx.symbolic_trace(network)
    for x in (images(), other(name)):
        assert torch.equal(traced(x), network(x))
    assert torch.equal(pickle.loads(pickle.dumps(traced))(images()), network(images()))
    with pytest.raises(RuntimeError):
        traced(images((2, 4, 16, 16)))


@pytest.mark.parametrize("name", KERNELS)
def test_features_by_torchvision(name):
    from torchvision.models.feature_extraction import create_feature_extractor

    network, seen = copy.deepcopy(replaced(name)), []
    network.block.register_forward_hook(lambda module, ins, out: seen.append(out))
    extractor = create_feature_extractor(network, {"block": "features", "head": "logits"})
    found = extractor(other(name))
    same(found["logits"], network(other(name)))
    same(found["features"], seen[-1])


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("name", KERNELS)
def test_copied_and_pickled(name, lowering):
    network = replaced(name, lowering)
    data = pickle.dumps(network)
    assert b"def forward" not in data
    for again in (copy.deepcopy(network), pickle.loads(data)):
        assert torch.equal(again(images()), network(images()))
        assert not set(map(id, again.parameters())) & set(map(id, network.parameters()))
        assert not again.training


@pytest.mark.parametrize("name", ["depthwise_separable", "multi_head_attention", "gmlp"])
def test_the_inference_form_is_a_network_as_well(name):
    fused = fuse(replaced(name), images())
    assert fused.fused
    assert torch.equal(pickle.loads(pickle.dumps(fused))(images()), fused(images()))
    same(fx.symbolic_trace(fused)(other(name)), fused(other(name)))


def test_saved_for_a_process_that_has_not_built_it(tmp_path):
    made = {name: (network := replaced(name), images(), network(images())) for name in KERNELS}
    made["fused"] = (network := fuse(replaced(), images()), images(), network(images()))
    torch.save(made, tmp_path / "networks.pt")
    code = (
        "import sys, torch\n"
        "for name, (network, x, y) in torch.load(sys.argv[1], weights_only=False).items():\n"
        "    torch.testing.assert_close(network(x), y)\n"
        "    print(name)\n"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path / "networks.pt")]
    beside = Path(__file__).parent  # where the network's own class is
    done = subprocess.run(command, cwd=beside, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert (done.stdout.split(), done.stderr) == (list(made), "")


def test_sent_to_a_spawned_process():
    network, results = replaced(), PROCESS.Queue()
    process = PROCESS.Process(target=outputs, args=(network, images(), results))
    process.start()
    found = results.get(timeout=SECONDS)
    process.join(SECONDS)
    assert process.exitcode == 0
    np.testing.assert_allclose(found, network(images()).detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["involution", "multi_head_attention", "gmlp"])
def test_compiled_as_one_graph(name):
    network = copy.deepcopy(replaced(name))
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    for x in (images(), other(name)):
        same(compiled(x), network(x))
    compiled.train()(images()).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


# Loading the compiler's default backend warns of torch's own use of its script compiler.
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_compiled_by_inductor():
    network = replaced("depthwise_separable")
    with torch.no_grad():
        same(torch.compile(network, fullgraph=True)(images()), network(images()))


@pytest.mark.parametrize("name", ["involution", "self_attention", "shufflenet_unit"])
def test_exported_with_any_batch(name):
    network = replaced(name)
    exported = torch.export.export(network, (images(),), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    more = images((5, *IMAGE[1:]))
    same(exported.module()(more), network(more))


# What torch says of its own tracer.
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("name", ["involution", "shufflenet_unit", "gmlp"])
def test_traced_by_jit(name):
    network = replaced(name)
    traced = torch.jit.trace(network, images())
    more = images((5, *IMAGE[1:]))
    same(traced(more), network(more))


def test_called_through_data_parallel():
    network = replaced()
    parallel = nn.DataParallel(network)
    same(parallel(images()), network(images()))
    nn.DataParallel(copy.deepcopy(network)).load_state_dict(parallel.state_dict())


def test_two_processes_share_a_batch(tmp_path):
    """The gradients are equal in both processes, and those of the whole batch in one."""
    network, x, results = copy.deepcopy(replaced()), images((4, *IMAGE[1:])), PROCESS.Queue()
    arguments = (2, tmp_path / "store", network, x, results)
    processes = [PROCESS.Process(target=gradients, args=(rank, *arguments)) for rank in range(2)]
    for process in processes:
        process.start()
    found = dict(results.get(timeout=SECONDS) for _ in processes)
    for process in processes:
        process.join(SECONDS)
    assert [process.exitcode for process in processes] == [0, 0]
    network(x).square().mean().backward()
    for name, parameter in network.named_parameters():
        np.testing.assert_array_equal(found[0][name], found[1][name])
        np.testing.assert_allclose(found[0][name], parameter.grad.numpy(), rtol=1e-3, atol=1e-6)
