"""What was rediscovered, as a table for people and as one JSON object for scripts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kas import zoo
from kas.generation.rediscovery import Hit, Source, Tally, interval, upper_bound
from kas.generation.settings import GenerationSettings

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

    from kas.generation.splitting import Estimate

__all__ = ["estimable", "hits_table", "misses_table", "progress_bar", "to_dict"]


def to_dict(tally: Tally, rank: int, estimates: Mapping[str, Estimate], *, independent: bool = True) -> dict[str, Any]:
    """What is known of each known kernel, the ones that came up first; probabilities only for `independent` draws."""
    found = []
    for name, hit in _by_first(tally):
        entry: dict[str, Any] = {"name": name, "steps": _length(name), "first": hit.first, "count": hit.count}
        if independent:
            low, high = interval(hit.count, tally.samples)
            entry |= {"rate": hit.count / tally.samples, "rate_low": low, "rate_high": high}
        found.append({**entry, "program": json.loads(hit.program)})
    missing = []
    for name in _missing(tally, rank):
        entry = {"name": name, "steps": _length(name)}
        if independent:
            entry["rate_high"] = upper_bound(tally.samples) if tally.samples else 1.0
        if (estimate := estimates.get(name)) is not None:
            entry["estimate"] = {key: getattr(estimate, key) for key in ("probability", "error", "steps")}
        missing.append(entry)
    return {"samples": tally.samples, "rank": rank, "found": found, "missing": missing}


def hits_table(tally: Tally, *, independent: bool = True, given: Sequence[str] = ()) -> Table:
    """The known kernels that came up, in the order in which they did. `given`: those that were seeds."""
    first = "after" if independent else "trial"
    table = _table("found", "steps", first, "times", *(["one in", "95 % between"] if independent else []))
    table.add_column("at first as", overflow="fold")
    for name, hit in _by_first(tally):
        cells = [name + (" (seed)" if name in given else ""), str(_length(name)), f"{hit.first:,}", f"{hit.count:,}"]
        if independent:
            low, high = interval(hit.count, tally.samples)
            cells += [_one_in(hit.count / tally.samples), f"{_one_in(high)} and {_one_in(low)}"]
        table.add_row(*cells, " ".join(step["op"] for step in json.loads(hit.program)["steps"]))
    return table


def misses_table(tally: Tally, source: Source, estimates: Mapping[str, Estimate]) -> Table:
    """The known kernels that did not come up, the likeliest first, with what their probability at least is."""
    table = _table("not found", "steps", *(["at least", "+-"] if estimates else []))
    if estimates:
        table.add_column("", no_wrap=True)

    def likely(name: str) -> float:
        return estimates[name].probability if name in estimates else 0.0

    for name in sorted(_missing(tally, source.rank), key=lambda name: -likely(name)):
        cells, estimate = [name, str(_length(name))], estimates.get(name)
        if estimate is not None and estimate.probability:
            cells += [f"{estimate.probability:.1e}", f"{estimate.error:.0e}", f"one in {1 / estimate.probability:.0e}"]
        elif estimates:
            cells += ["-", "", _why(_length(name), source.settings, estimate)]
        table.add_row(*cells)
    return table


def estimable(tally: Tally, source: Source) -> list[str]:
    """The known kernels that did not come up and are of as many steps as programs of the source can have."""
    settings = source.settings
    return [n for n in _missing(tally, source.rank) if settings.min_steps <= _length(n) <= settings.max_steps]


def _why(length: int, settings: GenerationSettings, estimate: Estimate | None) -> str:
    """Why there is no estimate."""
    if length < settings.min_steps:
        return f"programs have at least {settings.min_steps} steps"
    if length > settings.max_steps:
        return f"programs have at most {settings.max_steps} steps"
    return "interrupted" if estimate is None else f"{estimate.steps} of {length} steps drawn"


def _length(name: str) -> int:
    return len(zoo.get(name).steps)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar with the rate and the time left, on stderr, where that is a terminal. Tasks have a field `note`."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        """Finished a second."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.finished_speed or task.speed or 0:,.0f}/s", style="progress.data.speed")

    console, note = Console(stderr=True), TextColumn("{task.fields[note]}")
    columns = (TextColumn("{task.description}"), BarColumn(30), MofNCompleteColumn(), Rate(), TimeRemainingColumn(), note)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress


def _by_first(tally: Tally) -> list[tuple[str, Hit]]:
    return sorted(tally.hits.items(), key=lambda item: item[1].first)


def _missing(tally: Tally, rank: int) -> list[str]:
    return [name for name in zoo.names(rank) if name not in tally.hits]


def _one_in(rate: float) -> str:
    return f"{1 / rate:,.0f}" if rate else "-"


def _table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    return table
