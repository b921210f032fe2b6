"""What sampled kernels look like: histograms of ops, attributes, sizes and forms, and how the rare things fare.

    python tests/benchmarks/coverage.py [--kernels 5000] [--budget 1.0]

Kernels drawn with the default settings for the four targets. A bar is a share of kernels (of the steps with that attribute,
in the table of attributes). Then the goals; exit code 1 if one is missed.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, product

from coverage_facts import Facts, attribute_values
from goals import Goal, at_least, at_most, make_console, make_table, print_goals
from rich.console import Console
from sampling_cases import CASES, budget

from kas.generation import GenerationSettings, Sampler
from kas.generation.sample import Drawn
from kas.language import OPS

LEAST_OP, MOST_CLOSING = 0.005, 0.25
_BAR, _SHOWN = 40, 14


def bars(console: Console, title: str, counts: Mapping[object, int], whole: int, *, by_count: bool = False) -> None:
    """A histogram as a table of text bars; the longest bar is the largest share."""
    table = make_table(title, "share", "kernels")
    table.add_column("")
    longest = max(counts.values(), default=1)
    order = sorted(counts, key=lambda key: -counts[key]) if by_count else sorted(counts)  # type: ignore[type-var]
    for key in order:
        table.add_row(str(key), f"{counts[key] / whole:.2%}", f"{counts[key]:,}", "█" * round(_BAR * counts[key] / longest))
    console.print(table, "")


def attributes(console: Console, kernels: Sequence[Drawn]) -> dict[str, Counter[str]]:
    """The table of attribute values; returns the counts."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for one in kernels:
        for step in one.kernel.steps:
            for name, value in attribute_values(step):
                found[name][value] += 1
    table = make_table("attribute")
    table.add_column("values, with their share of the steps that have it", no_wrap=False)
    for name in sorted(found):
        counts, whole = found[name], found[name].total()
        texts = [f"{value or '(none)'} {count / whole:.1%}" for value, count in counts.most_common(_SHOWN)]
        more = len(counts) - len(texts)
        table.add_row(name, ", ".join(texts) + (f", {more} more" if more else ""))
    console.print(table, "")
    return found


def wanted_values(settings: GenerationSettings) -> Iterable[tuple[str, str]]:
    """Attribute values that must all occur: every choice of the language, and every number of the settings."""
    for k in settings.kernel_sizes:
        yield from (("conv k", text) for text in (f"{k}x{k}", f"{k}x1", f"1x{k}"))
        yield from ((f"{op} k", str(k)) for op in ("unfold", "filter"))
    for d in settings.dilations:
        yield from (("conv d", f"{d}x{d}"), ("unfold d", str(d)), ("filter d", str(d)))
    for by in settings.shifts:
        yield from (("shift by", str(by)), ("shift by", str(-by)))
    for name in ("conv depthwise", "matmul softmax", "sub swap", "div swap"):
        yield from ((name, "yes"), (name, "no"))
    yield from (("matmul t", f"{a} {b}") for a, b in product("T-", "T-"))
    yield from (("unfold over", over) for over in ("h", "w", "hw"))
    yield from (("shift axes", axes) for axes in ("1.h", "1.w", "1.h 1.w"))
    yield from (("filter axis", axis) for axis in ("0.c", "1.h", "1.w"))
    yield from (("fold how", how) for how in ("mean", "max"))
    yield from (("normalize how", how) for how in ("l2", "standard"))
    for op, taps in (("fold", True), ("softmax", True), ("normalize", True), ("scale", False), ("bias", False)):
        yield from ((f"{op} axes", axes) for axes in ("0.c", "0.kh 0.kw") if axes == "0.c" or taps)
    yield from ((f"{op} axes", "1.h 1.w") for op in ("fold", "softmax", "normalize"))
    yield from (("group by", by) for by in ("G", "C", "x", "2", "4", "8"))
    yield from (("fc to", width) for width in ("C", "C/2", "C/4", "2*C", "x", "G*x"))
    yield from (("conv to", width) for width in ("C", "C/2", "x", "G*x"))


def forms(console: Console, facts: Sequence[Facts]) -> None:
    """The shares of kinds of graphs."""
    whole = len(facts)
    kinds = {
        "attention-like (softmax, then a product)": sum(one.attends for one in facts),
        "convolution-like (a conv, or taps that are then combined)": sum(one.convolves for one in facts),
        "both": sum(one.attends and one.convolves for one in facts),
        "a convolution, unfold or shift over neighbours": sum(one.is_local for one in facts),
        "heads by groups (a width with G, grouped by G)": sum(one.grouped_heads for one in facts),
        "parallel heads that are added": sum(one.added_heads for one in facts),
        "a free width": sum(bool(one.kernel.variables) for one in facts),
        "G": sum(one.kernel.uses_groups for one in facts),
        "weights tied to one size": sum(one.kernel.fixed_size for one in facts),
    }
    bars(console, "kernels with", kinds, whole, by_count=True)
    bars(console, "branches", Counter(one.form for one in facts), whole, by_count=True)
    bars(console, "free variables", Counter(len(one.kernel.variables) for one in facts), whole)


def goals(kernels: Sequence[Drawn], facts: Sequence[Facts], settings: GenerationSettings, missing: list[str]) -> list[Goal]:
    """What this benchmark wants to see."""
    whole = len(facts)
    rarest = min((sum(op in one.ops for one in facts) / whole, op) for op in OPS if op not in settings.forbidden)
    origins = Counter(origin for one in kernels for origin in one.origins)
    lengths = {len(one.kernel.steps) for one in facts}
    unused = sorted(set(range(settings.min_steps, settings.max_steps + 1)) - lengths)
    still = sum(not one.mixes_positions for one in facts) / whole
    inner = [free for one in facts for free in one.widths]
    asked = 1 - settings.local
    slack = 3 * (settings.local * asked / whole) ** 0.5  # three standard deviations of such a draw
    return [
        at_least(f"rarest op ({rarest[1]}), share of kernels", rarest[0], LEAST_OP, ".2%"),
        Goal("attribute values that never occur", "; ".join(missing) or "none", "none", not missing),
        Goal("numbers of steps that never occur", ", ".join(map(str, unused)) or "none", "none", not unused),
        at_most("steps made when only finishing moves were left", origins["closing"] / origins.total(), MOST_CLOSING, ".1%"),
        Goal("steps put in or changed to use the budget", f"{origins['repair'] / origins.total():.1%}"),
        at_most(f"kernels without any spatial mixing (asked for: {asked:.0%})", still, asked + slack, ".2%"),
        Goal("inner widths of fc and conv that are free", f"{sum(inner) / max(len(inner), 1):.1%}"),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernels", type=int, default=5000)
    parser.add_argument("--budget", type=float, default=1.0, help="of MACs and parameters (default: 1.0)")
    parser.add_argument("--targets", choices=[name for name, case in CASES.items() if case.rank == 2], default="four")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    console, case, settings = make_console(), CASES[options.targets], GenerationSettings()
    sampler = Sampler(case.rank, case.targets, budget(options.budget), settings)
    kernels = list(islice(sampler.stream(options.seed), options.kernels))
    facts = [Facts(one.kernel) for one in kernels]
    whole = len(facts)
    console.print(f"{whole:,} kernels, default settings, budget {options.budget}; {case.about}; seed {options.seed}\n")
    bars(console, "op", Counter(op for one in facts for op in one.ops), whole, by_count=True)
    found = attributes(console, kernels)
    bars(console, "steps", Counter(len(one.kernel.steps) for one in facts), whole)
    bars(console, "width (most tensors still to be read)", Counter(one.width for one in facts), whole)
    bars(console, "joins", Counter(one.joins for one in facts), whole)
    forms(console, facts)
    missing = [f"{name} {value}" for name, value in wanted_values(settings) if not found.get(name, Counter())[value]]
    return print_goals(console, goals(kernels, facts, settings, missing))


if __name__ == "__main__":
    sys.exit(main())
