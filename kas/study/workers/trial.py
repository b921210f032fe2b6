"""One trial: a genome becomes a kernel, a network, a verdict. The steps are those of the design, the cheap ones first."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from torch import nn

from kas.evaluation import EpochReport, OutOfMemory, TimeLimit, TrainingDiverged, TrainResult, check, train
from kas.evaluation.devices import cpu_threads
from kas.evaluation.failures import memory_errors
from kas.evaluation.runtimes import Refusal
from kas.evaluation.training import CHECKPOINT
from kas.language import Infeasible, InvalidKernel, Kernel
from kas.reporting.rows import LATENCY
from kas.solvers import Sizes
from kas.study import attributes as keys
from kas.study.attributes import Outcome
from kas.study.display.events import Listener
from kas.study.display.publication import Publication
from kas.study.storage import records
from kas.study.storage.depot import NOWHERE, Slot
from kas.study.workers.bench import Bench, replaced_work
from kas.study.workers.pairing import SESSIONS, latency_attributes, measure, pool
from kas.study.workers.runner import TrialContext

__all__ = ["Pipeline", "train_on"]

_NAMES: dict[type[Exception], str] = {
    InvalidKernel: "infeasible",
    Infeasible: "infeasible",
    Refusal: "infeasible",  # the runtime does not take the network with this kernel
    TrainingDiverged: "unhealthy",
    OutOfMemory: "out_of_memory",
    TimeLimit: "timeout",
}


_HOPELESS = 3.0  # times cost.max_ratio: no second measurement


class _Ended(Exception):
    """A trial that ends early with an outcome."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.name)
        self.outcome = outcome


class Pipeline:
    """The evaluation of a study's trials: `pipeline(context)` returns the outcome.

    suggest: from a trial to its kernel; it suggests the whole genome.
    publication: what the dashboard is shown, if anything.
    """

    def __init__(self, bench: Bench, suggest: Callable[[optuna.Trial], Kernel], publication: Publication | None = None) -> None:
        self._bench = bench
        self._suggest = suggest
        self._publication = publication

    def __call__(self, context: TrialContext) -> Outcome:
        found: dict[str, Any] = {"device": self._bench.device_name}
        kernel: Kernel | None = None
        try:
            kernel = self._kernel(context, found)
            outcome = self._judge(context, kernel, found)
        except _Ended as ended:
            outcome = ended.outcome
        except tuple(_NAMES) as error:
            name = next(name for kind, name in _NAMES.items() if isinstance(error, kind))
            outcome = Outcome(name, str(error))
        outcome = replace(outcome, attributes={**found, **outcome.attributes})
        if kernel is not None and outcome.name != "ok":  # came to nothing; a duplicate has no kernel: it is the other trial's
            shutil.rmtree(self._bench.folder.trial(kernel.hash), ignore_errors=True)
            self._bench.depot.forget(Slot.of_trial(context.trial))
        if self._publication is not None:
            self._publication.outcome(context.trial, outcome)
        return outcome

    def _kernel(self, context: TrialContext, found: dict[str, Any]) -> Kernel:
        """The kernel of the genome, claimed for this trial."""
        context.listener.stage(context.number, "kernel")
        kernel = self._suggest(context.trial)
        program = kernel.to_json()
        holder = context.claim(kernel.hash, program=program, family=kernel.family)
        if holder is not None:
            same = {"program": program, "family": kernel.family, "hash": kernel.hash, keys.DUPLICATE_OF: holder}
            raise _Ended(Outcome("duplicate", f"the kernel of trial {holder}", attributes=same))
        if self._publication is not None:
            self._publication.kernel(context.trial, kernel)
        return kernel

    def _judge(self, context: TrialContext, kernel: Kernel, found: dict[str, Any]) -> Outcome:
        bench, number, listener = self._bench, context.number, context.listener
        listener.stage(number, "solve")
        deployed_sizes, trained_sizes = bench.solve(kernel)
        found |= {
            "macs": deployed_sizes.macs,
            "params": deployed_sizes.params,
            "work": deployed_sizes.work,
            "sizes": {"groups": deployed_sizes.groups, "values": deployed_sizes.values, "use": deployed_sizes.use},
        }
        listener.stage(number, "build")
        with memory_errors("building the network"):
            network = bench.start(kernel, trained_sizes)
        self._check_health(context, network, found)
        cost = deployed_sizes.work / replaced_work(bench.deployed.targets)
        constraints = {}
        if bench.measures:
            cost = self._measure(context, kernel, deployed_sizes, found)
            constraints["latency"] = cost - bench.config.cost.max_ratio
        slot, shown = Slot.of_trial(context.trial), self._publication
        curve = None if shown is None else partial(shown.epoch, context.trial)
        result = train_on(bench, network, bench.folder.trial(kernel.hash), listener, number, slot, curve)
        accuracy = round(result.accuracy, 6)
        found |= {
            "accuracy": accuracy,
            "epochs": result.epochs,
            "resumed_from_epoch": result.resumed_from_epoch,
            "train_seconds": round(result.seconds, 3),
        }
        if bench.measures and _enters_front(context, kernel, accuracy, cost):
            cost = self._measure_again(context, kernel, deployed_sizes, found)
            constraints["latency"] = cost - bench.config.cost.max_ratio
        return Outcome("ok", values=(accuracy, cost), constraints=constraints)

    def _check_health(self, context: TrialContext, network: nn.Module, found: dict[str, Any]) -> None:
        bench, settings = self._bench, self._bench.config.health
        if not settings.enabled:
            return
        context.listener.stage(context.number, "health")
        batch = bench.batch(settings.batch_size)
        names = [target.name for target in bench.trained.targets]
        report = check(network, bench.trained.model, batch, settings, bench.task, targets=names)
        found["health"] = {name: float(f"{value:.4g}") for name, value in report.numbers.items()}
        if not report.ok:
            raise _Ended(Outcome("unhealthy", report.reason))

    def _measure(self, context: TrialContext, kernel: Kernel, sizes: Sizes, found: dict[str, Any]) -> float:
        """The latency ratio of the deployed network; too slow ends the trial.

        One session can be far off where another program takes a core, so a candidate that is not hopeless is turned away
        only by a second one.
        """
        context.listener.stage(context.number, "latency")
        limit = self._bench.config.cost.max_ratio
        paired = measure(self._bench, kernel, sizes)
        if limit < paired.ratio < _HOPELESS * limit:
            paired = measure(self._bench, kernel, sizes)
        found |= latency_attributes(paired)
        return _within(paired.ratio, limit)

    def _measure_again(self, context: TrialContext, kernel: Kernel, sizes: Sizes, found: dict[str, Any]) -> float:
        """The ratio pooled over new paired sessions, which takes the place of the first; too slow ends the trial.

        One paired session is off by several per cent, and the front is where the luckiest of them gather: who is on it was
        chosen for a small ratio. So a kernel that would enter the front is timed again before the trial ends, since an
        ended trial of Optuna cannot change: its values, its note, `study.best_trials`, `status` and the dashboard say the
        same. What is dominated when it ends stays so. The first numbers are kept in the attribute `first_latency`.
        """
        context.listener.stage(context.number, "latency", "again, for the front")
        again = pool([measure(self._bench, kernel, sizes) for _ in range(SESSIONS)])
        found |= {"first_latency": {name: found[name] for name in LATENCY}, **{name: again[name] for name in LATENCY}}
        found["measured"] = again["measured"]
        return _within(float(again["ratio"]), self._bench.config.cost.max_ratio)


def _within(ratio: float, limit: float) -> float:
    """The ratio, if it is not over cost.max_ratio."""
    if ratio > limit:
        reason = f"{ratio:.2f} times the original's latency, over cost.max_ratio {limit:g}"
        raise _Ended(Outcome("too_slow", reason, constraints={"latency": ratio - limit}))
    return ratio


def _enters_front(context: TrialContext, kernel: Kernel, accuracy: float, cost: float) -> bool:
    """Whether no trial that has ended dominates these values."""
    study = context.trial.study
    own = records.TrialRecord(context.number, "COMPLETE", "ok", hash=kernel.hash, accuracy=accuracy, cost=cost)
    return own in records.front([*records.read(study), own], records.metric(study).direction)


def train_on(
    bench: Bench,
    network: nn.Module,
    folder: Path,
    listener: Listener,
    number: int | None,
    slot: Slot = NOWHERE,
    curve: Callable[[EpochReport], None] | None = None,
) -> TrainResult:
    """Train a network of the study, the original (`number` None) and candidates alike; goes on from `folder`'s checkpoint.

    The time limit is for candidates; without measured costs none applies, so that a run can be repeated. The log says
    from which epoch it goes on. slot: where other machines learn of the checkpoint, if the study has a depot. curve: is told
    of every epoch, those before a crash included.
    """
    limited = bench.measures and number is not None
    settings = bench.config.training if limited else replace(bench.config.training, time_limit_s=None)
    listener.stage(number, "training")

    def on_epoch(report: EpochReport) -> None:
        listener.epoch(number, report.epoch + 1, report.epochs, report.accuracy)
        if curve is not None:
            curve(report)
        bench.depot.keep(folder / CHECKPOINT, slot)

    bench.depot.bring(folder / CHECKPOINT, slot)
    with cpu_threads(bench.training_threads):
        result = train(
            network,
            bench.data,
            settings,
            folder=folder,
            seed=bench.config.seed,
            device=str(bench.device),
            lock=bench.lock,
            on_epoch=on_epoch,
            on_batch=listener.alive,
            task=bench.task,
        )
    if result.resumed_from_epoch is not None:
        for report in result.history[: result.resumed_from_epoch]:
            if curve is not None:
                curve(report)
        who = "the reference" if number is None else f"trial {number}"
        listener.message(f"{who} went on from epoch {result.resumed_from_epoch} of {result.epochs}")
    return result
