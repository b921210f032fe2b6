"""What a worker process of `promote` does: take part in the trainings until all of them are done."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import optuna

from kas.language import Kernel
from kas.study.config import StudyConfig
from kas.study.display.promotion import PromotionListener
from kas.study.storage.claims import Claims
from kas.study.storage.create import own_folder
from kas.study.storage.disk import disk_errors
from kas.study.storage.files import StudyFolder
from kas.study.storage.opening import close_storage, open_mutex, open_storage
from kas.study.storage.outages import PATIENCE_S, Outages
from kas.study.workers.interruption import Interruption
from kas.study.workers.logs import logging_to
from kas.study.workers.session import POLL_S

__all__ = ["work_on"]


def work_on(
    config: StudyConfig,
    folder: Path,
    url: str | None,
    kernels: Mapping[str, Kernel],
    seeds: int,
    epochs: int,
    workers: int,
    listener: PromotionListener,
) -> int:
    """Take part in a promotion, as `Promoter` says; the exit code: 0 done, 130 interrupted.

    kernels: by hash. Raises KasError as `Promoter` does, OutOfMemory.
    """
    from kas.study.workers.adapters import stored_targets
    from kas.study.workers.bench import Bench
    from kas.study.workers.front import measure_in_other_runtimes
    from kas.study.workers.promotion import Promoter

    place = StudyFolder(folder)
    bench = Bench(config, place, workers, alive=listener.alive)
    outages = Outages(listener.message, listener.alive, PATIENCE_S)
    with ExitStack() as stack:
        stack.enter_context(disk_errors(folder))
        storage = open_storage(url, folder, create=False, outages=outages)
        stack.callback(close_storage, storage)
        mutex = open_mutex(url, folder, config.name, outages)
        stack.callback(mutex.close)
        study = optuna.load_study(study_name=config.name, storage=storage)
        bench.adopt(stored_targets(study))
        promoter = Promoter(study, bench, kernels, listener, seeds=seeds, epochs=epochs)
        own_folder(study, place)
        stack.enter_context(logging_to(place.log, url))
        interruption = stack.enter_context(Interruption())
        claims = Claims(study, mutex)

        def wait() -> None:
            listener.alive()
            interruption.wait(POLL_S)

        try:
            listener.promotion_started(promoter.summary())
            promoter.run(claims, wait)
            claims.do("front", lambda: measure_in_other_runtimes(study, bench, listener, kernels), wait)
        except (KeyboardInterrupt, SystemExit) as error:
            interruption.check(error)
            return 130
    return 0
