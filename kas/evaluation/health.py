"""Is a network with a new kernel worth training? Judged from one batch, relative to the original network."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from kas.evaluation.batches import Batch
from kas.evaluation.failures import memory_errors
from kas.evaluation.inputs import call, fitted
from kas.evaluation.outputs import output_of
from kas.evaluation.settings import HealthSettings
from kas.evaluation.tasks import OwnModule, Task
from kas.replacement.copying import cloned

__all__ = ["HealthReport", "check", "loss_of"]


@dataclass(frozen=True)
class HealthReport:
    """The verdict, its reason ("" if healthy), and what was measured (by name, see `check`)."""

    ok: bool
    reason: str
    numbers: dict[str, float]


@dataclass
class _Probe:
    """What one forward and backward pass of a network showed; all in its initial state."""

    finite_forward: bool = True
    finite_backward: bool = True
    logits_scale: float = 0.0
    logits_dependence: float = 0.0
    scale: dict[str, float] = field(default_factory=dict)  # by target: root mean square of the output
    dependence: dict[str, float] = field(default_factory=dict)  # by target: how much of that varies over the samples
    gradients: dict[str, float] = field(default_factory=dict)  # by weight: root mean square of the gradient

    gradient_norm: float = 0.0


def check(
    candidate: nn.Module,
    original: nn.Module,
    batch: Batch,
    settings: HealthSettings,
    task: Task,
    *,
    targets: Iterable[str] = (),
) -> HealthReport:
    """Compare `candidate` with `original`, both untrained, on a batch of a task, by its loss; neither is changed.

    `targets` are the names of the modules that were replaced, the same in both networks. Numbers of the report, all
    relative to the original: `gradient_norm` (whole network), `min_gradient` (smallest weight against the median
    weight), `dependence` and `scale` (the worst target), `logits_scale`, `logits_dependence`. Weights with fewer than
    two axes are left out of `min_gradient`: a bias or scale before a normalisation has no gradient and does no harm.
    Raises OutOfMemory.
    """
    names = list(targets)
    with memory_errors("checking health"):
        ours = _probe(candidate, batch, task, names)
        if not ours.finite_forward:
            return HealthReport(False, "the output is not finite", {})
        if not ours.finite_backward:
            return HealthReport(False, "a gradient is not finite", {})
        theirs = _probe(original, batch, task, names)
    numbers = _compare(ours, theirs, names)
    for failed, reason in _rules(settings):
        if failed(numbers):
            return HealthReport(False, reason(numbers), numbers)
    return HealthReport(True, "", numbers)


_Rule = tuple[Callable[[dict[str, float]], bool], Callable[[dict[str, float]], str]]


def _rules(settings: HealthSettings) -> list[_Rule]:
    """What is unhealthy, the worst first, with the words for it."""
    dependence, scale = settings.min_dependence, settings.max_scale
    return [
        (
            lambda n: min(n["dependence"], n["logits_dependence"]) < dependence,
            lambda n: (
                "the output hardly depends on the input: it varies over samples "
                f"{min(n['dependence'], n['logits_dependence']):.2g} times as much as the original's, under {dependence:g}"
            ),
        ),
        (
            lambda n: not all(1 / scale <= n[key] <= scale for key in ("scale", "logits_scale")),
            lambda n: (
                f"the scale is insane: {n['scale']:.2g} times the original's at a replaced layer, "
                f"{n['logits_scale']:.2g} at the output; between {1 / scale:g} and {scale:g} is sane"
            ),
        ),
        (
            lambda n: n["gradient_norm"] > settings.max_gradient_ratio,
            lambda n: (
                f"the gradient's norm at the start is {n['gradient_norm']:.3g} times the original's, "
                f"over {settings.max_gradient_ratio:g}"
            ),
        ),
        (
            lambda n: n["min_gradient"] < settings.min_gradient,
            lambda n: (
                f"a weight's gradient vanishes: {n['min_gradient']:.2g} of the median weight's, relative to the "
                f"original, under {settings.min_gradient:g}"
            ),
        ),
    ]


def _compare(ours: _Probe, theirs: _Probe, names: list[str]) -> dict[str, float]:
    """The numbers of a report."""
    scales = [_ratio(ours.scale[name], theirs.scale[name]) for name in names]
    return {
        "gradient_norm": _ratio(ours.gradient_norm, theirs.gradient_norm),
        "min_gradient": _ratio(_smallest(ours.gradients), min(1.0, _smallest(theirs.gradients))),
        "dependence": min((_ratio(ours.dependence[n], theirs.dependence[n]) for n in names), default=1.0),
        "scale": max(scales, key=lambda s: abs(math.log(max(s, 1e-30))), default=1.0),
        "logits_scale": _ratio(ours.logits_scale, theirs.logits_scale),
        "logits_dependence": _ratio(ours.logits_dependence, theirs.logits_dependence),
    }


def _ratio(ours: float, theirs: float) -> float:
    """Ours over theirs; 1 where the original itself has nothing (a weight that starts at zero, say)."""
    return ours / theirs if theirs > 0 else 1.0


def _smallest(gradients: dict[str, float]) -> float:
    """The smallest gradient over the median one."""
    values = sorted(gradients.values())
    return _ratio(values[0], values[len(values) // 2]) if values else 1.0


def _probe(network: nn.Module, batch: Batch, task: Task, names: list[str]) -> _Probe:
    """One forward and backward pass of a copy in training mode, in the same random state for every network."""
    probe = _Probe()
    device = batch.targets.device
    copied = copy.deepcopy(network).to(device).train()
    modules = dict(copied.named_modules())
    hooks = [modules[name].register_forward_hook(_recorder(probe, name)) for name in names]
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.enable_grad():
        torch.manual_seed(0)
        logits = task.output(call(copied, fitted(cloned(batch.inputs), copied)))  # a network may change its input
        loss = loss_of(copied, task, batch, logits)
        probe.finite_forward = bool(logits.isfinite().all()) and bool(loss.isfinite())
        if probe.finite_forward and loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
    for hook in hooks:
        hook.remove()
    probe.logits_scale, probe.logits_dependence = _spread(logits)
    _gradients(copied, probe)
    return probe


def loss_of(network: nn.Module, task: Task, batch: Batch, output: Tensor) -> Tensor:
    """The loss of a batch in a task: of an output, or, of a LightningModule that trains itself, of its own step."""
    if not isinstance(task, OwnModule):
        loss: Tensor = task.loss().to(output.device)(output, task.for_loss(batch.targets, output))
        return loss
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that nothing is logged without a trainer
        step: Any = network.training_step(cloned(batch.raw), 0)  # type: ignore[operator]
    return step["loss"] if isinstance(step, dict) else step  # type: ignore[no-any-return]


def _recorder(probe: _Probe, name: str) -> Callable[..., None]:
    def record(module: nn.Module, inputs: Any, output: Any) -> None:
        probe.scale[name], probe.dependence[name] = _spread(output_of(output))

    return record


def _spread(output: Tensor) -> tuple[float, float]:
    """Root mean square of [N, ...], and the root mean variance over the samples relative to it."""
    values = output.detach().double().reshape(len(output), -1)
    scale = float(values.square().mean().sqrt())
    return scale, _ratio(float(values.var(0, unbiased=False).mean().sqrt()), scale) if scale > 0 else 0.0


def _gradients(network: nn.Module, probe: _Probe) -> None:
    total = 0.0
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        gradient = parameter.grad
        square = float(gradient.double().square().sum()) if gradient is not None else 0.0
        if not math.isfinite(square):
            probe.finite_backward = False
        total += square
        if sum(size > 1 for size in parameter.shape) > 1:
            probe.gradients[name] = math.sqrt(square / parameter.numel())
    probe.gradient_norm = math.sqrt(total) if math.isfinite(total) else math.inf
