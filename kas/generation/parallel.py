"""Results from several processes, in the order in which one process would make them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from kas.language import KasError

__all__ = ["in_order"]

T = TypeVar("T")


def in_order(share: Callable[[int, int], Iterator[T]], workers: int) -> Iterator[T]:
    """The results of `share(0, 1)`, made by `workers` processes: worker w makes every `workers`-th one, `share(w, workers)`.

    `share` is pickled (a function of a module, or a partial of one). Workers run ahead by what their pipes hold, a few
    dozen kB. However this ends (the iterator closed, Ctrl-C, an error of a worker, which is raised here), they are gone.
    """
    if workers < 1:
        raise KasError(f"workers must be at least 1, not {workers}")
    if workers == 1:
        yield from share(0, 1)
        return
    context = get_context("spawn")
    pipes, processes = [], []
    try:
        with _interrupts_ignored():  # the workers inherit it: Ctrl-C is for this process
            for number in range(workers):
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(share, number, workers, theirs), daemon=True)
                process.start()
                theirs.close()
                pipes.append(ours)
                processes.append(process)
        for pipe in cycle(pipes):
            kind, value = _receive(pipe)
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        for process in processes:
            process.terminate()
        for process, pipe in zip(processes, pipes, strict=False):
            process.join()
            pipe.close()


def _work(share: Callable[[int, int], Iterator[Any]], number: int, workers: int, pipe: Connection) -> None:
    """The main function of a worker."""
    try:
        for item in share(number, workers):
            pipe.send(("item", item))
        pipe.send(("end", None))
    except BrokenPipeError:  # nobody reads any more
        return
    except Exception as error:
        pipe.send(("error", error))


def _receive(pipe: Connection) -> tuple[str, Any]:
    try:
        message: tuple[str, Any] = pipe.recv()
    except EOFError:
        raise KasError("a worker process ended early (killed, or out of memory); try again with fewer workers") from None
    return message


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Ignore SIGINT meanwhile. Does nothing outside the main thread, where it cannot be."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.SIG_DFL)
