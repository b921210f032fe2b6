"""What a run shows: plain lines without a terminal, a live line in one, the front with the original first."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from kas.reporting.metric import Metric
from kas.study.display.events import StudyStarted, StudySummary
from kas.study.display.lines import by_fields
from kas.study.display.overview import beats
from kas.study.display.progress import Terminal, remaining_s, trial_line
from kas.study.storage.records import Reference, TrialRecord

REFERENCE = Reference(accuracy=0.95, latency_ms=10.0, macs=1_000_000, params=5000, work=1e6, device="cpu", epochs=3)
OK = TrialRecord(
    number=3,
    state="COMPLETE",
    outcome="ok",
    hash="0123456789abcdef",
    accuracy=0.94,
    cost=0.5,
    latency_ms=5.0,
    original_latency_ms=10.0,
    ratio=0.5,
    ratio_low=0.48,
    ratio_high=0.52,
    speedup=2.0,
    macs=300_000,
    params=1000,
)
SLOW = TrialRecord(number=4, state="PRUNED", outcome="too_slow", reason="2.1 times the original [eager]", hash="fedc" * 4)


def started(folder: Path, finished: int = 0, cost: str = "latency") -> StudyStarted:
    return StudyStarted("demo", folder, "sqlite:///study.db", 12, finished, "cpu", cost, epochs=3)


def ended(folder: Path, *front: TrialRecord, code: int = 0, reason: str | None = None) -> StudySummary:
    return StudySummary("demo", folder, "sqlite:///study.db", 12, 12, REFERENCE, [*front, SLOW], front, code, reason)


class Run:
    """A terminal with a clock that is set by hand."""

    def __init__(self, *, tty: bool = False) -> None:
        self.out = io.StringIO()
        self.now = 0.0
        console = Console(file=self.out, width=140, force_terminal=tty, color_system=None, highlight=False, soft_wrap=True)
        self.terminal = Terminal(console, clock=lambda: self.now)

    @property
    def text(self) -> str:
        return self.out.getvalue()


def test_a_run_without_a_terminal_is_plain_lines(tmp_path: Path) -> None:
    run = Run()
    (tmp_path / "kernels").mkdir()
    run.terminal.study_started(started(tmp_path, finished=2))
    run.terminal.stage(None, "training")
    run.terminal.reference_ready(REFERENCE)
    run.terminal.trial_started(3, None)
    run.terminal.stage(3, "training")
    run.terminal.epoch(3, 1, 3, 0.5)
    run.now = 60.0
    run.terminal.trial_finished(OK, 3, 12, True)
    run.terminal.trial_finished(SLOW, 4, 12, False)
    run.terminal.study_finished(ended(tmp_path, OK))
    lines = run.text.splitlines()
    assert lines[0] == "study demo: 12 trials, 2 of them finished, on cpu, cost: latency"
    assert "original: training ..." in lines
    assert any(line.startswith("original: accuracy 95.0 %, latency 10.0 ms, 1.00 M MACs") for line in lines)
    assert any(
        "trial    3  ok" in line and "94.0 % (−1.0 points)" in line and "latency 5.00 ms against 10.0 ms: 2.00× as fast" in line
        for line in lines
    )
    assert any("[3/12, about 9 min left]" in line for line in lines)
    assert any("too_slow" in line and "[eager]" in line and "[other worker]" in line for line in lines)
    assert "\x1b" not in run.text
    original, kernel = (next(i for i, line in enumerate(lines) if line.startswith(name)) for name in ("original  ", "012345"))
    assert original < kernel
    assert f"best within 2 points of the original: {OK.hash} (2.00× as fast)" in run.text
    assert f"kernels  {tmp_path / 'kernels'}" in run.text
    assert "12 of 12 trials are finished" in run.text


def test_the_best_of_the_winners_is_the_fastest_or_the_one_of_least_work(tmp_path: Path) -> None:
    fast, slow = (replace(OK, hash=name * 16, speedup=s, ratio=1 / s, ratio_high=1 / s) for name, s in (("a", 3.0), ("b", 1.5)))
    least, more = (
        replace(one, speedup=None, ratio=None, ratio_high=None, cost=cost) for one, cost in ((fast, 0.3), (slow, 0.6))
    )
    for front, said in (((fast, slow), "3.00× as fast"), ((slow, fast), "3.00× as fast"), ((more, least), "0.30× the work")):
        run = Run()
        run.terminal.study_started(started(tmp_path))
        run.terminal.study_finished(ended(tmp_path, *front))
        assert f"best within 2 points of the original: {'a' * 16} ({said})" in run.text


def test_a_terminal_has_a_live_line(tmp_path: Path) -> None:
    run = Run(tty=True)
    run.terminal.study_started(started(tmp_path))
    run.terminal.reference_ready(REFERENCE)
    run.terminal.epoch(0, 2, 3, 0.5)
    assert run.terminal._live is not None
    run.terminal._live.refresh()
    assert "trial 0: training, epoch 2 of 3, accuracy 50.0 %" in run.text
    run.terminal.study_finished(ended(tmp_path))
    assert run.terminal._live is None
    run.terminal.close()


def test_analytic_work_shows_no_latency(tmp_path: Path) -> None:
    run = Run()
    record = replace(OK, latency_ms=None, original_latency_ms=None, ratio=None, ratio_low=None, ratio_high=None, speedup=None)
    run.terminal.study_started(started(tmp_path, cost="work"))
    run.terminal.reference_ready(replace(REFERENCE, latency_ms=None))
    run.terminal.trial_finished(record, 1, 12, True)
    run.terminal.study_finished(ended(tmp_path, record))
    assert "work 0.50× the original's" in run.text
    assert " ms" not in run.text


def test_the_end_gives_its_reason(tmp_path: Path) -> None:
    run = Run()
    run.terminal.study_started(started(tmp_path))
    run.terminal.study_finished(ended(tmp_path, code=1, reason="11 trials in a row met an error"))
    assert "no kernel is on the front yet" in run.text
    assert run.text.rstrip().endswith("11 trials in a row met an error")


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (replace(OK, ratio_high=0.99, accuracy=0.93), True),
        (replace(OK, ratio_high=1.01), False),
        (replace(OK, accuracy=0.92), False),
        (replace(OK, ratio_high=None, cost=0.9), True),
        (replace(OK, accuracy=None), False),
    ],
)
def test_beating_the_original(record: TrialRecord, expected: bool) -> None:
    assert beats(record, REFERENCE, Metric()) is expected


def test_a_retry_and_a_cut_off_row_say_so() -> None:
    assert "(goes on from trial 1)" in trial_line(replace(OK, retry_of=1), REFERENCE, "latency").plain
    assert "cut off" in trial_line(replace(SLOW, outcome=None), REFERENCE, "latency").plain


def test_time_left() -> None:
    assert remaining_s(60.0, 3, 6) == 120.0
    assert remaining_s(60.0, 0, 6) is None


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_line_of_a_trial_breaks_between_its_fields(width: int) -> None:
    line = by_fields(trial_line(replace(OK, latency_ms=1234.5, original_latency_ms=15432.1), REFERENCE, "latency"), width)
    assert all(len(part) <= width for part in line.plain.splitlines())
    for whole in ("trial    3", OK.hash, "94.0 % (−1.0 points)", "1234 ms against 15432 ms: 2.00× as fast"):
        assert whole is not None
        assert any(" ".join(whole.split()) in " ".join(part.split()) for part in line.plain.splitlines()), whole


def test_the_front_so_far_stands_below_the_line_of_a_terminal(tmp_path: Path) -> None:
    run = Run(tty=True)
    run.terminal.study_started(started(tmp_path))
    run.terminal.reference_ready(REFERENCE)
    assert "no kernel beats the original yet" in shown_below(run)
    run.terminal.trial_finished(OK, 1, 12, own=True)
    below = shown_below(run)
    assert "best within 2 points of the original: 0123456789abcdef (2.00× as fast)" in below
    assert re.search(r"^0123456789abcdef +3 +94\.0 %", below, re.MULTILINE)
    faster = replace(OK, number=5, hash="ab" * 8, cost=0.25, speedup=4.0, accuracy=0.945)
    run.terminal.trial_finished(faster, 2, 12, own=True)
    assert "0123456789abcdef" not in shown_below(run), "it is dominated now"
    assert "abababababababab (4.00× as fast)" in shown_below(run)
    run.terminal.close()


def shown_below(run: Run) -> str:
    console = Console(file=io.StringIO(), width=140, color_system=None)
    console.print(run.terminal._below())
    return console.file.getvalue()  # type: ignore[attr-defined]
