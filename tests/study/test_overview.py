"""Tables for the terminal: the front with its runtimes, what `measure` found, at any width."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console
from rich.table import Table
from test_progress import OK, REFERENCE

from kas import zoo
from kas.reporting.measurements import read_measurement
from kas.study.display.overview import DROPPED, STACKED, elsewhere, front_table, legend, notes
from kas.study.display.tables import measurement_table

RUNTIMES = {"eager": {}, "compile": {"version": "inductor"}, "onnxruntime": {"version": "onnxruntime 1"}}
FAST = {"compile": {"speedup": 1.8}, "onnxruntime": {"speedup": 12.5}}
FRONT = [
    replace(OK, number=1234, latency_ms=1234.5, original_latency_ms=15432.1, runtimes=FAST),
    replace(OK, runtimes={"compile": {"refused": "no such op"}, "onnxruntime": {"speedup": 0.62}}),
    OK,
]
ALL = ["kernel", "trial", "accuracy", "vs original", "latency", "original then", "speed-up", "spread"]
ALL += ["compile", "onnxruntime", "MACs", "params"]


def shown(table: Table, width: int, *, soft_wrap: bool = True) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, color_system=None, highlight=False, soft_wrap=soft_wrap).print(table)
    return out.getvalue().splitlines()


def columns(table: Table) -> list[str]:
    return [str(column.header) for column in table.columns]


LONG = replace(OK, hash=zoo.get("simplified_channel_attention").hash)  # the longest name of a known kernel


@pytest.mark.parametrize("width", [60, 80, 120, 140])
def test_the_front_fits_and_nothing_is_cut(width: int) -> None:
    front = [*FRONT, LONG]
    table = front_table(REFERENCE, front, "latency", list(RUNTIMES), width)
    lines = shown(table, width)
    assert "…" not in "".join(lines)
    assert max(map(len, lines)) <= width
    assert sum("0123456789abcdef" in line for line in lines) == len(FRONT)
    assert any("simplified_channel_attention" in line for line in lines)
    for cell in ("1.80×", "12.50×", "↓0.62×", "refused", "2.00×", "94.0 %"):
        assert any(cell in line for line in lines), cell
    below = notes(REFERENCE, front, "latency", RUNTIMES, width)
    if width < STACKED:
        whole = " ".join(lines)
        assert all(f"{name} " in whole for name in ALL if name != "kernel"), "a stacked front leaves nothing out"
        return
    missing = [name for name in ALL if name not in columns(table)]
    assert set(missing) == set(DROPPED[: len(missing)]), "columns are left out in their order"
    said = next((line for line in below if line.startswith("left out")), "")
    assert all(name in said for name in missing)
    assert bool(said) == bool(missing)


def test_kernels_that_differ_read_differently() -> None:
    near = [replace(OK, accuracy=0.94, speedup=2.0041), replace(OK, accuracy=0.9404, speedup=2.0036)]
    for width in (60, 80, 120):
        text = "\n".join(shown(front_table(REFERENCE, near, "latency", (), width), width))
        assert all(number in text for number in ("94.00 %", "94.04 %", "2.0041×", "2.0036×")), text


def test_found_kernels_have_a_formula_and_known_ones_a_name() -> None:
    found = replace(OK, program=zoo.get("depthwise_separable").to_json())
    assert notes(REFERENCE, [found, LONG], "work", {}, 40) == ["0123456789abcdef  conv3x3 depthwise -..."]


def test_the_columns_follow_the_runtimes() -> None:
    assert columns(front_table(REFERENCE, FRONT, "latency", list(RUNTIMES))) == ALL
    assert columns(front_table(REFERENCE, FRONT, "latency", ["onnxruntime", "eager"]))[8:9] == ["eager"]
    assert columns(front_table(REFERENCE, FRONT, "work", list(RUNTIMES))) == [*ALL[:4], "work", "MACs", "params"]
    original, first = shown(front_table(REFERENCE, FRONT, "latency", list(RUNTIMES)), 140)[2:5:2]
    assert original.split()[-7:-4] == ["1.00×", "1.00×", "1.00×"]
    assert first.split()[-4:-2] == ["300", "k"]


def test_the_legend_says_which_runtime_is_which() -> None:
    assert legend("latency", RUNTIMES) == [
        "latency and speed-up are those in eager",
        "compile, onnxruntime: speed-up in that runtime, ↓ slower than the original there",
    ]
    assert legend("latency", {"eager": {}, "compile": {"refused": "no such op"}}) == [
        "latency and speed-up are those in eager",
        "compile does not take the original network: no such op",
    ]
    assert legend("latency", {"eager": {}}) == []
    assert legend("work", RUNTIMES) == []


def test_other_runtimes_in_words() -> None:
    assert elsewhere(FRONT[0]) == "1.80× in compile, 12.50× in onnxruntime"
    assert elsewhere(FRONT[1]) == "0.62× in onnxruntime"
    assert elsewhere(OK) == ""


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_measurement_fits_and_nothing_is_cut(width: int) -> None:
    kernel = {"latency_ms": 5.0, "original_latency_ms": 10.0, "ratio": 0.5, "ratio_low": 0.4, "ratio_high": 0.625}
    kernel |= {"speedup": 2.0, "memory_format": "channels_last", "original_format": "contiguous"}  # type: ignore[dict-item]
    conditions = {"device": "a CPU", "runtime": "onnxruntime", "version": "onnxruntime 1", "batch_size": 1, "threads": 2}
    found = read_measurement({**conditions, "kernels": {"0123456789abcdef": kernel, "fedc" * 4: {"refused": "no such op"}}})
    assert found is not None
    assert found.conditions == "onnxruntime 1, batch 1, 2 threads"
    lines = shown(measurement_table(found, width), width)
    assert "…" not in "".join(lines)
    assert max(map(len, lines)) <= width
    assert [line.split()[0] for line in lines[2:]] == ["0123456789abcdef", "fedc" * 4]
    assert all(cell in lines[2] for cell in ("5.00 ms", "10.0 ms", "2.00×"))
    assert "refused" in lines[3]
    assert width < 120 or all(cell in lines[2] for cell in ("0.500", "1.60 to 2.50", "channels last", "contiguous"))
