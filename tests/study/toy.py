"""A study without networks: a real storage, real workers, and an evaluation of a few milliseconds with checkpoints.

As a program (`python toy.py URL FOLDER WANTED [key=value]...`) it is one worker, to be killed by the tests.
"""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path

import optuna

from kas import zoo
from kas.study import attributes as keys
from kas.study.attributes import Outcome
from kas.study.display.events import Silent
from kas.study.storage.opening import close_storage, open_mutex, open_storage
from kas.study.storage.outages import PATIENCE_S, Outages
from kas.study.storage.queue import TrialQueue
from kas.study.workers.interruption import Interruption
from kas.study.workers.runner import Runner, TrialContext

NAME = "toy"
PROGRAM = zoo.get("grouped3x3").to_json()  # the same for all: a kernel is told from others by its hash
OPENED: list[TrialQueue] = []
EPOCHS = 4


def make_queue(url: str | None, folder: Path, wanted: int = 5, outages: Outages | None = None, **options: float) -> TrialQueue:
    """The queue of the toy study, which is created if it is not there."""
    storage, mutex = open_storage(url, folder, outages=outages), open_mutex(url, folder, NAME, outages)

    def section() -> optuna.Study:
        return optuna.create_study(
            study_name=NAME,
            storage=storage,
            directions=["maximize", "minimize"],
            load_if_exists=True,
            sampler=optuna.samplers.RandomSampler(),
        )

    study = mutex.do(section)
    OPENED.append(TrialQueue(study, storage, mutex, wanted=wanted, **options))
    return OPENED[-1]


def close_all() -> None:
    """Close the connections of all queues so far."""
    while OPENED:
        queue = OPENED.pop()
        close_storage(queue.storage)
        queue.mutex.close()


class Evaluation:
    """Draws one of `kernels` kernels, "trains" it in epochs with a checkpoint each, and logs a line for each beginning."""

    def __init__(self, folder: Path, *, kernels: int = 1000, epoch_s: float = 0.0, bad: float = 0.0) -> None:
        self.folder = folder
        self.kernels = kernels
        self.epoch_s = epoch_s
        self.bad = bad

    def __call__(self, context: TrialContext) -> Outcome:
        x = context.trial.suggest_int("x", 0, self.kernels - 1)
        key = hashlib.sha256(str(x).encode()).hexdigest()[:16]
        holder = context.claim(key, program=PROGRAM, family=key)
        if holder is not None:
            return Outcome("duplicate", attributes={keys.DUPLICATE_OF: holder, "hash": key})
        if x < self.bad * self.kernels:
            raise RuntimeError(f"bad kernel {x}")
        checkpoint = self.folder / "trials" / key / "last.ckpt"
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        done = int(checkpoint.read_text()) if checkpoint.exists() else 0
        with open(self.folder / "evaluations.log", "a") as log:
            log.write(f"{context.number} {key} {done}\n")
        for epoch in range(done, EPOCHS):
            time.sleep(self.epoch_s)
            checkpoint.write_text(str(epoch + 1))
        return Outcome("ok", values=(x / self.kernels, 1.0), attributes={"accuracy": x / self.kernels})


def work(url: str | None, folder: Path, wanted: int, **options: float) -> int:
    """Be one worker; returns the exit code."""
    queue = make_queue(url, folder, wanted, Outages(lambda text: print(text, flush=True), patience_s=PATIENCE_S))
    evaluation = Evaluation(folder, **options)
    evaluation.kernels = int(evaluation.kernels)
    with Interruption() as interruption:
        try:
            result = Runner(queue, evaluation, Silent(), interruption, poll_s=0.05).run()
        except KeyboardInterrupt:
            return 130
    if result.reason:
        print(result.reason)
    return result.exit_code


if __name__ == "__main__":
    given = dict(argument.split("=") for argument in sys.argv[4:])
    sys.exit(work(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), **{key: float(value) for key, value in given.items()}))
