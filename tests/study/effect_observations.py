"""What a study file's values come to in an evaluation, looked at where they act: a training as it begins, a measurement on a
clock of its own, the health check.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from evaluation_folders import write_cifar10, write_cifar100, write_imagefolder
from torch import Tensor, nn

from kas import zoo
from kas.evaluation import latency, preparing
from kas.evaluation.learner import Learner
from kas.study.config import StudyConfig
from kas.study.display.events import Silent
from kas.study.storage.files import StudyFolder
from kas.study.workers import pairing, trial
from kas.study.workers.bench import Bench

Observe = Callable[[StudyConfig, Path], Any]
KERNEL = zoo.get("bottleneck")

# Little data and a small network; the values of a row come on top.
TINY: dict[str, Any] = {
    "name": "tiny",
    "device": "cpu",
    "data.size": 8,
    "data.batch_size": 30,
    "data.train_samples": 60,
    "data.val_samples": 40,
    "model.args": {"width": 4, "stages": 2},
    "training.epochs": 5,
    "cost.memory_format": "contiguous",
    "health.batch_size": 8,
    "search.seeds": [],
}


def config(values: Mapping[str, Any]) -> StudyConfig:
    """A configuration of dotted keys."""
    data: dict[str, Any] = {}
    for path, value in {**TINY, **values}.items():
        *sections, key = path.split(".")
        node = data
        for section in sections:
            node = node.setdefault(section, {})
        node[key] = value
    return StudyConfig.from_dict(data)


def bench(config: StudyConfig, folder: Path) -> Bench:
    return Bench(config, StudyFolder(folder / "study"))


def on_bench(look: Callable[[Bench], Any]) -> Observe:
    return lambda config, folder: look(bench(config, folder))


def files(folder: Path) -> Path:
    """Tiny data sets on disk, written once."""
    root = folder / "files"
    if not root.exists():
        write_cifar10(root, per_batch=20)
        write_cifar100(root)
        write_imagefolder(root, per_class=20)
    return root


class _Begun(Exception):
    """The end of a training that has only begun."""


def begun(look: Callable[[Learner, tuple[Tensor, Tensor]], Any]) -> Observe:
    """What a candidate's training looks like at its first batch: the module, with its trainer, and the batch."""

    def observe(config: StudyConfig, folder: Path) -> Any:
        seen: list[Any] = []

        def first(module: Learner, batch: tuple[Tensor, Tensor], index: int) -> None:
            seen.append(look(module, batch))
            raise _Begun

        place = bench(config, folder)
        with patch.object(Learner, "training_step", first), contextlib.suppress(_Begun):
            trial.train_on(place, place.fresh_original(), folder / "training", Silent(), 0)
        return seen[0]

    return observe


def decays(module: Learner, batch: Any) -> tuple[set[float], set[float]]:
    """The weight decays of matrices (and filters), and of all other parameters."""
    decay = {id(p): group["weight_decay"] for group in module.trainer.optimizers[0].param_groups for p in group["params"]}
    parameters = list(module.parameters())
    matrices, others = ([p for p in parameters if (p.ndim > 1) is is_matrix] for is_matrix in (True, False))
    return {decay[id(p)] for p in matrices}, {decay[id(p)] for p in others}


def groups(module: Learner, *names: str) -> list[Any]:
    """What the optimizer's first group says."""
    return [module.trainer.optimizers[0].param_groups[0][name] for name in names]


def momentum(module: Learner, batch: Any) -> list[Any]:
    return groups(module, "momentum", "nesterov")


def rates(module: Learner) -> list[float]:
    """The learning rate at each step, in parts of the peak."""
    [schedule] = [entry.scheduler for entry in module.trainer.lr_scheduler_configs]
    return [schedule.lr_lambdas[0](step) for step in range(module.trainer.max_epochs * 2)]


STEP = Learner.training_step


def losses(module: Learner, batch: Any) -> tuple[Any, ...]:
    """The class of the loss, and the settings of a cross entropy."""
    own: Any = module.loss
    weight = getattr(own, "weight", None)
    return type(own).__name__, getattr(own, "reduction", None), getattr(own, "ignore_index", None), weight is not None


def loss(module: Learner, batch: tuple[Tensor, Tensor]) -> float | None:
    """The label smoothing with which the loss of a real step is what it is."""
    real = STEP(module, batch, 0)
    for smoothing in (0.0, 0.25, 0.5):
        wanted = nn.functional.cross_entropy(module(batch[0]), batch[1], label_smoothing=smoothing)
        if torch.isclose(real, wanted, rtol=1e-4):
            return smoothing
    return None


def limited(config: StudyConfig, folder: Path) -> list[str]:
    """How the training of a candidate, and that of the original, come to an end."""
    place, ends = bench(config, folder), []
    for number in (0, None):
        try:
            trial.train_on(place, place.fresh_original(), folder / f"training{number}", Silent(), number)
            ends.append("ok")
        except trial.TimeLimit:
            ends.append("timeout")
    return ends


def initial(config: StudyConfig, folder: Path) -> set[float]:
    """The stem's weights in the network with a kernel, where those of the trained original are all 7."""
    place = bench(config, folder)
    state = {f"model.{key}": torch.full_like(value, 7) for key, value in place.trained.model.state_dict().items()}
    place.folder.reference.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": state}, place.folder.reference / "last.ckpt")
    sizes = place.solve(KERNEL)[1]
    stem: Any = next(module for module in place.start(KERNEL, sizes).modules() if isinstance(module, nn.Conv2d))
    return {round(float(value), 3) == 7 for value in stem.weight.detach().flatten()}


class _Clock:
    """Goes on only where a pass is timed."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@contextlib.contextmanager
def _machine(original: float, candidate: float, passes: list[tuple[str, int, int]], own: Any) -> Iterator[None]:
    """Passes of so many seconds each; `passes` gets a line each time some are timed: whose, how many, threads."""
    clock = _Clock()

    def seconds(run: Callable[[], Any], count: int, device: torch.device) -> float:
        who = "original" if run is own.run else "candidate"
        passes.append((who, count, torch.get_num_threads()))
        clock.now += count * (spent := original if who == "original" else candidate)
        return spent

    with contextlib.ExitStack() as stack:
        for module in (latency, preparing):
            stack.enter_context(patch.multiple(module, seconds=seconds, time=clock))
        yield


def measured(look: Callable[[dict[str, Any]], Any], original: float = 0.01, candidate: float = 0.01) -> Observe:
    """What the trial's measurement of a kernel is: the trial's attributes, `outcome`, `passes`, and the
    `norms` in the network."""

    def observe(config: StudyConfig, folder: Path) -> Any:
        place, networks, passes, found = bench(config, folder), [], [], {}
        context: Any = SimpleNamespace(number=0, listener=Silent())

        def compare(*arguments: Any, **options: Any) -> Any:
            networks.append(arguments[1])
            return latency.compare(*arguments, **options)

        with patch.object(pairing, "compare", compare), _machine(original, candidate, passes, place.timed_original()):
            try:
                trial.Pipeline(place, lambda _: KERNEL)._measure(context, KERNEL, place.solve(KERNEL)[0], found)
                outcome = "ok"
            except trial._Ended as ended:
                outcome = ended.outcome.name
        return look({**found, "outcome": outcome, "passes": passes, "norms": _norms(networks[0])})

    return observe


def counted(found: Mapping[str, Any]) -> list[int]:
    """How many passes of the candidate are timed together, each time."""
    return [passes for who, passes, _ in found["passes"] if who == "candidate"]


def timed(found: Mapping[str, Any]) -> int:
    """How many pairs there are: what is timed in one pass belongs to the warm-up."""
    return sum(passes > 1 for passes in counted(found))


def _norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def health(config: StudyConfig, folder: Path) -> Any:
    """The health check of a kernel: how many samples it sees, and what it says, if anything."""
    place, seen, found = bench(config, folder), [], {}

    def check(candidate: nn.Module, original: nn.Module, batch: Any, *arguments: Any, **options: Any) -> Any:
        seen.append(len(batch.targets))
        return real(candidate, original, batch, *arguments, **options)

    real, context = trial.check, SimpleNamespace(number=0, listener=Silent())
    with patch.object(trial, "check", check):
        try:
            trial.Pipeline(place, lambda _: KERNEL)._check_health(context, place.start(KERNEL, place.solve(KERNEL)[1]), found)
        except trial._Ended as ended:
            return seen, " ".join(str(ended.outcome.reason).split()[:3])
    return seen, ""
