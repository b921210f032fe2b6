"""The last mile: the network as it is deployed, trained with chosen kernels and as it was, from several seeds, and tested.

Each pair of a kernel and a seed is a unit of work that one worker claims, as a search's work is claimed: any number of
processes share the units, what is finished is never done again, and a unit whose process died is taken over from its
last epoch. The network after the last epoch counts, as in the search; its validation score is recorded, and the test
split is looked at once, then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import torch
from torch import nn

from kas.evaluation import EpochReport, TrainingDiverged, make_data, make_model, train
from kas.evaluation.checkpoints import load_model
from kas.evaluation.data import has_test_split, plain_shape
from kas.evaluation.devices import cpu_threads
from kas.evaluation.failures import memory_errors
from kas.evaluation.inputs import head, sample_shape
from kas.evaluation.training import CHECKPOINT, score_on_test
from kas.language import KasError, Kernel
from kas.replacement import replace as with_kernel
from kas.replacement.example import first_tensor
from kas.study.display.promotion import PromotionListener
from kas.study.storage.claims import Claims
from kas.study.storage.promotions import ORIGINAL, Promotion, promotions, store
from kas.study.workers.bench import Bench

__all__ = ["Promoter", "deployed_data", "promoted_network"]

_log = logging.getLogger("kas.study")


@dataclass(frozen=True)
class _Unit:
    key: str
    seed: int

    def __str__(self) -> str:
        return f"{self.key}, seed {self.seed}"


def deployed_data(bench: Bench) -> Any:
    """The study's data at the size of the deployed network (`cost.size`).

    Raises KasError if it has no test split, or if a user's data module does not come at that size.
    """
    config = bench.config
    data = bench.data if config.cost.size is None else make_data(replace(config.data, size=config.cost.size))
    wanted, given = sample_shape(bench.deployed.example), data.input_shape
    if not has_test_split(data):
        raise KasError(
            f"the data module of {config.data.factory} has no test split: give it a test_dataloader, over samples that neither "
            f"train_dataloader nor val_dataloader has"
        )
    if plain_shape(given) != plain_shape(wanted):
        raise KasError(
            f"cost.size is {config.cost.size}, but the data module of {config.data.factory} gives {plain_shape(given)}: let "
            f"the function take `settings` and make them of settings.size, or leave cost.size out"
        )
    return data


def promoted_network(bench: Bench, kernel: Kernel | None, promotion: Promotion) -> nn.Module:
    """The deployed network of a result, [N, *promotion.shape] → [N, classes], with its trained weights, on the CPU.

    kernel: the one with the hash `promotion.kernel`; None for the original. Raises KasError if its weights are not on this
    machine.
    """
    path = bench.folder.promoted(promotion.kernel, promotion.epochs, promotion.seed) / CHECKPOINT
    if not path.exists():
        raise KasError(
            f"the weights of {promotion.kernel}, seed {promotion.seed}, are not on this machine, another one trained them: "
            f"share the folder {bench.folder.root} or copy {path} here"
        )
    network = _original(bench, promotion.seed)
    if kernel is not None:
        network = _replaced(bench, network, kernel, promotion.groups, promotion.values, promotion.seed)
    return load_model(network, path)


class Promoter:
    """One worker of a promotion.

    kernels: by hash. epochs: of the schedule; each training is otherwise as `training` says, without a time limit. seeds:
    how many, from the study's own on. Raises KasError as `deployed_data` does, and Infeasible if a kernel has no sizes.
    """

    def __init__(
        self,
        study: optuna.Study,
        bench: Bench,
        kernels: Mapping[str, Kernel],
        listener: PromotionListener,
        *,
        seeds: int,
        epochs: int,
    ) -> None:
        self._study, self._bench, self._listener = study, bench, listener
        self._kernels = dict(kernels)
        self._settings = replace(bench.config.training, epochs=epochs, time_limit_s=None)
        self._data = deployed_data(bench)
        self._sizes = {key: bench.solve(kernel)[0] for key, kernel in kernels.items()}
        first = bench.config.seed
        self.units = [_Unit(key, seed) for seed in range(first, first + seeds) for key in (ORIGINAL, *kernels)]

    def summary(self) -> str:
        """What is promoted, in one line."""
        done, shape = len(self.units) - len(self._left()), "x".join(map(str, _first_shape(self._bench)))
        had = f", {done} of them done" if done else ""
        return (
            f"promote {self._study.study_name}: {len(self._kernels)} kernels and the original at {shape}, "
            f"{len(self.units)} trainings of {self._settings.epochs} epochs{had}, on {self._bench.device_name}"
        )

    def run(self, claims: Claims, wait: Callable[[], None]) -> None:
        """Work until every unit is done, by this worker or another; `wait` sleeps while all that is left is taken.

        Raises OutOfMemory, and KasError if candidates start from an original's weights that are not there.
        """
        while left := self._left():
            ready = [unit for unit in left if self._is_ready(unit, left)]
            if not any(claims.attempt(self._claim(unit), self._work(unit)) for unit in ready):
                wait()

    def _claim(self, unit: _Unit) -> str:
        return f"promotion.{unit.key}.{self._settings.epochs}.{unit.seed}"

    def _left(self) -> Sequence[_Unit]:
        epochs = self._settings.epochs
        done = {(one.kernel, one.seed) for one in promotions(self._study) if one.epochs == epochs}
        return [unit for unit in self.units if (unit.key, unit.seed) not in done]

    def _is_ready(self, unit: _Unit, left: Sequence[_Unit]) -> bool:
        """Whether it can start: with `training.init: original` the original of the same seed comes first."""
        follows = self._settings.init == "original" and unit.key != ORIGINAL
        return not (follows and _Unit(ORIGINAL, unit.seed) in left)

    def _work(self, unit: _Unit) -> Callable[[], None]:
        def work() -> None:
            if unit in self._left():  # nobody did it while we took it
                self._listener.unit_started(unit.key, unit.seed)
                result = self._promote(unit)
                store(self._study, result)
                self._listener.unit_finished(result)

        return work

    def _promote(self, unit: _Unit) -> Promotion:
        folder = self._bench.folder.promoted(unit.key, self._settings.epochs, unit.seed)
        sizes = self._sizes.get(unit.key)
        result = Promotion(
            kernel=unit.key,
            seed=unit.seed,
            epochs=self._settings.epochs,
            validation=None,
            test=None,
            seconds=0.0,
            device=self._bench.device_name,
            shape=_first_shape(self._bench),
            groups=1 if sizes is None else sizes.groups,
            values={} if sizes is None else {name: dict(values) for name, values in sizes.values.items()},
            macs=sum(target.macs for target in self._bench.deployed.targets) if sizes is None else sizes.macs,
            params=sum(target.params for target in self._bench.deployed.targets) if sizes is None else sizes.params,
        )
        try:
            return self._trained_and_tested(unit, folder, result)
        except TrainingDiverged as error:
            return replace(result, reason=str(error))

    def _trained_and_tested(self, unit: _Unit, folder: Path, result: Promotion) -> Promotion:
        bench = self._bench

        def on_epoch(report: EpochReport) -> None:
            self._listener.unit_epoch(unit.key, unit.seed, report.epoch + 1, report.epochs, report.accuracy)

        device, lock, alive = str(bench.device), bench.lock, bench.alive
        with memory_errors("building the network"):
            network = self._start(unit)
        with cpu_threads(bench.training_threads):
            trained = train(
                network,
                self._data,
                self._settings,
                folder=folder,
                seed=unit.seed,
                device=device,
                lock=lock,
                on_epoch=on_epoch,
                on_batch=alive,
                task=bench.task,
            )
            if trained.resumed_from_epoch is not None:
                self._listener.message(f"{unit} went on from epoch {trained.resumed_from_epoch} of {trained.epochs}")
            test = score_on_test(network, self._data, self._settings, device=device, lock=lock, on_batch=alive, task=bench.task)
        _log.info("%s: test %.4f", unit, test)
        accuracy = round(trained.accuracy, 6)
        return replace(result, validation=accuracy, test=round(test, 6), seconds=round(trained.seconds, 3))

    def _start(self, unit: _Unit) -> nn.Module:
        """The network as its training starts."""
        network = _original(self._bench, unit.seed)
        kernel = self._kernels.get(unit.key)
        if kernel is None:
            return network
        if self._settings.init == "original":
            network = load_model(network, self._weights_of_original(unit.seed))
        sizes = self._sizes[unit.key]
        return _replaced(self._bench, network, kernel, sizes.groups, sizes.values, unit.seed)

    def _weights_of_original(self, seed: int) -> Path:
        epochs = self._settings.epochs
        found = next(one for one in promotions(self._study) if (one.kernel, one.epochs, one.seed) == (ORIGINAL, epochs, seed))
        path = self._bench.folder.promoted(ORIGINAL, epochs, seed) / CHECKPOINT
        if found.reason is not None:
            raise KasError(f"training.init: original needs the original of seed {seed}, whose training failed: {found.reason}")
        if not path.exists():
            raise KasError(
                f"training.init: original needs the weights of the original of seed {seed}, which another machine trained: "
                f"share the folder {self._bench.folder.root} or copy {path} here"
            )
        return path


def _original(bench: Bench, seed: int) -> nn.Module:
    """The deployed original, its weights drawn from `seed`."""
    torch.manual_seed(seed)
    example = bench.deployed.example
    return make_model(bench.config.model, bench.data.num_classes, sample_shape(example), bench.config.cost.model, example)


def _first_shape(bench: Bench) -> tuple[int, ...]:
    """The shape of a sample of the deployed network's (first) input."""
    return tuple(first_tensor(bench.deployed.example).shape[1:])


def _replaced(bench: Bench, model: nn.Module, kernel: Kernel, groups: int, values: Any, seed: int) -> nn.Module:
    """`model` with the kernel, its weights drawn from `seed`."""
    torch.manual_seed(seed)
    sizes: Any = SimpleNamespace(groups=groups, values=values)
    return with_kernel(model, kernel, head(bench.deployed.example, 2), targets=list(bench.deployed.targets), sizes=sizes)
