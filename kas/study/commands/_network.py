"""A kernel in a network: what it is and costs at each layer that it would replace, as tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kas.reporting.layers import Layers
from kas.reporting.naming import names_text
from kas.solvers import Sizes, Target

if TYPE_CHECKING:
    from rich.table import Table

    from kas.language.kernel import Kernel

__all__ = ["formula_table", "size_table"]


def size_table(layers: Sequence[Layers], sizes: Sizes) -> Table:
    """For each kind of layer the sizes, the cost of one, and its ratio to the layer that it replaces; then the total."""
    table = _table("layers", "channels", "output", "sizes", "MACs of each", "ratio", "parameters", "ratio", left=4)
    for one in layers:
        table.add_row(
            one.names,
            f"{one.first.in_channels} → {one.first.out_channels}",
            _output(one.first),
            one.sizes or "-",
            f"{one.macs:,}",
            f"{one.macs / one.first.macs:.3f}",
            f"{one.params:,}",
            f"{one.params / one.first.params:.3f}",
        )
    table.add_section()
    targets = [target for one in layers for target in one.targets]
    macs, params = sum(target.macs for target in targets), sum(target.params for target in targets)
    cells = [f"{sizes.macs:,}", f"{sizes.macs / macs:.3f}", f"{sizes.params:,}", f"{sizes.params / params:.3f}"]
    table.add_row(f"all {len(targets)} layers", "", "", "", *cells)
    return table


def formula_table(kernel: Kernel, layers: Sequence[Layers], groups: int) -> Table:
    """For each kind of layer the MACs and parameters of one, adapter included, as formulas in the free variables."""
    from kas.solvers.formulas import formula

    table, whole = _table("layers", "MACs of each", "parameters of each", left=3), formula(kernel)
    seen: dict[tuple[str, str], list[str]] = {}
    for one in layers:
        adapter = one.first.adapter
        numbers = {"C": one.first.channels, "G": groups, **dict(zip("HW", one.first.size, strict=False))}
        macs = _put_in(whole["macs"], numbers, adapter.templates, adapter.macs)
        params = _put_in(whole["params"], numbers, adapter.templates, adapter.params)
        seen.setdefault((macs, params), []).extend(target.name for target in one.targets)
    for formulas, names in seen.items():
        table.add_row(names_text(names), *formulas)
    return table


def _put_in(expression: Any, numbers: Mapping[str, int], times: int, plus: int) -> str:
    """A formula with the numbers of a layer put in."""
    import sympy

    known = {symbol: numbers[symbol.name] for symbol in expression.free_symbols if symbol.name in numbers}
    return str(sympy.factor_terms(times * sympy.expand(expression.subs(known)) + plus))


def _output(target: Target) -> str:
    """The size of a layer's output, and its stride if it has one: `28x28 /2`."""
    size, stride = "x".join(map(str, target.size)) or "-", "x".join(map(str, target.strides))
    return size if target.stride == 1 else f"{size} /{target.stride if isinstance(target.stride, int) else stride}"


def _table(*columns: str, left: int) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", justify="left" if number < left else "right")
    return table
