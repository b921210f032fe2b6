"""One worker's whole session: open the study, make what is missing, work, finish the front, sum up."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.storages import BaseStorage

from kas.reporting import stored
from kas.study import attributes as keys
from kas.study.config import StudyConfig
from kas.study.display.events import Listener, StudyStarted, StudySummary
from kas.study.storage import promotions, records, status
from kas.study.storage.claims import Claims
from kas.study.storage.create import check_folder, create_or_join, has_reference, own_folder
from kas.study.storage.depot import open_depot
from kas.study.storage.disk import disk_errors
from kas.study.storage.files import StudyFolder
from kas.study.storage.masking import masked
from kas.study.storage.mutex import StudyMutex
from kas.study.storage.opening import close_storage, open_mutex, open_storage, storage_url
from kas.study.storage.outages import PATIENCE_S, Outages
from kas.study.storage.queue import TrialQueue
from kas.study.workers.interruption import Interruption
from kas.study.workers.logs import logging_to
from kas.study.workers.origin import check_adoption, remember
from kas.study.workers.runner import Result, Runner

if TYPE_CHECKING:
    from kas.study.sampler import KernelSampler
    from kas.study.workers.bench import Bench

__all__ = ["run_study", "work_on"]

_log = logging.getLogger("kas.study")
POLL_S = 1.0


def work_on(
    config: StudyConfig, folder: Path, url: str | None, workers: int, options: dict[str, Any], listener: Listener
) -> int:
    """What a worker process of `run` and `resume` does: `run_study`, of which the exit code is left."""
    with disk_errors(folder):
        return run_study(config, folder, url, listener, workers, **options).exit_code


def run_study(
    config: StudyConfig,
    folder: Path,
    url: str | None,
    listener: Listener,
    workers: int = 1,
    *,
    artifacts: str | None = None,
    study_file: Path | None = None,
    adopt: bool = False,
) -> StudySummary:
    """Take part in a study until it has its finished trials (`config.trials`); create it if it is not there.

    folder: of the study, DIR/NAME. url: of its storage; None for SQLite in the folder. Any number of processes may do
    this on one study. workers: how many processes of this machine do, at least; their trainings share its CPU cores.
    artifacts: a folder or `s3://BUCKET` that all machines reach, where checkpoints are kept too.
    study_file: what the configuration was read from, if not from the folder: it is kept there before the study is created,
    so that a creation which is cut off can be completed. adopt: take over the folder, if it is another study's.

    Returns what the study has come to, with the exit code: 0 for done, 1 if there is no progress (and the reason), 130
    after an interruption, when everything is left as `resume` needs it. Raises KasError for bad input: missing data,
    device, runtime or model, nothing to replace, seeds of another rank, a budget too small for any kernel, all of which
    leave no trace; a configuration that differs from the study's; a folder of another study; a storage that cannot be opened.
    """
    from kas.study.workers.adapters import settle_adapters
    from kas.study.workers.bench import Bench
    from kas.study.workers.preflight import check_budget, look_first, objective
    from kas.study.workers.seeding import study_sampler

    place = StudyFolder(folder)
    bench = Bench(config, place, workers, alive=listener.alive)
    bench.depot = open_depot(artifacts)
    bench.check_runtime()
    check_budget(bench.deployed.targets, bench.budget)
    fresh = url is None and not place.database.exists()
    findings = look_first(bench) if fresh else None  # before anything is written
    sampler, left_out = study_sampler(config, bench)
    outages = Outages(listener.message, listener.alive, PATIENCE_S)

    def before(study: optuna.Study | None) -> None:
        check_folder(place, config.name, study, adopt=adopt)
        check_adoption(folder, config, study, adopt=adopt)
        if study_file is not None:
            remember(folder, config, study_file)

    if fresh:
        before(None)
    with ExitStack() as stack:
        storage = open_storage(url, folder, outages=outages)
        stack.callback(close_storage, storage)
        mutex = open_mutex(url, folder, config.name, outages)
        stack.callback(mutex.close)
        if findings is None and not has_reference(storage, config.name):
            findings = look_first(bench)
        study = create_or_join(config, storage, mutex, objective(bench, findings), before)
        own_folder(study, place, adopt=adopt)
        stack.enter_context(logging_to(place.log, url))
        session = _Session(bench, place, masked(storage_url(url, folder)), study, storage, mutex, listener)
        interruption = stack.enter_context(Interruption())
        try:
            found = bench.deployed.targets
            first = settle_adapters(study, bench, Claims(study, mutex), lambda: session.wait(interruption))
            if bench.deployed.targets != found:
                sampler, left_out = study_sampler(config, bench)
            session.announce([*(findings.lines if findings else ()), *(left_out if first else ())])
            result = session.work(interruption, sampler)
        except (KeyboardInterrupt, SystemExit) as error:
            interruption.check(error)
            _log.info("interrupted")
            result = Result(130)
        summary = session.summary(result)
        listener.study_finished(summary)
    return summary


class _Session:
    """The parts of a session, put together from the outside in."""

    def __init__(
        self,
        bench: Bench,
        place: StudyFolder,
        storage_name: str,
        study: optuna.Study,
        storage: BaseStorage,
        mutex: StudyMutex,
        listener: Listener,
    ) -> None:
        self.bench, self.config, self.place, self.storage_name = bench, bench.config, place, storage_name
        self.study, self.storage, self.mutex, self.listener = study, storage, mutex, listener

    def work(self, interruption: Interruption, sampler: KernelSampler) -> Result:
        """Everything between announcing the study and summing it up."""
        from kas.study.display.publication import Publication
        from kas.study.workers.front import export_front, measure_in_other_runtimes
        from kas.study.workers.reference import ensure_reference
        from kas.study.workers.trial import Pipeline

        bench, claims = self.bench, Claims(self.study, self.mutex)

        def wait() -> None:
            self.wait(interruption)

        ensure_reference(self.study, bench, claims, self.listener, wait)
        self.study.sampler = sampler
        publication = Publication(self.place.artifacts)
        publication.study(self.study)
        pipeline = Pipeline(bench, sampler.suggest, publication)
        queue = TrialQueue(self.study, self.storage, self.mutex, wanted=self.config.trials)
        result = Runner(queue, pipeline, self.listener, interruption, folder=self.place.root).run()

        def finish() -> None:
            export_front(self.study, bench, self.listener)
            publication.study(self.study)
            measure_in_other_runtimes(self.study, bench, self.listener)
            publication.study(self.study)

        claims.do("front", finish, wait)
        return result

    def wait(self, interruption: Interruption) -> None:
        """Sleep for a while, as others are at it."""
        self.listener.alive()
        interruption.wait(POLL_S)

    def summary(self, result: Result) -> StudySummary:
        """What the study has come to."""
        read = records.read(self.study)
        return StudySummary(
            name=self.config.name,
            folder=self.place.root,
            storage=self.storage_name,
            wanted=records.wanted(self.study) or self.config.trials,
            finished=records.finished(self.study),
            reference=records.reference(self.study),
            records=read,
            front=records.front(read, records.metric(self.study).direction),
            exit_code=result.exit_code,
            reason=result.reason,
            runtimes=status.runtimes(self.study),
            metric=records.metric(self.study),
        )

    def announce(self, lines: Sequence[str]) -> None:
        """Say that the study is open, what it replaces, and further lines: what was understood, which seeds are left out."""
        from kas.evaluation.data import plain_shape
        from kas.replacement.example import first_tensor

        replaced = status.replaced(self.study)
        _log.info("replaces %s", replaced)
        self.listener.study_started(
            StudyStarted(
                name=self.config.name,
                folder=self.place.root,
                storage=self.storage_name,
                wanted=self.config.trials,
                finished=records.finished(self.study),
                device=self.bench.device_name,
                cost=self.config.objectives.cost,
                epochs=self.config.training.epochs,
                replaced=replaced,
                metric=records.metric(self.study),
                front=records.front(records.read(self.study), records.metric(self.study).direction),
            )
        )
        if stored.attribute(self.study, keys.INPUT) is None:
            data = self.bench.data
            dtype = str(first_tensor(self.bench.trained.example).dtype).removeprefix("torch.")
            shape = plain_shape(data.input_shape)
            self.study.set_user_attr(keys.INPUT, {"shape": shape, "classes": data.num_classes, "dtype": dtype})
        for line in [*promotions.broken(self.study), *lines]:
            _log.info(line)
            self.listener.message(line)
