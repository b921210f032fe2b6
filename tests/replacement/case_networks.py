"""Networks of thirteen kinds that break tools which swap layers; `CASES`: name → a function that makes (network, example).

What must become of each is in test_cases.py, and for those that a study trains in tests/study/test_cases_in_studies.py.
"""

import torch
from torch import nn
from torch.nn.utils import prune

SHAPE = (2, 3, 32, 32)


def conv(c_in, c_out, **options):
    return nn.Conv2d(c_in, c_out, 3, padding=1, **options)


def plain(classes=10):
    """`[N, 3, H, W]` → `[N, classes]`: three convolutions, of which 3 and 6 are targets."""
    return nn.Sequential(
        conv(3, 16), nn.BatchNorm2d(16), nn.ReLU(), conv(16, 32), nn.BatchNorm2d(32), nn.ReLU(), conv(32, 32, stride=2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, classes),
    )  # fmt: skip


class AsksForDtype(nn.Module):
    """Mixed precision by hand: an activation takes the type and the device of the weights that come next."""

    def __init__(self):
        super().__init__()
        self.stem, self.body, self.head = conv(3, 16), conv(16, 32), nn.Linear(32, 10)

    def forward(self, x):
        weight = self.body.weight
        x = self.stem(x).to(weight.dtype).to(weight.device).type_as(weight)
        return self.head(self.body(x).mean((2, 3)))


class WalksByType(nn.Module):
    """Calls the convolutions in a list, and nothing else there."""

    def __init__(self):
        super().__init__()
        self.layers, self.head = nn.ModuleList([conv(3, 16), conv(16, 16), conv(16, 16)]), nn.Linear(16, 10)

    def forward(self, x):
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                x = layer(x).relu()
        return self.head(x.mean((2, 3)))


class InPlace(nn.Module):
    """Normalises the tensor that it is given."""

    def __init__(self, classes=10):
        super().__init__()
        self.body = plain(classes)

    def forward(self, x):
        return self.body(x.sub_(0.5))


class KeepsActivation(nn.Module):
    """Remembers a tensor of its last pass."""

    def __init__(self):
        super().__init__()
        self.body, self.seen = plain(), None

    def forward(self, x):
        self.seen = self.body[:6](x)
        return self.body[6:](self.seen)


class Dictionary(nn.Module):
    """Returns its logits under a key."""

    def __init__(self, key="out", classes=10):
        super().__init__()
        self.body, self.key = plain(classes), key

    def forward(self, x):
        return {self.key: self.body(x)}


def example():
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))


def after_a_pass(model):
    model(example()).sum().backward()
    return model, example()


def pruned():
    model = plain()
    prune.l1_unstructured(model[3], "weight", 0.5)
    return after_a_pass(model)


def lazy(classes=10):
    return nn.Sequential(
        nn.LazyConv2d(16, 3, padding=1), nn.ReLU(), nn.LazyConv2d(32, 3, padding=1), nn.LazyBatchNorm2d(), nn.ReLU(),
        nn.LazyConv2d(32, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(classes),
    )  # fmt: skip


def cyclic():
    return nn.Sequential(conv(3, 8, padding_mode="circular"), conv(8, 8, padding_mode="circular")).eval()


CASES = {
    "compiled": lambda: (plain(), example()),
    "saved": lambda: (plain(), example()),
    "traced by fx": lambda: (plain(), example()),
    "reads dtype": lambda: (AsksForDtype(), example()),
    "walks by type": lambda: (WalksByType(), example()),
    "in place": lambda: (InPlace(), example()),
    "keeps an activation": lambda: after_a_pass(KeepsActivation()),
    "pruned": pruned,
    "lazy": lambda: (lazy(), example()),
    "cyclic": lambda: (cyclic(), example()),
    "dictionary": lambda: (Dictionary(), example()),
    "half": lambda: (plain().bfloat16(), example()),
    "frozen": lambda: (plain().requires_grad_(False), example()),
}
