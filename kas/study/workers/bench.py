"""What every trial of a study is judged on: the data, the original network twice, the targets in each, the device.

*Deployed* is the network whose latency and budget count (`cost.model`, `cost.size`), *trained* the one that gives the
accuracy (`training.model`), often a narrower one. The same program is solved for the targets of each.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from kas.evaluation import DeviceLock, Prepared, describe_device, make_data, make_model, prepare, resolve_device
from kas.evaluation.checkpoints import load_model
from kas.evaluation.classifier import logits_of
from kas.evaluation.devices import check_precision
from kas.evaluation.failures import memory_errors
from kas.evaluation.inputs import fitted
from kas.evaluation.metrics import make_metric
from kas.evaluation.runtimes import Refusal, Runtime, make_runtime
from kas.evaluation.training import CHECKPOINT
from kas.language import Infeasible, KasError, Kernel
from kas.replacement import check_replaced, find_targets, fuse, replace, replace_layers
from kas.solvers import Sizes, Target, solve
from kas.study.config import StudyConfig
from kas.study.settings import TargetSettings
from kas.study.storage.depot import Depot
from kas.study.storage.files import StudyFolder

__all__ = ["Bench", "Network", "replaced_work"]


@dataclass(frozen=True)
class Network:
    """An original network in its initial state, on the CPU, an example input [N, ...] for it, and its targets."""

    model: nn.Module
    example: Tensor
    targets: tuple[Target, ...]


class Bench:
    """Built once by each worker. Raises KasError if the data, a metric, a model, a target or the device is not there."""

    def __init__(
        self,
        config: StudyConfig,
        folder: StudyFolder,
        workers: int = 1,
        data: Any = None,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        """`workers`: how many processes of this machine train at a time; they share its CPU cores.

        data: where nothing is trained, what takes the place of the study's data: `input_shape` and `num_classes`.
        alive: called after each batch of a training, and while the device's lock is waited for.
        """
        self.alive = alive
        self.depot = Depot()
        self.training_threads = max(1, torch.get_num_threads() // workers)
        self.config = config
        self.folder = folder
        self.device = resolve_device(config.device)
        check_precision(self.device, config.training.precision)
        self.device_name = describe_device(self.device)
        self._originals: dict[str, Prepared] = {}
        self.data = make_data(config.data) if data is None else data
        make_metric(config.training.metric, self.data.num_classes)
        shape = tuple(int(size) for size in self.data.input_shape)
        self.trained = self._network(config.training.model, shape, batch=2)
        self.deployed = self._network(config.cost.model, _resized(shape, config.cost.size), batch=config.cost.batch_size)

    @cached_property
    def lock(self) -> DeviceLock:
        """The lock that workers on this device share: trainings pause while one of them measures."""
        device = str(self.device).replace(":", "")
        return DeviceLock(self.folder.locks / f"{platform.node() or 'host'}-{device}", self.alive)

    def adopt(self, targets: Mapping[str, Sequence[Target]]) -> None:
        """Take over the adapters of a study's targets (`stored_targets`): whatever is solved or built then has these."""
        self.deployed, self.trained = (
            replace_fields(network, targets=_adopted(network.targets, targets.get(name, ())))
            for name, network in (("deployed", self.deployed), ("trained", self.trained))
        )

    @property
    def rank(self) -> int:
        """The rank of the kernels that fit."""
        return self.deployed.targets[0].rank

    @property
    def budget(self) -> dict[str, Any] | None:
        """The budget as the solver takes it."""
        return dict(self.config.budget) or None

    @property
    def measures(self) -> bool:
        """Whether latency is measured; False if the cost is the analytic work, when nothing measured decides anything."""
        return self.config.objectives.cost == "latency"

    def solve(self, kernel: Kernel) -> tuple[Sizes, Sizes]:
        """Sizes for the deployed and for the trained network. Raises Infeasible.

        The budget is that of the network as deployed. The trained one keeps to the same ratios if it can; where a
        narrow network cannot, only its original is the limit.
        """
        multiple = self.config.search.generation.multiple_of
        deployed = solve(kernel, list(self.deployed.targets), self.budget, multiple_of=multiple)
        targets = list(self.trained.targets)
        try:
            return deployed, solve(kernel, targets, self.budget)
        except Infeasible:
            return deployed, solve(kernel, targets, None)

    def deploy(self, kernel: Kernel, sizes: Sizes) -> nn.Module:
        """The deployed network with the kernel, freshly initialised."""
        return self._replace(self.deployed, self.deployed.model, kernel, sizes)

    def timed(self, network: nn.Module) -> nn.Module:
        """A deployed network as it is timed: on the device, in its inference form if `cost.fused`.

        Raises KasError if it cannot be fused.
        """
        network = network.to(self.device)
        return fuse(network, self.deployed.example[:2].to(self.device)) if self.config.cost.fused else network

    def runtime(self, name: str | None = None) -> Runtime:
        """A runtime by its name, on the study's device; by default the study's."""
        return make_runtime(name or self.config.cost.runtime, self.device)

    def check_runtime(self) -> None:
        """Raises KasError, with what to install, if latency is measured in a runtime that does not work here."""
        if self.measures and (missing := self.runtime().missing()):
            raise KasError(f"cost.runtime: {missing}")

    @cached_property
    def measured_example(self) -> Tensor:
        """The example input of the deployed network, on the device."""
        return self.deployed.example.to(self.device)

    def timed_original(self, runtime: str | None = None) -> Prepared:
        """The deployed original as it is timed in a runtime (by default the study's), prepared once.

        Raises Refusal if the runtime does not take it; KasError if that is the study's own, or is missing.
        """
        ready = self.runtime(runtime)
        if ready.name not in self._originals:
            with memory_errors("preparing the original"):
                network, example = self.timed(self.deployed.model), self.measured_example
            try:
                self._originals[ready.name] = prepare(network, example, self.config.cost, ready, lock=self.lock)
            except Refusal as error:  # of a kernel's network it is an outcome; without the original nothing can be compared
                if ready.name != self.config.cost.runtime:
                    raise
                raise KasError(f"cost.runtime: {error} (the original network)") from error
        return self._originals[ready.name]

    def start(self, kernel: Kernel, sizes: Sizes) -> nn.Module:
        """The trained network with the kernel, as its training starts: from scratch, or from the original's weights."""
        original = self.trained_original if self.config.training.init == "original" else self.trained.model
        return self._replace(self.trained, original, kernel, sizes)

    def fresh_original(self) -> nn.Module:
        """The original of the trained kind, freshly initialised, for the reference's training."""
        return self._make(self.config.training.model, tuple(self.trained.example.shape[1:]))

    @cached_property
    def trained_original(self) -> nn.Module:
        """The original with the weights of the reference's training. Raises KasError if these are not on this machine."""
        path = self.folder.reference / CHECKPOINT
        if not path.exists():
            raise KasError(
                f"training.init: original needs the weights of the original network, which another machine trained: "
                f"share the folder {self.folder.root} or copy {path} here"
            )
        return load_model(self.fresh_original(), path)

    def batch(self, count: int) -> tuple[Tensor, Tensor]:
        """The first validation-style batch of training samples, [count, ...] and labels [count], on the device."""
        self.data.prepare_data()
        self.data.setup("fit")
        generator_state = torch.random.get_rng_state()
        torch.manual_seed(self.config.seed)
        inputs, labels = next(iter(self.data.train_dataloader()))
        torch.random.set_rng_state(generator_state)
        return inputs[:count].to(self.device), labels[:count].to(self.device)

    def _replace(self, network: Network, model: nn.Module, kernel: Kernel, sizes: Sizes) -> nn.Module:
        torch.manual_seed(self.config.seed)
        example, targets = network.example[:2], list(network.targets)
        return replace(model, kernel, example, targets=targets, sizes=sizes, check=False)  # `_network` has checked it

    def _network(self, overrides: dict[str, Any], shape: tuple[int, ...], batch: int) -> Network:
        model = self._make(overrides, shape)
        example = fitted(torch.randn(batch, *shape, generator=torch.Generator().manual_seed(0)), model)
        targets = _targets(model, example[:2], self.config.targets)
        empty = replace_layers(model, targets, lambda target: nn.Identity())
        logits_of(check_replaced(empty, targets, example[:2]))
        return Network(model, example, tuple(targets))

    def _make(self, overrides: dict[str, Any], shape: tuple[int, ...]) -> nn.Module:
        torch.manual_seed(self.config.seed)
        return make_model(self.config.model, self.data.num_classes, shape, overrides)


def replaced_work(targets: Sequence[Target]) -> float:
    """The work (macs + elementwise/2, per sample) of the original layers: their MACs, as for the solver's budget."""
    return float(sum(target.macs for target in targets))


def _resized(shape: tuple[int, ...], size: int | None) -> tuple[int, ...]:
    return shape if size is None else (shape[0], *(size for _ in shape[1:]))


def _adopted(targets: Sequence[Target], stored: Sequence[Target]) -> tuple[Target, ...]:
    prefer = {target.name: target.prefer for target in stored}
    return tuple(replace_fields(target, prefer=prefer.get(target.name, target.prefer)) for target in targets)


def _targets(model: nn.Module, example: Tensor, settings: TargetSettings) -> list[Target]:
    """The targets of the rank that has most of the work; a kernel has one rank."""
    found = find_targets(
        model,
        example,
        names=settings.names,
        types=settings.types,
        rank=settings.rank,
        min_kernel=settings.min_kernel,
        depthwise=settings.depthwise,
        stem=settings.stem,
        adapter="projection" if settings.adapter == "projection" else "copies",
        norm=settings.norm,
    )
    ranks = {target.rank for target in found}
    rank = max(ranks, key=lambda rank: sum(target.macs for target in found if target.rank == rank))
    return [target for target in found if target.rank == rank]
