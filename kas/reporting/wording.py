"""Numbers as people read them, for the report, the notes and the plots: one place, so that all agree."""

from __future__ import annotations

from collections.abc import Callable, Iterable

__all__ = [
    "NOTHING",
    "accuracy",
    "count",
    "difference",
    "digits_apart",
    "duration",
    "milliseconds",
    "plain",
    "speedup",
    "spread",
]

NOTHING = "–"


def accuracy(value: float | None, share: bool = True, digits: int = 1) -> str:
    """A share of 1 as a percentage with `digits` decimals; for another metric the number, with 3 significant ones more."""
    if value is None:
        return NOTHING
    return f"{100 * value:.{digits}f} %" if share else f"{value:.{digits + 3}g}"


def difference(value: float | None, share: bool = True) -> str:
    """A signed difference in percentage points, or in the metric's own unit."""
    if value is None:
        return NOTHING
    shown = f"{100 * value:+.1f} points" if share else f"{value:+.4g}"
    return shown.replace("-", "−")


def milliseconds(value: float | None) -> str:
    """Milliseconds with three significant digits."""
    return NOTHING if value is None else f"{_three_digits(value)} ms"


def count(value: float | None) -> str:
    """A large count with three significant digits and k, M, G or T."""
    if value is None:
        return NOTHING
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * size:
            return f"{_three_digits(value / size)} {letter}"
    return f"{value:.3g}"


def speedup(value: float | None, digits: int = 2) -> str:
    """A factor, original over candidate."""
    return NOTHING if value is None else f"{value:.{digits}f}×"


def digits_apart(text: Callable[[float, int], str], values: Iterable[float | None], least: int, most: int = 6) -> int:
    """The fewest digits, from `least` to `most`, with which values that differ read differently.

    >>> digits_apart(lambda value, digits: speedup(value, digits), [1.204, 1.198, 1.5], 2)
    3
    """
    apart = {value for value in values if value is not None}
    return next((n for n in range(least, most) if len({text(value, n) for value in apart}) == len(apart)), most)


def spread(ends: tuple[float, float] | None) -> str:
    """A range of factors."""
    return "" if ends is None else f"{ends[0]:.2f} to {ends[1]:.2f}"


def duration(seconds: float | None) -> str:
    """Seconds as s, min or h."""
    if seconds is None:
        return NOTHING
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def plain(value: object) -> str:
    """Any parameter or value, floats with four significant digits."""
    if value is None:
        return NOTHING
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _three_digits(value: float) -> str:
    """Three significant digits, zeros at the end kept so that columns line up; whole numbers from 100 on."""
    return f"{value:.0f}" if abs(value) >= 99.95 else f"{value:#.3g}"
