"""What a promotion shows: a line for each training, and the table with error bars at the end (no torch)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console
from rich.status import Status
from rich.text import Text

from kas.reporting import wording
from kas.reporting.errorbars import mean_and_sd, paired_difference
from kas.reporting.metric import Metric
from kas.reporting.naming import kernel_name
from kas.study.display.events import Listener, Silent
from kas.study.display.lines import wrapped
from kas.study.display.overview import ACCURACY
from kas.study.storage import records
from kas.study.storage.promotions import ORIGINAL, Promotion, promotions
from kas.study.storage.status import runtime_name
from kas.zoo.matching import name_of

if TYPE_CHECKING:
    import optuna
    from rich.table import Table

__all__ = [
    "PromotionListener",
    "PromotionTerminal",
    "Standing",
    "all_standings",
    "promotion_table",
    "speedups",
    "standings",
]

_WIDE = 100  # columns from which the table has parameters and MACs


@dataclass(frozen=True)
class Standing:
    """What the seeds of one network have come to.

    kernel: its hash, or "original". name: of a known kernel. seeds: those with a result, in the order of `validation` and
    `test`. mean, sd: of the test score. difference: to the original, mean over the seeds that both have, low and high its
    95 % confidence interval. macs, params: of what replaces the convolutions. speedup: by runtime, original over kernel.
    failed: why a seed came to nothing.
    """

    kernel: str
    name: str | None
    epochs: int
    seeds: tuple[int, ...]
    validation: tuple[float, ...]
    test: tuple[float, ...]
    mean: float | None
    sd: float | None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    macs: int | None = None
    params: int | None = None
    speedup: Mapping[str, float] = field(default_factory=dict)
    failed: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)


def standings(
    results: Sequence[Promotion], kernels: Sequence[str], epochs: int, speedups: Mapping[str, Mapping[str, float]]
) -> list[Standing]:
    """The original, then `kernels`, each over all of its seeds on the schedule of `epochs`. speedups: by hash and runtime."""
    schedule = [one for one in results if one.epochs == epochs]
    original = {one.seed: one.test for one in schedule if one.kernel == ORIGINAL and one.test is not None}
    return [_standing(schedule, key, epochs, original, speedups.get(key, {})) for key in (ORIGINAL, *kernels)]


def _standing(
    schedule: Sequence[Promotion], key: str, epochs: int, original: Mapping[int, float], speedup: Mapping[str, float]
) -> Standing:
    own = [one for one in schedule if one.kernel == key]
    done = [one for one in own if one.test is not None and one.validation is not None]
    tests = {one.seed: float(one.test or 0.0) for one in done}
    mean, sd = mean_and_sd(list(tests.values()))
    pairs = [(tests[seed], original[seed]) for seed in tests if seed in original]
    difference = None if key == ORIGINAL else paired_difference(pairs)
    return Standing(
        kernel=key,
        name=None if key == ORIGINAL else name_of(key),
        epochs=epochs,
        seeds=tuple(tests),
        validation=tuple(float(one.validation or 0.0) for one in done),
        test=tuple(tests.values()),
        mean=mean,
        sd=sd,
        difference=None if difference is None else difference.mean,
        difference_low=None if difference is None else difference.low,
        difference_high=None if difference is None else difference.high,
        macs=own[0].macs if own else None,
        params=own[0].params if own else None,
        speedup=dict(speedup),
        failed=tuple(f"seed {one.seed}: {one.reason}" for one in own if one.reason is not None),
    )


def all_standings(study: optuna.Study) -> list[Standing]:
    """Everything that has been promoted: for each schedule, the shortest first, the original and its kernels."""
    results, found = promotions(study), []
    for epochs in sorted({one.epochs for one in results}):
        kernels = list(dict.fromkeys(one.kernel for one in results if one.epochs == epochs and one.kernel != ORIGINAL))
        found += standings(results, kernels, epochs, speedups(study, kernels))
    return found


def speedups(study: optuna.Study, kernels: Sequence[str]) -> dict[str, dict[str, float]]:
    """How much faster the deployed network is with each kernel, by runtime, the study's own first; as measured so far."""
    own = runtime_name(study)
    found: dict[str, dict[str, float]] = {key: {} for key in kernels}
    for record in records.read(study):
        if record.hash in found:
            measured = {own: record.speedup, **{name: one.get("speedup") for name, one in record.runtimes.items()}}
            found[record.hash] |= {name: value for name, value in measured.items() if value is not None}
    return found


def promotion_table(rows: Sequence[Standing], metric: Metric, runtimes: Sequence[str], width: int) -> Table:
    """The standings as a table of at most `width` columns (80 or more); from 100 on with parameters and MACs.

    Behind ± is the standard deviation of the test score, and half of the 95 % interval of the difference, both
    in points of a share.
    """
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("kernel", overflow="fold", max_width=23)
    table.add_column("n", justify="right", no_wrap=True)
    for name in (f"test\n{metric.name}", "to original"):
        table.add_column(name, justify="right", no_wrap=True)
    counts = ("params", "MACs") if width >= _WIDE else ()
    for name in (*counts, *runtimes):
        table.add_column(name.replace("onnxruntime", "onnx-\nruntime"), justify="right", no_wrap=True)
    for row in rows:
        numbers = {"params": wording.count(row.params), "MACs": wording.count(row.macs)}
        table.add_row(
            kernel_name(row.kernel),
            str(len(row.seeds)),
            _with_bar(metric.text(row.mean), row.sd, metric),
            _difference(row, metric),
            *(numbers[name] for name in counts),
            *(wording.speedup(1.0 if row.kernel == ORIGINAL else row.speedup.get(name)) for name in runtimes),
            end_section=row.kernel == ORIGINAL,
        )
    return table


def _with_bar(text: str, half: float | None, metric: Metric) -> str:
    """A value (or difference) with ± behind it, `97.8 ± 0.4 %`."""
    if half is None:
        return text
    if not metric.share:
        return f"{text} ± {half:.2g}"
    number, unit = text.rsplit(" ", 1)
    return f"{number} ± {100 * half:.1f} {unit}"


def _difference(row: Standing, metric: Metric) -> str:
    if row.difference is None:
        return "" if row.kernel == ORIGINAL else wording.NOTHING
    half = None if row.difference_high is None else row.difference_high - row.difference
    return _with_bar(metric.difference(row.difference).replace("points", "pt"), half, metric).removesuffix(" pt")


class PromotionListener(Listener, Protocol):
    """Events of one worker of a promotion, from its main thread. None may raise."""

    def promotion_started(self, summary: str) -> None:
        """The trainings are known; what they are, in one line."""

    def unit_started(self, kernel: str, seed: int) -> None:
        """The training of a kernel (or "original") from a seed begins, or goes on."""

    def unit_epoch(self, kernel: str, seed: int, epoch: int, epochs: int, accuracy: float) -> None:
        """An epoch (from 1) is done."""

    def unit_finished(self, result: Promotion) -> None:
        """A training is done and tested, or failed."""


class PromotionTerminal(Silent):
    """Shows a promotion to a person: a line for each training; in a terminal also the running epoch, below the lines."""

    def __init__(self, console: Console, metric: Metric = ACCURACY) -> None:
        self.console, self._metric = console, metric
        self._status: Status | None = None

    def promotion_started(self, summary: str) -> None:
        """A line."""
        self.message(summary)

    def unit_started(self, kernel: str, seed: int) -> None:
        """Show it."""
        self._below(f"{kernel_name(kernel)}, seed {seed}: training ...")

    def unit_epoch(self, kernel: str, seed: int, epoch: int, epochs: int, accuracy: float) -> None:
        """Show it."""
        self._below(f"{kernel_name(kernel)}, seed {seed}: epoch {epoch} of {epochs}, validation {self._metric.text(accuracy)}")

    def stage(self, number: int | None, name: str, detail: str = "") -> None:
        """Show what is measured."""
        self._below(f"{name} {detail}")

    def unit_finished(self, result: Promotion) -> None:
        """A line."""
        scores = f"validation {self._metric.text(result.validation):>7}   test {self._metric.text(result.test):>7}"
        said = scores if result.reason is None else f"failed: {result.reason}"
        self.message(f"{kernel_name(result.kernel):<16}  seed {result.seed}  {said}  ({wording.duration(result.seconds)})")

    def message(self, text: str) -> None:
        """A line."""
        self.console.print(Text(wrapped(text, self.console.width) if self.console.is_terminal else text))

    def close(self) -> None:
        """End the live line; harmless if there is none."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _below(self, text: str) -> None:
        if not self.console.is_terminal:
            return
        if self._status is None:
            self._status = self.console.status(Text(text))
            self._status.start()
        self._status.update(Text(text))
