"""A database that does not answer for a while (a restart, a lost network) is waited for; the work goes on where it was.

What a worker asks of its storage is repeated until it is answered, for up to ten minutes. Repeating is safe because:

* a single operation that was done although its answer was lost is the same when it is done again: a read, an attribute, a
  heartbeat; a parameter that is there already is not added again,
* everything else (a trial, its states, the kernels) happens inside the study's lock, which a lost connection lets go: there
  the whole section is repeated under a new lock, not its last step alone. A section leaves a state that the next one
  repairs wherever it was cut off, as it does when its process is killed,
* a section that was held up for long (its process was stopped) has lost its lock to somebody else: before its next
  operation it begins anew.

Only the thread that made the `Outages` waits; heartbeats of other threads fail and are tried again at their next turn.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import wraps
from typing import Any, TypeVar

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, GrpcStorageProxy, RDBStorage

from kas.study.storage.disk import Halted, disk_error

__all__ = ["PATIENCE_S", "SECTION_S", "Outages", "Unreachable"]

PATIENCE_S = 600.0
SECTION_S = 30.0  # a section of the study's lock takes milliseconds; one that took longer may have lost the lock
_POLL_S = 1.0
_OPERATIONS = BaseStorage.__abstractmethods__ | {
    "_create_new_trial", "_get_best_trial_id", "_get_stale_trial_ids", "_get_trials", "_set_trial_param", "record_heartbeat"
}  # fmt: skip
T = TypeVar("T")


class Unreachable(Halted):
    """The database has not answered for as long as one waits."""


class _LockLost(Exception):
    """The section may not be alone any more."""


class Outages:
    """Waits out the outages of one storage.

    say: told when it stops and when it goes on, in words. alive: called about once a second while waiting. patience_s: how
    long; 0 to fail at once.
    """

    def __init__(
        self,
        say: Callable[[str], None] = lambda text: None,
        alive: Callable[[], None] = lambda: None,
        patience_s: float = 0.0,
    ) -> None:
        self._say, self.alive, self._patience_s = say, alive, patience_s
        self._thread = threading.get_ident()
        self._depth = 0
        self._locked_at: float | None = None
        self.reason: Callable[[BaseException], str] = first_line  # an error in words, without a password
        self.back_at = -PATIENCE_S  # when the last outage ended, by the monotonic clock

    def ride(self, call: Callable[[], T]) -> T:
        """The result of `call`, which is repeated while the database does not answer. Inside another one the outer repeats.

        Raises Unreachable when the patience is over.
        """
        if not self._is_ours() or self._patience_s <= 0:
            return call()
        if self._depth > 0:
            if self._locked_at is not None and time.monotonic() - self._locked_at > SECTION_S:
                raise _LockLost
            return call()
        since: float | None = None
        self._depth += 1
        try:
            while True:
                try:
                    result = call()
                except _LockLost:
                    continue
                except Exception as error:
                    if not is_outage(error):
                        raise
                    since = self._wait(since, error)
                    continue
                if since is not None:
                    self.back_at = time.monotonic()
                    self._say(f"the database answers again, after {self.back_at - since:.0f} s")
                return result
        finally:
            self._depth -= 1

    @contextmanager
    def section(self) -> Iterator[None]:
        """Inside the study's lock, which has just been taken."""
        if not self._is_ours():
            yield
            return
        self._locked_at = time.monotonic()
        try:
            yield
        finally:
            self._locked_at = None

    def guard(self, storage: BaseStorage) -> BaseStorage:
        """The storage, each of whose operations rides outages out."""
        inner: Any = getattr(storage, "_backend", storage)
        if isinstance(inner, (RDBStorage, GrpcStorageProxy)) and self._patience_s > 0:
            for name in _OPERATIONS & set(dir(inner)):
                setattr(inner, name, self._riding(getattr(inner, name)))
        return storage

    def _riding(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        from sqlalchemy.exc import IntegrityError

        @wraps(operation)
        def ride(*arguments: Any, **named: Any) -> Any:
            tried = False

            def call() -> Any:
                nonlocal tried
                try:
                    before, tried = tried, True
                    return operation(*arguments, **named)
                except IntegrityError:  # the first try has done it, and its answer was lost
                    if not before:
                        raise

            return self.ride(call)

        return ride

    def _is_ours(self) -> bool:
        return threading.get_ident() == self._thread

    def _wait(self, since: float | None, error: Exception) -> float:
        """Wait a moment; returns since when the database does not answer."""
        now = time.monotonic()
        reason = self.reason(error)
        if since is None:
            minutes = self._patience_s / 60
            self._say(
                f"the database does not answer since {datetime.now():%H:%M:%S}; waiting up to {minutes:.0f} minutes ({reason})"
            )
            since = now
        if now - since > self._patience_s:
            raise Unreachable(
                f"the database has not answered for {now - since:.0f} s: {reason}. What is finished is kept; go on "
                f"with `resume` when it does"
            ) from error
        self.alive()
        try:
            time.sleep(_POLL_S)
        except KeyboardInterrupt:  # the way out does not wait again
            self._patience_s = 1e-9
            raise
        return since


def is_outage(error: BaseException) -> bool:
    """Whether an error says that the database does not answer (now), whoever wrapped it."""
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
    from sqlalchemy.exc import TimeoutError as PoolTimeout

    if isinstance(error, StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if type(error).__module__.startswith("grpc"):
        return getattr(getattr(error, "code", lambda: None)(), "name", None) == "UNAVAILABLE"
    return isinstance(error, (OperationalError, InterfaceError, PoolTimeout)) and disk_error(error) is None


def first_line(error: BaseException) -> str:
    """The first line of the innermost error."""
    while isinstance(error, StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    details = error.details() if type(error).__module__.startswith("grpc") and hasattr(error, "details") else None
    text = str(getattr(error, "orig", None) or details or error).strip()
    return next(iter(text.splitlines()), "") or type(error).__name__
