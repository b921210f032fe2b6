"""Handing out the trials of a study to any number of workers, so that none is lost, done twice, or one too many.

All decisions are taken inside the study's lock (`kas.study.storage.mutex`) on everything that is stored, and written before it
is let go. Nothing is kept in memory: a worker that is killed between any two writes leaves a state that the next decision
repairs. The rules:

* **A slot**: a trial starts only while `finished + running < wanted`. A running trial becomes at most one finished one,
  so their sum never exceeds the wanted number; dead, erroneous and duplicate trials give their slot back.
* **An owner before it runs**: a trial is created (or found) WAITING, gets its owner and first heartbeat, then runs. So a
  RUNNING trial of ours always has an owner; killed earlier, it still waits and is simply taken by the next worker. RUNNING
  rows without an owner belong to somebody else's program: they are neither counted nor touched.
* **Dead trials** (RUNNING, the owner gone) become FAIL with `died`, and a WAITING retry with the same parameters and
  program and `retry_of` takes their place. Both are derived: a FAIL row without an outcome that no row names in
  `retry_of` needs a retry, whether its worker was killed, the requeuing worker was, or somebody failed it by hand.
  Retries are taken before anything else that waits.
* **A recorded outcome is kept**: attributes are written before the state, `outcome` last; a trial that died in between is
  finished from its record instead of being retried.
* **Broken trials** (an attribute is not as kas writes it, `kas.reporting.stored`) count nowhere and are not touched.
* **A kernel belongs to one trial**: the hash is looked up and claimed in one step. It is held by a trial that runs, by
  one that finished with an outcome other than `duplicate` or `error`, and by a retry that waits. So the holder's retry
  goes on where a holder died, and a kernel that met an error may be tried again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from kas.reporting import stored
from kas.study import attributes as keys
from kas.study.attributes import Outcome
from kas.study.storage.liveness import Beat, Watch, is_alive, this_process
from kas.study.storage.mutex import StudyMutex, exclusive
from kas.study.storage.opening import GRACE_S, HEARTBEAT_S
from kas.study.storage.recording import record

__all__ = ["Nothing", "TrialQueue"]

MAX_DEATHS = 8  # a kernel whose process died so often is what kills it
_BEAT = "kas:beat"


class Nothing(Enum):
    """Why no trial was started: WAIT while others may still fail to fill the last slots, DONE when all are finished."""

    WAIT = "wait"
    DONE = "done"


class TrialQueue:
    """The trials of one study, as one worker sees them; see the module for the rules.

    study, storage: opened with `open_storage`; mutex: of the same study, from `open_mutex`.
    wanted: the number of finished trials that the study shall have, unless the study itself says (`kas.trials`).
    heartbeat_s, grace_s: how often to give a sign of life, and after how long without one a trial of another machine is dead.
    """

    def __init__(
        self,
        study: optuna.Study,
        storage: BaseStorage,
        mutex: StudyMutex,
        *,
        wanted: int,
        heartbeat_s: float = HEARTBEAT_S,
        grace_s: float = GRACE_S,
    ) -> None:
        self.study = study
        self.storage = storage
        self.mutex = mutex
        self._wanted = wanted
        self._heartbeat_s = heartbeat_s
        self._watch = Watch(grace_s)
        self._study_id = storage.get_study_id_from_name(study.study_name)
        self._beats = 0
        self._starting: int | None = None

    @property
    def wanted(self) -> int:
        """The wanted number of finished trials, as the study says now: another terminal may have raised it."""
        return int(stored.attribute(self.study, keys.TRIALS) or self._wanted)

    def start(self) -> optuna.Trial | Nothing:
        """Requeue what died, then take a slot and start a trial in it: a retry, else what waits, else a new one."""
        self._starting = None
        found = self._start()
        return found if isinstance(found, Nothing) else optuna.Trial(self.study, found)

    @exclusive
    def _start(self) -> int | Nothing:
        """The id of a trial that now runs and is ours."""
        if self._starting is not None and self._is_ours(self._starting):  # done, and the answer was lost
            return self._starting
        trials = self._recover()
        finished = sum(map(keys.is_finished, trials))
        if finished >= self.wanted:
            return Nothing.DONE
        if finished + sum(map(keys.is_running, trials)) >= self.wanted:
            return Nothing.WAIT
        return self._next(trials)

    def _is_ours(self, trial_id: int) -> bool:
        trial = self.storage.get_trial(trial_id)
        return trial.state == TrialState.RUNNING and trial.user_attrs.get(keys.OWNER) == this_process()

    @exclusive
    def recover(self) -> None:
        """Requeue every trial whose process is gone."""
        self._recover()

    @exclusive
    def claim(self, trial: optuna.Trial, key: str, *, program: str, family: str) -> int | None:
        """Claim the kernel with hash `key` for a trial. Returns None if it is granted, else the trial that has it."""
        for other in self._trials():
            if other.number != trial.number and other.user_attrs.get("hash") == key and keys.holds_kernel(other):
                return other.number
        trial.set_user_attr("program", program)
        trial.set_user_attr("family", family)
        trial.set_user_attr("hash", key)
        return None

    @exclusive
    def finish(self, trial: optuna.Trial, outcome: Outcome) -> bool:
        """Record an outcome and end the trial. False if it is not ours any more: somebody else has ended it."""
        outcome = keys.checked(outcome)
        if self.is_lost(trial):  # unless it is done, and the answer was lost
            return self.storage.get_trial(trial._trial_id).user_attrs.get(keys.OUTCOME) == outcome.name
        with suppress(UpdateFinishedTrialError, ValueError):  # a foreign program ended it just now
            record(self.storage, trial._trial_id, outcome)
            self._tell(trial.number, outcome.name, outcome.values)
            return True
        return False

    @exclusive
    def end(self, number: int, outcome: Outcome) -> bool:
        """Record an outcome of a trial that another process runs. False if it does not run any more."""
        trial = next((trial for trial in self._trials() if trial.number == number), None)
        if trial is None or trial.state != TrialState.RUNNING:
            return False
        record(self.storage, trial._trial_id, outcome)
        self._tell(number, outcome.name, outcome.values)
        return True

    @exclusive
    def release(self, trial: optuna.Trial) -> None:
        """Give up a trial that was interrupted, so that whoever comes next goes on from its checkpoint."""
        if not self.is_lost(trial):
            self._end(self.storage.get_trial(trial._trial_id), deaths=0)
        self._retry_all(self._trials())

    def is_lost(self, trial: optuna.Trial) -> bool:
        """Whether somebody else has ended this trial, which we thought to be running."""
        return bool(self.storage.get_trial(trial._trial_id).state != TrialState.RUNNING)

    def beating(self, trial: optuna.Trial) -> Beat:
        """`with queue.beating(trial): ...` gives signs of life for it."""
        return Beat(lambda: self._beat(trial._trial_id), self._heartbeat_s)

    def _trials(self) -> list[FrozenTrial]:
        return stored.trials(self.study)

    def _next(self, trials: Sequence[FrozenTrial]) -> int:
        """The id of a trial that now runs and is ours."""
        waiting = [trial for trial in trials if trial.state == TrialState.WAITING]
        waiting.sort(key=lambda trial: (keys.RETRY_OF not in trial.user_attrs, trial.number))
        for trial in waiting:
            with suppress(UpdateFinishedTrialError):
                if self._take(trial._trial_id):
                    return trial._trial_id
        while True:
            trial_id = self.storage.create_new_trial(self._study_id, create_trial(state=TrialState.WAITING))
            if self._take(trial_id):  # always, unless a foreign program takes what waits without the lock
                return trial_id

    def _take(self, trial_id: int) -> bool:
        self.storage.set_trial_user_attr(trial_id, keys.OWNER, this_process())
        self._beat(trial_id)
        self._starting = trial_id
        return self.storage.set_trial_state_values(trial_id, TrialState.RUNNING)

    def _beat(self, trial_id: int) -> None:
        self._beats += 1
        self.storage.set_trial_system_attr(trial_id, _BEAT, self._beats)

    def _recover(self) -> list[FrozenTrial]:
        """Inside the lock: end what died, enqueue its retries; returns all trials as they are then."""
        trials = self._trials()
        dead = self._dead([trial for trial in trials if keys.is_running(trial)])
        for trial in dead:
            self._end(trial, deaths=int(trial.user_attrs.get(keys.DEATHS, 0)) + 1)
        retried = self._retry_all(self._trials() if dead else trials)
        return self._trials() if dead or retried else trials

    def _dead(self, running: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        lives = {trial.number: is_alive(trial.user_attrs[keys.OWNER]) for trial in running}
        unseen = [trial for trial in running if lives[trial.number] is None]
        if time.monotonic() - self.mutex.outages.back_at < self._watch.grace_s:  # nobody could beat for a while
            unseen = []
        stale = {t._trial_id for t in unseen if self._watch.stands_still(t._trial_id, t.system_attrs.get(_BEAT))}
        return [t for t in running if lives[t.number] is False or (lives[t.number] is None and t._trial_id in stale)]

    def _end(self, trial: FrozenTrial, deaths: int) -> None:
        """End a trial that was cut off: as it is recorded, if its outcome is, or so that it gets a retry."""
        with suppress(UpdateFinishedTrialError, ValueError):  # a foreign program ended it just now
            if keys.OUTCOME in trial.user_attrs:
                self._tell(trial.number, trial.user_attrs[keys.OUTCOME], trial.user_attrs.get(keys.VALUES))
            else:
                self._fail(trial._trial_id, deaths)

    def _fail(self, trial_id: int, deaths: int) -> None:
        """Fail a trial that was cut off. One that kills its process again and again is an error instead of a retry."""
        self.storage.set_trial_user_attr(trial_id, keys.DIED, True)
        self.storage.set_trial_user_attr(trial_id, keys.DEATHS, deaths)
        if deaths >= MAX_DEATHS:
            reason = f"the process that ran it died {deaths} times"
            self.storage.set_trial_user_attr(trial_id, keys.REASON, reason)
            self.storage.set_trial_user_attr(trial_id, keys.OUTCOME, "error")
        self.storage.set_trial_state_values(trial_id, TrialState.FAIL)

    def _retry_all(self, trials: Sequence[FrozenTrial]) -> int:
        """Enqueue the retry of every trial that was cut off and has none. Returns how many."""
        retried = {trial.user_attrs.get(keys.RETRY_OF) for trial in trials}
        lacking = [trial for trial in trials if keys.is_cut_off(trial) and trial.number not in retried]
        retries = [retry for trial in lacking if (retry := keys.retry_of(trial)) is not None]
        for retry in retries:
            self.storage.create_new_trial(self._study_id, retry)
        return len(retries)

    def _tell(self, number: int, outcome: str, values: Sequence[float] | None) -> None:
        if outcome == "ok":
            self.study.tell(number, values=values, state=TrialState.COMPLETE)
        else:
            self.study.tell(number, state=TrialState.FAIL if outcome == "error" else TrialState.PRUNED)
