"""What every trial of a study is judged on: the data, the original network twice, the targets in each, the device.

*Deployed* is the network whose latency and budget count (`cost.model`, `cost.size`), *trained* the one that gives the
accuracy (`training.model`), often a narrower one. The same program is solved for the targets of each.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace as replace_fields
from functools import cached_property
from typing import Any

import torch
from torch import nn

from kas.evaluation import DeviceLock, Prepared, describe_device, make_data, make_model, prepare, resolve_device
from kas.evaluation.batches import Batch, Batches
from kas.evaluation.checkpoints import load_model
from kas.evaluation.devices import check_precision
from kas.evaluation.failures import memory_errors
from kas.evaluation.inputs import Shape, fitted, head, moved, random_inputs, repeated, sample_shape
from kas.evaluation.outputs import output_of
from kas.evaluation.preflight import check_network
from kas.evaluation.runtimes import Refusal, Runtime, make_runtime
from kas.evaluation.tasks import Task
from kas.evaluation.training import CHECKPOINT, named_task
from kas.language import Infeasible, KasError, Kernel
from kas.replacement import check_replaced, fuse, replace, replace_layers
from kas.replacement.example import first_tensor
from kas.solvers import Sizes, Target, solve
from kas.study.config import StudyConfig
from kas.study.storage.depot import Depot
from kas.study.storage.files import StudyFolder
from kas.study.workers.originals import Network, adopted, check_shape, chosen_targets, replaced_work, resized

__all__ = ["Bench", "Network", "replaced_work"]


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

        data: where nothing is trained, what takes the place of the study's data: `input_shape`, `num_classes` and `dtype`.
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
        self.batches = Batches(config.data.batch)
        self.data = make_data(config.data) if data is None else data
        self.first = self.batches.first(self.data, "train", config.seed) if data is None else None
        shape = self.data.input_shape if self.first is None else sample_shape(self.first.inputs)
        check_shape(self.data, shape)
        self.trained = self._network(config.training.model, shape, batch=2)
        self.deployed = self._network(config.cost.model, resized(shape, config.cost.size), batch=config.cost.batch_size)

    @cached_property
    def lock(self) -> DeviceLock:
        """The lock that workers on this device share: trainings pause while one of them measures."""
        device = str(self.device).replace(":", "")
        return DeviceLock(self.folder.locks / f"{platform.node() or 'host'}-{device}", self.alive)

    def adopt(self, targets: Mapping[str, Sequence[Target]]) -> None:
        """Take over the adapters of a study's targets (`stored_targets`): whatever is solved or built then has these."""
        self.deployed, self.trained = (
            replace_fields(network, targets=adopted(network.targets, targets.get(name, ())))
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
        example = moved(head(self.deployed.example, 2), self.device)
        return fuse(network, example) if self.config.cost.fused else network

    def runtime(self, name: str | None = None) -> Runtime:
        """A runtime by its name, on the study's device; by default the study's."""
        return make_runtime(name or self.config.cost.runtime, self.device)

    def check_runtime(self) -> None:
        """Raises KasError, with what to install, if latency is measured in a runtime that does not work here."""
        if self.measures and (missing := self.runtime().missing()):
            raise KasError(f"cost.runtime: {missing}")

    @cached_property
    def measured_example(self) -> Any:
        """The example inputs of the deployed network, on the device."""
        return moved(self.deployed.example, self.device)

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
        return self._make(self.config.training.model, sample_shape(self.trained.example))

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

    @cached_property
    def task(self) -> Task:
        """What is learned, named or guessed from a real batch. Raises KasError if the targets do not fit the network."""
        assert self.first is not None, "nothing is trained here"
        model, config = self.trained.model, self.config
        task = named_task(config.task, model, self.first, config.training, self.batches, config.model.output)
        return task.balanced(self.data)

    def batch(self, count: int) -> Batch:
        """The first `count` samples of a training batch, on the device."""
        assert self.first is not None, "nothing is trained here"
        return Batch(*(moved(head(part, count), self.device) for part in self.first))

    def _replace(self, network: Network, model: nn.Module, kernel: Kernel, sizes: Sizes) -> nn.Module:
        torch.manual_seed(self.config.seed)
        example, targets = head(network.example, 2), list(network.targets)
        return replace(model, kernel, example, targets=targets, sizes=sizes, check=False)  # `_network` has checked it

    def _network(self, overrides: dict[str, Any], shape: Shape, batch: int) -> Network:
        example = self._example(shape, batch)
        model = self._make(overrides, shape)
        check_network(model)
        example = fitted(example, model)
        few = head(example, 2)
        targets = chosen_targets(model, few, self.config.targets)
        empty = replace_layers(model, targets, lambda target: nn.Identity())
        output_of(check_replaced(empty, targets, few), self.config.model.output)
        return Network(model, example, tuple(targets))

    def _example(self, shape: Shape, batch: int) -> Any:
        """Real samples, where they are of that shape; else random ones of their type."""
        if self.first is not None and sample_shape(self.first.inputs) == shape:
            return repeated(self.first.inputs, batch)
        dtype = str(getattr(self.data, "dtype", "float32")) if self.first is None else None
        real = getattr(torch, dtype) if dtype else first_tensor(self.first.inputs).dtype  # type: ignore[union-attr]
        return random_inputs(shape, batch, real)

    def _make(self, overrides: dict[str, Any], shape: Shape) -> nn.Module:
        torch.manual_seed(self.config.seed)
        return make_model(self.config.model, self.data.num_classes, shape, overrides, self._example(shape, 2))
