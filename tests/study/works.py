"""What workers do in the tests of their supervisor: without networks and storages, so that a process takes no time."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from kas.language.errors import KasError
from kas.study.storage.records import Reference

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which `nohup` has it ignore
REFERENCE = Reference(accuracy=0.9, latency_ms=1.0, macs=1, params=1, work=1.0, device="cpu", epochs=1)


def first_time(folder: Path, name: str = "began") -> bool:
    """Whether nobody has asked before."""
    try:
        (folder / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def talk(listener: Any) -> int:
    """Tell and print something."""
    listener.reference_ready(REFERENCE)
    listener.stage(None, "training", detail="now")
    print("printed")
    os.write(2, b"from C\n")
    listener.message("said")
    return 0


def die_once(folder: Path, listener: Any) -> int:
    """The first process is killed in its trial; the next one finishes it."""
    listener.trial_started(3, None)
    if first_time(folder):
        os.kill(os.getpid(), signal.SIGKILL)
    listener.message("went on")
    return 0


def die(listener: Any) -> int:
    """A segmentation fault, always."""
    os.kill(os.getpid(), signal.SIGSEGV)
    return 0


def meet_a_defect(folder: Path, listener: Any) -> int:
    """An exception that nobody foresaw, once."""
    if first_time(folder):
        raise RuntimeError("not foreseen")
    return 0


def refuse(listener: Any) -> int:
    """Bad input, in each of the workers."""
    listener.reference_ready(REFERENCE)
    time.sleep(0.5)
    raise KasError("training.lr: too large")


def hang_once(folder: Path, listener: Any) -> int:
    """The first process sleeps in trial 7 and ignores Ctrl-C, with a process of its own; the next one has nothing to do."""
    if first_time(folder):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        listener.trial_started(7, None)
        listener.stage(7, "training")
        child = os.fork()
        if child:
            (folder / "pids").write_text(f"{os.getpid()} {child}")
        time.sleep(600)
    return 0


def hang_at_the_start(folder: Path, listener: Any) -> int:
    """The first process sleeps before it has told anything."""
    if first_time(folder):
        time.sleep(600)
    return 0


def work_slowly(listener: Any) -> int:
    """Batches, each of which takes less than a worker may be silent."""
    listener.trial_started(1, None)
    listener.stage(1, "training")
    for _ in range(20):
        time.sleep(0.5)
        listener.alive()
    return 0


def wait_for_signal(folder: Path, listener: Any) -> int:
    """Sleep until interrupted, and note that."""
    (folder / f"ready{os.getpid()}").touch()
    listener.reference_ready(REFERENCE)
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        (folder / f"interrupted{os.getpid()}").touch()
        raise
    return 0


def ignore_signals(folder: Path, listener: Any) -> int:
    """Sleep whatever comes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    (folder / f"ready{os.getpid()}").touch()
    time.sleep(600)
    return 0


if __name__ == "__main__":  # python works.py NAME FOLDER COUNT: a supervisor, to be sent signals
    from functools import partial

    import works

    from kas.study.display.events import Silent
    from kas.study.workers.supervisor import Supervisor

    sys.exit(Supervisor(partial(getattr(works, sys.argv[1]), Path(sys.argv[2])), Silent(), int(sys.argv[3])).run())
