"""What a running study tells whoever shows it: a terminal, a log, a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from kas.reporting.metric import Metric
from kas.study.storage.records import Reference, TrialRecord

__all__ = ["Listener", "Silent", "StudyStarted", "StudySummary"]


@dataclass(frozen=True)
class StudyStarted:
    """A worker takes part in a study. storage: its URL without the password. cost: `latency` or `work`.

    replaced: what is replaced in the network as deployed, in words. metric: the first objective. front: the kernels of
    the front so far.
    """

    name: str
    folder: Path
    storage: str
    wanted: int
    finished: int
    device: str
    cost: str
    epochs: int
    workers: int = 1
    replaced: str = ""
    metric: Metric = field(default_factory=Metric)
    front: Sequence[TrialRecord] = ()


@dataclass(frozen=True)
class StudySummary:
    """A study that has come to an end (or was interrupted). reason: why it ended early, for exit codes other than 0.

    runtimes: those that the front was measured in, the study's own first, with what is known of each.
    """

    name: str
    folder: Path
    storage: str
    wanted: int
    finished: int
    reference: Reference | None
    records: Sequence[TrialRecord]
    front: Sequence[TrialRecord]
    exit_code: int
    reason: str | None = None
    runtimes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    metric: Metric = field(default_factory=Metric)


class Listener(Protocol):
    """Events of one worker, in the order in which they happen, from its main thread. None may raise."""

    def study_started(self, event: StudyStarted) -> None:
        """The study is open."""

    def reference_ready(self, reference: Reference) -> None:
        """The original is trained and timed, now or earlier."""

    def trial_started(self, number: int, retry_of: int | None) -> None:
        """A trial of this worker begins; `retry_of` is the trial that it goes on from, if any."""

    def stage(self, number: int | None, name: str, detail: str = "") -> None:
        """A trial (None: the reference) enters a stage: `kernel`, `solve`, `build`, `health`, `latency`, `training`."""

    def epoch(self, number: int | None, epoch: int, epochs: int, accuracy: float | None) -> None:
        """An epoch (from 1) of a trial's (None: of the reference's) training is done."""

    def alive(self) -> None:
        """A batch is done, or a second of waiting for a lock, the database or other workers: the worker does not hang."""

    def trial_finished(self, record: TrialRecord, finished: int, wanted: int, own: bool) -> None:
        """A trial has ended, of this worker (`own`) or of another that shares the study."""

    def study_finished(self, summary: StudySummary) -> None:
        """This worker is done with the study."""

    def message(self, text: str) -> None:
        """Something worth a line, in plain words."""


class Silent:
    """A listener that shows nothing; the base of those that show something."""

    def study_started(self, event: StudyStarted) -> None:
        """Nothing."""

    def reference_ready(self, reference: Reference) -> None:
        """Nothing."""

    def trial_started(self, number: int, retry_of: int | None) -> None:
        """Nothing."""

    def stage(self, number: int | None, name: str, detail: str = "") -> None:
        """Nothing."""

    def epoch(self, number: int | None, epoch: int, epochs: int, accuracy: float | None) -> None:
        """Nothing."""

    def alive(self) -> None:
        """Nothing."""

    def trial_finished(self, record: TrialRecord, finished: int, wanted: int, own: bool) -> None:
        """Nothing."""

    def study_finished(self, summary: StudySummary) -> None:
        """Nothing."""

    def message(self, text: str) -> None:
        """Nothing."""
