"""What a running study shows: a line for each trial, a live line for the current one, the front at the end.

In a terminal the current trial and a bar with the time left stand below the lines; elsewhere (a pipe, a log) there are
only plain lines.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from kas.reporting import wording
from kas.reporting.metric import Metric
from kas.reporting.naming import kernel_name
from kas.study.display.events import Silent, StudyStarted, StudySummary
from kas.study.display.lines import by_fields, make_console, wrapped
from kas.study.display.overview import ACCURACY, STACKED, beats, elsewhere, front_table, notes
from kas.study.storage import records
from kas.study.storage.files import StudyFolder
from kas.study.storage.records import Reference, TrialRecord

__all__ = ["Terminal", "remaining_s", "trial_line"]

_MEMBERS = 6  # of the front, that stand below the lines at most
_LINES_AROUND = 14  # that the rest of the screen takes: the current trial, the bar, the head, the last trials
_LINES_STACKED = 4  # of a kernel, where it takes several
_STYLES = {"ok": "green", "error": "bold red", "duplicate": "dim"}


def trial_line(
    record: TrialRecord, reference: Reference | None, cost: str, *, own: bool = True, metric: Metric = ACCURACY
) -> Text:
    """One ended trial: number, outcome, kernel, accuracy, cost against the original, or the reason."""
    outcome = record.outcome or "cut off"
    line = Text(f"trial {record.number:>4}  ")
    line.append(f"{outcome:<13}", style=_STYLES.get(outcome, "yellow"))
    line.append(f" {kernel_name(record.hash):<12}  ")
    if outcome == "ok":
        gain = None if reference is None or record.accuracy is None else record.accuracy - reference.accuracy
        line.append(f"{metric.name} {metric.text(record.accuracy):>7} ({metric.difference(gain)})  ")
        line.append(_cost(record, cost), style="bold green" if beats(record, reference, metric) else "")
    else:
        line.append(_first_line(record.reason or ""))
    if record.retry_of is not None:
        line.append(f"  (goes on from trial {record.retry_of})", style="dim")
    if not own:
        line.append("  [other worker]", style="dim")
    return line


def _cost(record: TrialRecord, cost: str) -> str:
    if cost == "latency" and record.latency_ms is not None:
        against = "" if record.original_latency_ms is None else f" against {wording.milliseconds(record.original_latency_ms)}"
        return f"latency {wording.milliseconds(record.latency_ms)}{against}: {wording.speedup(record.speedup)} as fast"
    return f"{cost} {record.cost:.2f}× the original's" if record.cost is not None else ""


def _first_line(text: str) -> str:
    return next(iter(text.strip().splitlines()), "")


def no_better_than_constant(metric: Metric, who: str) -> str:
    """The sentence for networks that have learned nothing."""
    return (
        f"{who} no better than a constant answer ({metric.name} {metric.text(metric.constant)}): such a comparison says "
        f"nothing; train longer, look at data and targets, or choose another training.metric"
    )


def remaining_s(seconds: float, done: int, left: int) -> float | None:
    """The time left, in seconds, if the trials that are left take as long as those done so far; None if none is done."""
    return seconds / done * left if done > 0 else None


class Terminal(Silent):
    """The listener that shows a study to a person. `clock`: seconds, for tests."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.console = console or make_console()
        self._clock = clock
        self._live: Live | None = None
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=30), MofNCompleteColumn(), TextColumn("{task.fields[left]}")
        )
        self._task = self._bar.add_task("trials", total=1, left="")
        self._study: StudyStarted | None = None
        self._reference: Reference | None = None
        self._begun = clock()
        self._finished_here = 0
        self._current = ""
        self._ended: list[TrialRecord] = []

    def study_started(self, event: StudyStarted) -> None:
        """Show what is run and where, and start the live line."""
        self._study = event
        self._begun = self._clock()
        self._ended = list(event.front)
        had = f", {event.finished} of them finished" if event.finished else ""
        self._print(f"study {event.name}: {event.wanted} trials{had}, on {event.device}, cost: {event.cost}")
        self._print(f"files {event.folder}   trials in {event.storage}")
        if event.replaced:
            self._print(f"replaces {event.replaced}")
        self._bar.update(self._task, total=event.wanted, completed=event.finished)
        if self.console.is_terminal and self._live is None:
            self._live = Live(console=self.console, get_renderable=self._below, refresh_per_second=4, transient=True)
            self._live.start(refresh=True)  # what is printed next goes above a frame that is there

    def reference_ready(self, reference: Reference) -> None:
        """Show the original's numbers; the trials' time begins."""
        self._reference = reference
        self._current = ""
        latency = "" if reference.latency_ms is None else f", latency {wording.milliseconds(reference.latency_ms)}"
        self._print(
            f"original: {self._metric.name} {self._metric.text(reference.accuracy)}{latency}, "
            f"{wording.count(reference.macs)} MACs in the layers to replace, on {reference.device}"
        )
        if self._metric.is_constant(reference.accuracy):
            self._print(no_better_than_constant(self._metric, "the original network is"))
        self._begun = self._clock()

    def trial_started(self, number: int, retry_of: int | None) -> None:
        """Show the trial in the live line."""
        self._current = f"trial {number}"
        if retry_of is not None:
            self._print(f"trial {number:>4}  goes on where trial {retry_of} was cut off")

    def stage(self, number: int | None, name: str, detail: str = "") -> None:
        """Show the stage in the live line; the reference's training, which takes a while, also as a plain line."""
        self._current = f"{_whose(number)}: {name}{f' ({detail})' if detail else ''}"
        if number is None and name == "training" and self._live is None:
            self._print("original: training ...")

    def epoch(self, number: int | None, epoch: int, epochs: int, accuracy: float | None) -> None:
        """Show the epoch in the live line."""
        reached = "" if accuracy is None else f", {self._metric.name} {self._metric.text(accuracy)}"
        self._current = f"{_whose(number)}: training, epoch {epoch} of {epochs}{reached}"

    def trial_finished(self, record: TrialRecord, finished: int, wanted: int, own: bool) -> None:
        """A line for the trial, with how far the study is and the time left."""
        self._finished_here += record.is_finished
        self._ended.append(record)
        left = self._left(finished, wanted)
        self._bar.update(self._task, total=wanted, completed=finished, left=left)
        self._current = "" if own else self._current
        cost = self._study.cost if self._study else "latency"
        line = trial_line(record, self._reference, cost, own=own, metric=self._metric)
        if self._live is None:
            line.append(f"  [{finished}/{wanted}{', ' + left if left else ''}]")
        self._print(line)

    def message(self, text: str) -> None:
        """A line."""
        self._print(text)

    def study_finished(self, summary: StudySummary) -> None:
        """End the live line; show the front and where the files are, or how to go on."""
        self.close()
        cost = self._study.cost if self._study else "latency"
        self._print("")
        self._print(f"{summary.finished} of {summary.wanted} trials are finished")
        if summary.reference is not None:
            self._print("Pareto front, the original first" if summary.front else "no kernel is on the front yet")
            table = front_table(
                summary.reference, summary.front, cost, list(summary.runtimes), self.console.width, summary.metric
            )
            self._print(table)
            for line in notes(summary.reference, summary.front, cost, summary.runtimes, self.console.width, summary.metric):
                self._print(line)
        folder = StudyFolder(summary.folder)
        better = [record for record in summary.front if beats(record, summary.reference, summary.metric)]
        reached = [one.accuracy for one in (summary.reference, *summary.front) if one is not None]
        if summary.front and all(map(summary.metric.is_constant, reached)):
            self._print(no_better_than_constant(summary.metric, "the original and every kernel of the front are"))
        elif better:
            self._print(_best(better, summary.metric))
        for name, path in (("kernels", folder.kernels), ("log", folder.log)):
            if Path(path).exists():
                self._print(f"{name:<8} {path}")
        if summary.reason:
            self._print(summary.reason)

    @property
    def _metric(self) -> Metric:
        return self._study.metric if self._study else ACCURACY

    def close(self) -> None:
        """End the live line; harmless if there is none."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _left(self, finished: int, wanted: int) -> str:
        seconds = remaining_s(self._clock() - self._begun, self._finished_here, max(0, wanted - finished))
        return "" if seconds is None or finished >= wanted else f"about {wording.duration(seconds)} left"

    def _below(self) -> Table:
        """The current trial, the bar, the best kernel so far, and of the front as much as has room."""
        grid = Table.grid()
        grid.add_row(Text(self._current or "waiting", style="cyan", no_wrap=True, overflow="ellipsis"))
        grid.add_row(self._bar)
        if self._study is None or self._reference is None:
            return grid
        front = records.front(self._ended, self._metric.direction)
        better = [record for record in front if beats(record, self._reference, self._metric)]
        grid.add_row(
            Text(wrapped(_best(better, self._metric), self.console.width) if better else "no kernel beats the original yet")
        )
        lines = _LINES_STACKED if self.console.width < STACKED else 1
        shown = front[: max(0, min(_MEMBERS, (self.console.height - _LINES_AROUND) // lines))]
        if shown:
            grid.add_row(front_table(self._reference, shown, self._study.cost, width=self.console.width, metric=self._metric))
        if left := len(front) - len(shown):
            grid.add_row(Text(f"and {left} more on the front"))
        return grid

    def _print(self, item: str | Text | Table) -> None:
        # Text, not markup: an error message may hold square brackets.
        if isinstance(item, str) and self.console.is_terminal:
            item = wrapped(item, self.console.width)
        elif isinstance(item, Text) and self.console.is_terminal:
            item = by_fields(item, self.console.width)
        self.console.print(Text(item) if isinstance(item, str) else item)


def _best(better: Sequence[TrialRecord], metric: Metric) -> str:
    """The fastest of the kernels that beat the original, in words."""
    best = max(better, key=lambda record: (record.speedup or 0, -(record.cost or 0)))
    gain = f"{wording.speedup(best.speedup)} as fast" if best.speedup else f"{best.cost or 0:.2f}× the work"
    others = f"; {others}" if (others := elsewhere(best)) else ""
    return f"best {metric.within} of the original: {kernel_name(best.hash)} ({gain}{others})"


def _whose(number: int | None) -> str:
    return "original" if number is None else f"trial {number}"
