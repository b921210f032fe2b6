"""One worker's whole session: open the study, make what is missing, work, finish the front, sum up."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
from optuna.storages import BaseStorage

from kas.language import Kernel
from kas.study import attributes as keys
from kas.study.config import StudyConfig
from kas.study.display.events import Listener, StudyStarted, StudySummary
from kas.study.storage import records, status
from kas.study.storage.claims import Claims
from kas.study.storage.create import create_or_join, has_reference, own_folder
from kas.study.storage.files import StudyFolder
from kas.study.storage.mutex import StudyMutex
from kas.study.storage.opening import close_storage, open_mutex, open_storage, safe_url, storage_url
from kas.study.storage.queue import TrialQueue
from kas.study.workers.interruption import Interruption
from kas.study.workers.runner import Result, Runner

if TYPE_CHECKING:
    from kas.study.workers.bench import Bench

__all__ = ["logging_to", "run_study"]

_log = logging.getLogger("kas.study")
POLL_S = 1.0


def run_study(
    config: StudyConfig,
    folder: Path,
    url: str | None,
    listener: Listener,
    workers: int = 1,
) -> StudySummary:
    """Take part in a study until it has its finished trials (`config.trials`); create it if it is not there.

    folder: of the study, DIR/NAME. url: of its storage; None for SQLite in the folder. Any number of processes may do
    this on one study. workers: how many processes of this machine do, at least; their trainings share its CPU cores.

    Returns what the study has come to, with the exit code: 0 for done, 1 if there is no progress (and the reason), 130
    after an interruption, when everything is left as `resume` needs it. Raises KasError for bad input: missing data,
    device, runtime or model, nothing to replace, seeds of another rank, a budget too small for any kernel, all of which
    leave no trace; a configuration that differs from the study's; a storage that cannot be opened.
    """
    from kas.study.workers.adapters import settle_adapters
    from kas.study.workers.bench import Bench
    from kas.study.workers.preflight import check_budget, look_first, objective
    from kas.study.workers.seeding import study_sampler

    place = StudyFolder(folder)
    bench = Bench(config, place, workers)
    bench.check_runtime()
    check_budget(bench.deployed.targets, bench.budget)
    fresh = url is None and not (folder / "study.db").exists()
    findings = look_first(bench) if fresh else None  # before anything is written
    sampler, left_out = study_sampler(config, bench)
    with ExitStack() as stack:
        storage = open_storage(url, folder)
        stack.callback(close_storage, storage)
        mutex = open_mutex(url, folder, config.name)
        stack.callback(mutex.close)
        if findings is None and not has_reference(storage, config.name):
            findings = look_first(bench)
        study = create_or_join(config, storage, mutex, objective(bench, findings))
        own_folder(study, place)
        stack.enter_context(logging_to(place.log))
        session = _Session(bench, place, safe_url(storage_url(url, folder)), study, storage, mutex, listener)
        interruption = stack.enter_context(Interruption())
        try:
            found = bench.deployed.targets
            first = settle_adapters(study, bench, Claims(study, mutex), lambda: interruption.wait(POLL_S))
            if bench.deployed.targets != found:
                sampler, left_out = study_sampler(config, bench)
            session.announce([*(findings.lines if findings else ()), *(left_out if first else ())])
            result = session.work(interruption, sampler)
        except KeyboardInterrupt:
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

    def work(self, interruption: Interruption, sampler: optuna.samplers.BaseSampler) -> Result:
        """Everything between announcing the study and summing it up."""
        from kas.study.display.publication import Publication
        from kas.study.genome import suggest_program
        from kas.study.workers.front import export_front, measure_in_other_runtimes, remeasure_front
        from kas.study.workers.reference import ensure_reference
        from kas.study.workers.trial import Pipeline

        bench, claims = self.bench, Claims(self.study, self.mutex)

        def wait() -> None:
            interruption.wait(POLL_S)

        ensure_reference(self.study, bench, claims, self.listener, wait)
        self.study.sampler = sampler
        ops = list(self.study.user_attrs[keys.OPS])

        def suggest(trial: optuna.Trial) -> Kernel:
            return suggest_program(trial, ops, bench.rank)

        publication = Publication(self.place.artifacts)
        publication.study(self.study)
        pipeline = Pipeline(bench, suggest, publication)
        queue = TrialQueue(self.study, self.storage, self.mutex, wanted=self.config.trials)
        result = Runner(queue, pipeline, self.listener, interruption).run()

        def finish() -> None:
            remeasure_front(self.study, bench, self.listener)
            export_front(self.study, bench, self.listener)
            publication.study(self.study)
            measure_in_other_runtimes(self.study, bench, self.listener)
            publication.study(self.study)

        claims.do("front", finish, wait)
        return result

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
            )
        )
        if keys.INPUT not in self.study.user_attrs:
            data = self.bench.data
            dtype = str(first_tensor(self.bench.trained.example).dtype).removeprefix("torch.")
            shape = plain_shape(data.input_shape)
            self.study.set_user_attr(keys.INPUT, {"shape": shape, "classes": data.num_classes, "dtype": dtype})
        for line in lines:
            _log.info(line)
            self.listener.message(line)


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Append what kas logs to a file, with the time and the process."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
    logger = logging.getLogger("kas")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()
