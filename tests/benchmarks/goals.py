"""What a benchmark wants to see beside what it saw, as a table; the exit code says whether all of it came true."""

from __future__ import annotations

from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

__all__ = ["Goal", "at_least", "at_most", "make_console", "make_table", "print_goals"]


@dataclass(frozen=True)
class Goal:
    """One line: what was measured, its value, what is wanted ("" for no goal), and whether it is so."""

    what: str
    value: str
    wanted: str = ""
    met: bool = True


def at_least(what: str, value: float, least: float, form: str = ".3f") -> Goal:
    """A goal from below."""
    return Goal(what, format(value, form), f"at least {format(least, form)}", value >= least)


def at_most(what: str, value: float, most: float, form: str = ".3f") -> Goal:
    """A goal from above."""
    return Goal(what, format(value, form), f"at most {format(most, form)}", value <= most)


def make_console() -> Console:
    """A console with room for wide tables where there is no terminal."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=150)


def make_table(*columns: str, title: str | None = None) -> Table:
    """A plain table; all columns but the first are numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    return table


def print_goals(console: Console, goals: list[Goal]) -> int:
    """Print the goals; the exit code: 0 if all are met, else 1."""
    table = make_table("", "measured", "goal", "")
    for goal in goals:
        verdict = "" if not goal.wanted else "[green]pass[/]" if goal.met else "[bold red]FAIL[/]"
        table.add_row(goal.what, goal.value, goal.wanted, verdict)
    console.print(table)
    missed = sum(not goal.met for goal in goals)
    console.print(f"\n{missed} of {sum(bool(goal.wanted) for goal in goals)} goals missed" if missed else "\nall goals met")
    return int(missed > 0)
