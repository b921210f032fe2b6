"""The cheaper adapter where channels differ by a whole factor: copies (or splits) of a template, or a 1x1 projection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import log

import torch
from torch import Tensor, nn

from kas import zoo
from kas.evaluation.latency import compare
from kas.evaluation.locks import DeviceLock
from kas.evaluation.runtimes import Refusal, Runtime
from kas.evaluation.settings import CostSettings
from kas.language import Kernel, cost
from kas.lowering import build
from kas.replacement.adapters import adapt
from kas.replacement.blocks import axes_of_target
from kas.solvers.targets import Preference, Target

__all__ = ["MEASURED", "STAND_INS", "Judge", "cheaper_by_work", "choose_adapters", "faster"]

MEASURED = 6  # adapters that are timed, at most
STAND_INS = {2: "depthwise_separable", 1: "depthwise_separable1d", 0: "linear"}  # typical of kernels, and of one size
_PAIRS, _SECONDS = 5, 5.0  # of each comparison

Judge = Callable[[Target], Preference]


def choose_adapters(targets: Sequence[Target], judge: Judge) -> list[Target]:
    """The targets with the adapter that `judge` finds cheaper, where there is a choice.

    Targets with the same ratio of output to input channels get the same; the judge sees the one that costs most. Of many
    ratios it sees `MEASURED`, from the smallest to the largest, and the others follow the nearest of these.
    """
    heaviest: dict[float, Target] = {}
    for target in sorted(targets, key=lambda target: target.macs):
        if target.has_choice:
            heaviest[log(target.out_channels / target.in_channels)] = target
    if not heaviest:
        return list(targets)
    ratios = sorted(heaviest)
    last, seen = len(ratios) - 1, min(MEASURED, len(ratios))
    chosen = {ratios[round(i * last / max(seen - 1, 1))] for i in range(seen)}
    found = {ratio: judge(heaviest[ratio]) for ratio in sorted(chosen)}

    def preferred(target: Target) -> Preference:
        own = log(target.out_channels / target.in_channels)
        return found[min(found, key=lambda ratio: abs(ratio - own))]

    return [replace(target, prefer=preferred(target)) if target.has_choice else target for target in targets]


def cheaper_by_work(target: Target) -> Preference:
    """The adapter with less analytic work, macs + elementwise/2, around a typical kernel; copies in a tie."""

    def work(prefer: Preference) -> float:
        one = replace(target, prefer=prefer)
        around = one.adapter
        return around.templates * cost(_kernel(one), one.channels, one.size).work + around.macs + around.elementwise / 2

    return "copies" if work("copies") <= work("projection") else "projection"


def faster(
    model: nn.Module,
    batch: int,
    device: torch.device,
    settings: CostSettings,
    runtime: Runtime,
    lock: DeviceLock | None = None,
) -> Judge:
    """A judge that times both adapters of a target of `model`, around a typical kernel, in a runtime; copies in a tie.

    batch: samples in a pass. lock: held alone while passes are timed. An adapter that the runtime does not take is not
    chosen. The judge raises KasError if the runtime is missing, OutOfMemory.
    """
    repeats, time_limit_s = min(settings.repeats, _PAIRS), min(settings.time_limit_s, _SECONDS)
    quick = replace(settings, max_ratio=float("inf"), repeats=repeats, time_limit_s=time_limit_s)

    def judge(target: Target) -> Preference:
        module, example = model.get_submodule(target.name), _example(model, target, batch).to(device)
        copies = _adapted(replace(target, prefer="copies"), module).to(device)
        projection = _adapted(replace(target, prefer="projection"), module).to(device)
        try:
            paired = compare(copies, projection, example, quick, lock=lock, runtime=runtime)
        except Refusal:
            return "copies"
        return "projection" if paired.ratio_high < 1 else "copies"

    return judge


def _adapted(target: Target, module: nn.Module) -> nn.Module:
    """What would stand in a module's place with a typical kernel."""
    return adapt(target, module, lambda one: build(_kernel(one), channels=one.channels, size=one.size)).eval()


def _kernel(target: Target) -> Kernel:
    return zoo.get(STAND_INS[target.rank])


def _example(model: nn.Module, target: Target, batch: int) -> Tensor:
    """An input of a target, of the least size that gives its output size."""
    axes = axes_of_target(target, model.get_submodule(target.name))
    pairs = zip(axes, target.size, strict=True)
    size = [(n - 1) * axis.stride + 1 + axis.extent - axis.left - axis.right for axis, n in pairs]
    if target.tokens:
        return torch.randn(batch, *size, target.in_channels)
    return torch.randn(batch, target.in_channels, *size)
