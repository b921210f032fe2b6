"""Replacement in torchvision's networks: interface, other weights, cost; and torchvision itself importable."""

import subprocess
import sys

import pytest
import torch
from replacement_networks import same_template
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from kas.language.errors import KasError
from kas.replacement import find_targets, replace_layers

NETWORKS = {
    "resnet18": (16, {}),
    "resnet34": (32, {}),
    "vgg16_bn": (12, {}),
    "densenet121": (58, {}),
    "resnext50_32x4d": (16, {}),
    "mobilenet_v2": (34, {"names": ["features.*.conv.?", "features.*.conv.0.0"], "types": "Conv2d"}),
    "efficientnet_b0": (15, {"names": "features.?.?.block.1.0"}),
}


def network(name):
    model = getattr(models, name)(weights=None, num_classes=10)
    if name == "vgg16_bn":  # its classifier alone is 120 M parameters
        model.avgpool, model.classifier = nn.AdaptiveAvgPool2d(1), nn.Linear(512, 10)
    return model


@pytest.mark.parametrize("name", NETWORKS)
def test_replacement(name):
    model, (count, options) = network(name), NETWORKS[name]
    x = torch.randn(2, 3, 65, 65)
    targets = find_targets(model, x, **options)
    assert len(targets) == count
    before = {key: value.clone() for key, value in model.state_dict().items()}
    new = replace_layers(model, targets, same_template)
    for size in (64, 65):
        sample = torch.randn(2, 3, size, size)
        assert new(sample).shape == (2, 10)
    loss = new(x).square().mean()
    loss.backward()
    replaced = tuple(target.name + "." for target in targets)
    fresh = [p for key, p in new.named_parameters() if key.startswith(replaced)]
    assert fresh
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in fresh)
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    rest = replace_layers(model, targets, same_template).state_dict()
    others = [key for key in before if not key.startswith(replaced)]
    assert others == [key for key in rest if not key.startswith(replaced)]
    assert all(torch.equal(rest[key], before[key]) for key in others)


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_work_of_the_whole_network(name):
    """Replaced MACs out, templates and adapters in: the difference that FlopCounterMode sees."""
    model, x = network(name).eval(), torch.randn(1, 3, 65, 65)
    targets = find_targets(model, x)
    new = replace_layers(model, targets, same_template)

    def macs(net):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(x)
        return counter.get_total_flops() // 2

    added = sum(t.adapter.templates * 9 * t.channels**2 * t.positions + t.adapter.macs for t in targets)
    assert macs(new) == macs(model) - sum(t.macs for t in targets) + added
    parameters = sum(p.numel() for p in new.parameters()) - sum(p.numel() for p in model.parameters())
    gone = sum(t.params + t.bias * t.out_channels for t in targets)
    assert parameters == sum(t.adapter.templates * 9 * t.channels**2 + t.adapter.params for t in targets) - gone


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("mobilenet_v2", ["kernel size under 2: 34", "depthwise (C_in/groups = 1): 17", "input): 1", "type): 1"]),
        ("efficientnet_b0", ["kernel size under 2: 64", "depthwise (C_in/groups = 1): 16", "input): 1", "type): 1"]),
    ],
)
def test_nothing_qualifies(name, counts):
    with pytest.raises(KasError, match="Choose layers by name") as error:
        find_targets(network(name), torch.zeros(1, 3, 64, 64))
    assert all(text in str(error.value) for text in counts)


def test_layers_of_every_size_keep_their_outputs():
    """Each replaced layer, not only the network's end, gives what the original gave."""
    model = network("resnet18").eval()
    targets = find_targets(model, torch.zeros(1, 3, 64, 64))
    new = replace_layers(model, targets, same_template)
    for size in (64, 65, 71):
        shapes = []
        for net in (model, new):
            hooks = [
                net.get_submodule(t.name).register_forward_hook(lambda m, args, y, s=shapes: s.append(tuple(y.shape)))
                for t in targets
            ]
            with torch.no_grad():
                net(torch.zeros(1, 3, size, size))
            for hook in hooks:
                hook.remove()
        assert shapes[: len(targets)] == shapes[len(targets) :]


def test_torchvision_and_lightning_import_after_kas():
    code = (
        "import kas.replacement, torchvision, torchmetrics, pytorch_lightning, torch\n"
        "from kas.replacement import _torchvision\n"
        "needed = _torchvision.ensure_importable()\n"
        "assert needed != torchvision.extension._has_ops()\n"
        "assert hasattr(torch.ops.torchvision, 'nms')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
