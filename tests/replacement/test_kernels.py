"""`replace` with real kernels and sizes that are given."""

from types import SimpleNamespace

import pytest
import torch
from kernel_sizes import fitting
from replacement_networks import Residual, mlp
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from kas import Infeasible, Kernel, cost, solve, zoo
from kas.language.errors import KasError
from kas.replacement import Placeholder, find_targets, replace


class Net(nn.Module):
    """Every kind of adapter: copies with a stride, splits, a projection with a bias, and a plain layer."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.copies = nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False)
        self.plain = nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.splits = nn.Conv2d(16, 8, 5, padding=2, bias=False)
        self.projection = Placeholder(8, 12)
        self.head = nn.Linear(12, 4)

    def forward(self, x):
        x = self.splits(torch.relu(self.plain(self.copies(self.stem(x)))))
        return self.head(self.projection(x).mean((2, 3)))


NAMES = ["copies", "plain", "splits", "projection"]
FIXED = {
    "format": "kas.kernel/1",
    "rank": 2,
    "steps": [{"op": "scale", "ins": [0], "axes": ["1.h"]}, {"op": "fc", "ins": [1], "to": "C"}],
}


def sizes_of(kernel, targets):
    """Every free variable 2, two groups."""
    return SimpleNamespace(groups=2 if kernel.uses_groups else 1, values={
        target.name: dict.fromkeys(map(str, kernel.variables), 2) for target in targets
    })  # fmt: skip


def sizes_for(kernel):
    """Two sizes of images; the layers see half of them, rounded up."""
    if fitting(kernel, (9, 9)) != (9, 9):
        return [(56, 56), (112, 56)]
    return [(17, 17)] if kernel.fixed_size else [(17, 17), (16, 21)]


def of_rank(rank):
    return [name for name in zoo.names() if zoo.get(name).rank == rank]


def total(kernel, targets, sizes, quantity):
    """Parameters or MACs of all that stands in place of the targets."""
    result = 0
    for target in targets:
        one = cost(kernel, target.channels, target.size, sizes.groups, sizes.values[target.name])
        result += target.adapter.templates * getattr(one, quantity) + getattr(target.adapter, quantity)
    return result


def macs(model, x):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(x)
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("name", of_rank(2))
def test_images(name):
    model, kernel = Net(), zoo.get(name)
    x = torch.randn(1, 3, *sizes_for(kernel)[0])
    targets = find_targets(model, x, names=NAMES)
    sizes = sizes_of(kernel, targets)
    new = replace(model, kernel, x, targets, sizes=sizes, lowering="plain")
    for size in sizes_for(kernel):
        new(torch.randn(2, 3, *size)).square().sum().backward()
    kept = sum(p.numel() for part in (model.stem, model.head) for p in part.parameters())
    assert sum(p.numel() for p in new.parameters()) == kept + total(kernel, targets, sizes, "params")
    before = macs(model, x) - sum(target.macs for target in targets)
    assert macs(new, x) == before + total(kernel, targets, sizes, "macs")


@pytest.mark.parametrize("name", of_rank(1))
def test_sequences(name):
    kernel, x = zoo.get(name), torch.randn(2, 2, 31)
    sizes = sizes_of(kernel, find_targets(Residual(), x))
    new = replace(Residual(), kernel, x, sizes=sizes, lowering="plain")
    for n in (31, 32):
        assert new(torch.randn(2, 2, n)).shape == (2, 4)


@pytest.mark.parametrize("name", of_rank(0))
def test_linear_layers_are_the_targets_of_rank_0(name):
    kernel, x = zoo.get(name), torch.randn(2, 12)
    sizes = sizes_of(kernel, find_targets(mlp(), x, rank=0))
    new = replace(mlp(), kernel, x, sizes=sizes, lowering="plain")
    assert new(x).shape == (2, 10)
    assert not any(isinstance(new[i], nn.Linear) for i in (0, 2, 5))


def test_only_a_fixed_size_kernel_is_tied_to_a_size():
    model, kernel, x = Net(), Kernel.from_json(FIXED), torch.randn(1, 3, 17, 17)
    assert kernel.fixed_size
    targets = find_targets(model, x, names=NAMES)
    new = replace(model, kernel, x, targets, sizes=sizes_of(kernel, targets), lowering="plain")
    assert new(x).shape == (1, 4)
    with pytest.raises(ValueError, match="built for the size"):
        new(torch.randn(1, 3, 21, 21))


def test_sizes_must_cover_the_targets():
    kernel, x = zoo.get("conv3x3"), torch.randn(1, 3, 17, 17)
    targets = find_targets(Net(), x, names=NAMES)
    with pytest.raises(KasError, match=r"no values for \['projection'\]; they hold \['copies', 'plain', 'splits'\]"):
        replace(Net(), kernel, x, targets, sizes=sizes_of(kernel, targets[:3]))
    with pytest.raises(KasError, match="target 'copies' has rank 2, the kernel rank 1"):
        replace(Net(), zoo.get("conv1d3"), x, targets)


@pytest.mark.parametrize("name", ["bottleneck", "depthwise_separable", "grouped3x3"])
def test_a_budget_is_kept_by_the_network(name):
    """The work and the parameters that torch counts are those that the solver promised, and within the limits."""
    model, kernel = Net(), zoo.get(name)
    x = torch.randn(1, 3, *sizes_for(kernel)[0])
    targets = find_targets(model, x, names=NAMES)
    budget = {"macs": 0.6, "params": 0.6}
    sizes = solve(kernel, targets, budget)
    new = replace(model, kernel, x, targets, budget=budget, lowering="plain")
    replaced = sum(target.macs for target in targets)
    assert macs(new, x) == macs(model, x) - replaced + sizes.macs
    assert sizes.macs <= 0.6 * replaced
    kept = sum(p.numel() for part in (model.stem, model.head) for p in part.parameters())
    assert sum(p.numel() for p in new.parameters()) - kept == sizes.params
    assert sizes.params <= 0.6 * sum(target.params for target in targets)


def test_an_infeasible_budget_is_refused():
    x = torch.randn(1, 3, 17, 17)
    with pytest.raises(Infeasible):
        replace(Net(), zoo.get("conv3x3"), x, find_targets(Net(), x, names=NAMES), budget={"macs": 0.1})
