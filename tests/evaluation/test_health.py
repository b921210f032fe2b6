"""Health: each way to be unhealthy, and that healthy changes stay healthy."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kas.evaluation import OutOfMemory, check, make_model
from kas.evaluation.batches import Batch
from kas.evaluation.settings import HealthSettings, ModelSettings, TrainingSettings
from kas.evaluation.tasks import TASKS

TASK = TASKS["classification"](TrainingSettings(), 10)
TARGETS = ["stages.0.0.conv2", "stages.1.0.conv2"]


@pytest.fixture(scope="module")
def original() -> nn.Module:
    torch.manual_seed(0)
    return make_model(ModelSettings(args={"width": 8, "stages": 2}), 10, (1, 12, 12))


@pytest.fixture(scope="module")
def batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    return Batch(torch.randn(32, 1, 12, 12, generator=generator), torch.arange(32) % 10)


class Wrapped(nn.Module):
    """A convolution with something after it."""

    def __init__(self, conv: nn.Module, after: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.after = conv, after

    def forward(self, inputs: Tensor) -> Tensor:
        return self.after(self.conv(inputs))


class Explode(torch.autograd.Function):
    """The identity, with a gradient `factor` times too large."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return inputs.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0] * ctx.factor, None


def replaced(original: nn.Module, after: Callable[[Tensor], Tensor]) -> nn.Module:
    model: Any = copy.deepcopy(original)
    model.stages[1][0].conv2 = Wrapped(model.stages[1][0].conv2, after)
    return model  # type: ignore[no-any-return]


def test_the_original_and_a_grouped_version_are_healthy(original: nn.Module, batch: Batch) -> None:
    before = copy.deepcopy(original.state_dict())
    report = check(original, original, batch, HealthSettings(), TASK, targets=TARGETS)
    assert report.ok
    assert report.reason == ""
    assert all(value == pytest.approx(1) for key, value in report.numbers.items() if key != "min_gradient")
    grouped: Any = copy.deepcopy(original)
    grouped.stages[1][0].conv2 = nn.Conv2d(16, 16, 3, padding=1, groups=4, bias=True)
    assert check(grouped, original, batch, HealthSettings(), TASK, targets=TARGETS).ok
    assert all(torch.equal(value, before[key]) for key, value in original.state_dict().items())
    assert all(parameter.grad is None for parameter in original.parameters())


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (lambda x: x / 0, "the output is not finite"),
        (lambda x: Explode.apply(x, float("inf")), "a gradient is not finite"),
        (lambda x: Explode.apply(x, 300.0), "the gradient's norm at the start is"),
        (lambda x: Explode.apply(x, 1e-9), "a weight's gradient vanishes"),
        (lambda x: x * 0, "the output hardly depends on the input"),
        (lambda x: x * 1e-6 + 1, "the output hardly depends on the input"),
        (lambda x: x * 1e5, "the scale is insane: 1e+05 times the original's"),
        (lambda x: x * 1e-5, "the scale is insane: 1e-05 times the original's"),
    ],
)
def test_unhealthy(original: nn.Module, batch: Batch, after: Any, reason: str) -> None:
    report = check(replaced(original, after), original, batch, HealthSettings(), TASK, targets=TARGETS)
    assert not report.ok
    assert report.reason.startswith(reason)


def test_limits_are_settings(original: nn.Module, batch: Batch) -> None:
    model = replaced(original, lambda x: x * 1e5)
    assert check(model, original, batch, HealthSettings(max_scale=1e6, min_gradient=0), TASK, targets=TARGETS).ok


def test_an_original_with_dead_weights_does_not_condemn(original: nn.Module, batch: Batch) -> None:
    dead: Any = copy.deepcopy(original)
    nn.init.zeros_(dead.stages[0][0].bn2.weight)  # a common initialisation: the convolutions before it have no gradient
    grouped: Any = copy.deepcopy(dead)
    grouped.stages[1][0].conv2 = nn.Conv2d(16, 16, 3, padding=1, groups=4, bias=False)
    assert check(grouped, dead, batch, HealthSettings(), TASK, targets=TARGETS).ok


def test_out_of_memory_is_typed(original: nn.Module, batch: Batch) -> None:
    with pytest.raises(OutOfMemory, match="out of memory while checking health"):
        check(replaced(original, lambda x: torch.empty(2**56)), original, batch, HealthSettings(), TASK)
