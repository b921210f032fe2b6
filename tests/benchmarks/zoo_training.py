"""Every known kernel of rank 2 in a small ResNet: is it healthy, and does it train for one epoch on `digits`?

    python tests/benchmarks/zoo_training.py [NAME ...] [--samples N] [--batch-size 32] [--width 16] [--budget 0.5] [--epochs 1]

The kernel stands in place of all 3x3 convolutions but the stem, at sizes within the budget (a ratio of the replaced MACs and
parameters); where it has none there with inner widths of 4 or more, at the smallest budget of 1, 2, 4, 8 ... that it has such
sizes for (a normalisation over one or two channels has no gradient to speak of, or far too much). Images have 16 pixels; for
a kernel that does not fit the layers of such images, as windows of 7 do not, 28 pixels. Prints the pixels, the budget, MACs and
parameters relative to what is replaced, the health check's verdict, the mean cross-entropy over the validation images before
and after training (with the statistics of the batch), and accuracy and seconds of the epoch (one thread). Exit code 1 if one
is unhealthy, or its loss does not fall.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

import kas
from kas.evaluation import check, make_data, make_model, train
from kas.evaluation.batches import Batch
from kas.evaluation.settings import DataSettings, HealthSettings, ModelSettings, TrainingSettings
from kas.evaluation.tasks import TASKS
from kas.language.kernel import Kernel
from kas.solvers.targets import Target

NARROWEST = 4  # inner width
SIZES = (16, 28)  # of the images, in pixels


class Case(NamedTuple):
    """Images of one size, the network for them and its layers."""

    size: int
    data: Any
    original: nn.Module
    targets: list[Target]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=kas.zoo.names(2))
    parser.add_argument("--samples", type=int, help="training images, balanced over the classes (default: all)")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--width", type=int, default=16, help="channels of the first stage")
    parser.add_argument("--budget", type=float, default=0.5)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--lr", type=float, default=TrainingSettings().lr)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cases = [make_case(size, options) for size in SIZES]
    print(
        f"digits, {options.samples or 1438} training images, batches of {options.batch_size}, small_resnet width "
        f"{options.width} ({sum(p.numel() for p in cases[0].original.parameters()):,} parameters), {options.epochs} epoch, "
        f"lr {options.lr:g}, seed {options.seed}, CPU, one thread, torch {torch.__version__}\n"
    )
    head = f"{'kernel':28}{'pixels':>6}{'budget':>7}{'MACs':>7}{'params':>8}{'loss':>8}{'after':>7}"
    print(f"{head}{'accuracy':>10}{'seconds':>9}  health")
    trained = {f"original {case.size}": row("original", case, (1.0, None), options) for case in cases}
    for name in options.names:
        trained[name] = row(name, *fitting_case(kas.zoo.get(name), cases, options.budget), options)
    failed = [name for name, passed in trained.items() if not passed]
    print(f"\n{len(trained) - len(failed)} of {len(trained)} are healthy and learn")
    if failed:
        print(f"not: {', '.join(failed)}")
    return 1 if failed else 0


def make_case(size: int, options: argparse.Namespace) -> Case:
    """The data and the network for images of one size."""
    data = make_data(DataSettings(name="digits", size=size, train_samples=options.samples, batch_size=options.batch_size))
    torch.manual_seed(options.seed)
    original = make_model(ModelSettings(args={"width": options.width}), data.num_classes, data.input_shape)
    return Case(size, data, original, kas.find_targets(original, torch.zeros(1, *data.input_shape)))


def row(name: str, case: Case, fit: tuple[float, Any], options: argparse.Namespace) -> bool:
    """Put one kernel in, check, train and print it; True if it is healthy and its loss falls."""
    start = time.perf_counter()
    torch.manual_seed(options.seed)
    data, original, targets, (budget, sizes) = case.data, case.original, case.targets, fit
    if sizes is None:
        network, macs, params = copy.deepcopy(original), 1.0, 1.0
    else:
        network = kas.replace(original, kas.zoo.get(name), torch.zeros(1, *data.input_shape), targets, sizes=sizes)
        macs, params = (getattr(sizes, key) / sum(getattr(t, key) for t in targets) for key in ("macs", "params"))
    inputs, labels = next(iter(data.train_dataloader()))
    batch, task = Batch(inputs[:32], labels[:32]), TASKS["classification"](TrainingSettings(), data.num_classes)
    report = check(network, original, batch, HealthSettings(), task, targets=[target.name for target in targets])
    before = loss_of(network, data)
    settings = TrainingSettings(epochs=options.epochs, lr=options.lr)
    with tempfile.TemporaryDirectory() as folder:
        result = train(network, data, settings, folder=folder, seed=options.seed, device="cpu")
    after = loss_of(network, data)
    print(
        f"{name:28}{case.size:6}{budget:7g}{macs:7.2f}{params:8.2f}{before:8.3f}{after:7.3f}{result.accuracy:10.3f}"
        f"{time.perf_counter() - start:9.1f}  {'ok' if report.ok else report.reason}",
        flush=True,
    )
    return report.ok and after < before


def fitting_case(kernel: Kernel, cases: Sequence[Case], budget: float) -> tuple[Case, tuple[float, Any]]:
    """The first case that the kernel fits, with its budget and sizes there."""
    for case in cases:
        fit = fitting(kernel, case.targets, budget)
        if fit is not None:
            return case, fit
    raise kas.Infeasible(f"{kernel!r} has no sizes at 512 times what it replaces")


def fitting(kernel: Kernel, targets: Sequence[Target], budget: float) -> tuple[float, Any] | None:
    """The sizes of a kernel at the first budget, from `budget` and then 1 upwards, for which there are any."""
    for ratio in (budget, *(2.0**power for power in range(10))):
        try:
            sizes = kas.solve(kernel, targets, {"macs": ratio, "params": ratio})
        except kas.Infeasible:
            continue
        if all(width >= NARROWEST for values in sizes.values.values() for width in values.values()):
            return ratio, sizes
    return None


def loss_of(network: nn.Module, data: Any) -> float:
    """The mean cross-entropy over the validation images, with the statistics of each batch; the network stays as it is."""
    copied = copy.deepcopy(network).train()
    losses = []
    with torch.no_grad():
        for inputs, labels in data.val_dataloader():
            losses += nn.functional.cross_entropy(copied(inputs), labels, reduction="none").tolist()
    return statistics.mean(losses)


if __name__ == "__main__":
    raise SystemExit(main())
