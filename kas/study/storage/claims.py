"""Work that one worker does for a whole study: training the original, re-measuring the front, a promotion.

It takes minutes, so it cannot happen inside the study's lock. Instead a worker writes its name into a study attribute
(inside the lock, after a look at who else is there), gives signs of life in it, and clears it when the work is done. A
claim whose process is gone, by the rules of `kas.study.storage.liveness`, is taken over at once, or on another machine when its
counter has stood still for the grace period. The work itself must go on from where a killed process left it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import optuna

from kas.reporting import stored
from kas.study.storage.liveness import Beat, Watch, is_alive, this_process
from kas.study.storage.mutex import StudyMutex
from kas.study.storage.opening import GRACE_S, HEARTBEAT_S

__all__ = ["Claims"]

T = TypeVar("T")


class Claims:
    """The claims of one study. heartbeat_s, grace_s: as for trials."""

    def __init__(
        self, study: optuna.Study, mutex: StudyMutex, *, heartbeat_s: float = HEARTBEAT_S, grace_s: float = GRACE_S
    ) -> None:
        self._study = study
        self._mutex = mutex
        self._heartbeat_s = heartbeat_s
        self._watch = Watch(grace_s)

    def do(self, name: str, work: Callable[[], T], wait: Callable[[], None]) -> T:
        """Do `work` when nobody else does work of this `name`; until then call `wait` (which sleeps) again and again.

        `work` looks first whether there is anything left to do: whoever waited comes after somebody who did it.
        """
        while not self._take(_key(name)):
            wait()
        return self._hold(_key(name), work)

    def attempt(self, name: str, work: Callable[[], object]) -> bool:
        """Do `work` as `do` does, unless somebody else does work of this `name`; whether it was done here."""
        if not self._take(_key(name)):
            return False
        self._hold(_key(name), work)
        return True

    def _hold(self, key: str, work: Callable[[], T]) -> T:
        owner = this_process()
        try:
            with Beat(lambda: self._beat(key, owner), self._heartbeat_s):
                return work()
        finally:
            with self._mutex.hold():
                if self._is(key, owner):
                    self._study.set_user_attr(key, None)

    def _take(self, key: str) -> bool:
        with self._mutex.hold():
            claim = stored.attribute(self._study, key)
            if claim is not None and not self._is_dead(key, claim):
                return False
            self._study.set_user_attr(key, {"owner": this_process(), "beat": 0})
            return True

    def _is_dead(self, key: str, claim: dict[str, Any]) -> bool:
        alive = is_alive(claim["owner"])
        return self._watch.stands_still(key, claim) if alive is None else not alive

    def _is(self, key: str, owner: object) -> bool:
        claim = stored.attribute(self._study, key)
        return claim is not None and claim.get("owner") == owner

    def _beat(self, key: str, owner: object) -> None:
        with self._mutex.hold():
            claim = stored.attribute(self._study, key)
            if claim is not None and claim.get("owner") == owner:
                self._study.set_user_attr(key, {**claim, "beat": claim["beat"] + 1})


def _key(name: str) -> str:
    return f"kas.claim.{name}"
