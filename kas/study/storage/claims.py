"""Work that one worker does for a whole study: training the original, re-measuring the front, a promotion.

It takes minutes, so it cannot happen inside the study's lock. Instead a worker writes its name into a study attribute
(inside the lock, after a look at who else is there), gives signs of life in it, and clears it when the work is done. A
claim whose process is gone, by the rules of `kas.study.storage.liveness`, is taken over at once, or on another machine when its
counter has stood still for the grace period. The work itself must go on from where a killed process left it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, TypeVar

import optuna

from kas.reporting import stored
from kas.study.storage.liveness import Beat, Watch, is_alive, this_process
from kas.study.storage.mutex import StudyMutex, exclusive
from kas.study.storage.opening import GRACE_S, HEARTBEAT_S

__all__ = ["Claims"]

T = TypeVar("T")


class Claims:
    """The claims of one study. heartbeat_s, grace_s: as for trials."""

    def __init__(
        self, study: optuna.Study, mutex: StudyMutex, *, heartbeat_s: float = HEARTBEAT_S, grace_s: float = GRACE_S
    ) -> None:
        self._study = study
        self.mutex = mutex
        self._id = uuid.uuid4().hex
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
        try:
            with Beat(lambda: self._beat(key), self._heartbeat_s):
                return work()
        finally:
            self._let_go(key)

    @exclusive
    def _let_go(self, key: str) -> None:
        if self._is_ours(stored.attribute(self._study, key)):
            self._study.set_user_attr(key, None)

    @exclusive
    def _take(self, key: str) -> bool:
        claim = stored.attribute(self._study, key)
        if claim is not None and not self._is_ours(claim) and not self._is_dead(key, claim):
            return False
        self._study.set_user_attr(key, {"owner": this_process(), "by": self._id, "beat": 0})
        return True

    def _is_dead(self, key: str, claim: dict[str, Any]) -> bool:
        alive = is_alive(claim["owner"])
        return self._watch.stands_still(key, claim) if alive is None else not alive

    def _is_ours(self, claim: dict[str, Any] | None) -> bool:
        return claim is not None and claim.get("by") == self._id

    @exclusive
    def _beat(self, key: str) -> None:
        claim = stored.attribute(self._study, key)
        if claim is not None and self._is_ours(claim):
            self._study.set_user_attr(key, {**claim, "beat": claim["beat"] + 1})


def _key(name: str) -> str:
    return f"kas.claim.{name}"
