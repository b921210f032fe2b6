"""`show`: what it prints of a kernel, and of its sizes in a network."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import sympy

import kas
from kas.reporting.naming import names_text
from kas.solvers import Target
from kas.study.__main__ import main

BOTTLENECK = kas.zoo.get("bottleneck")


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(["show", *arguments]) == code
    captured = capsys.readouterr()
    return captured.out if code < 2 else captured.err


@pytest.fixture
def place(tmp_path: Path) -> list[str]:
    return ["--dir", str(tmp_path)]


def test_cost_as_formulas(place: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "bottleneck", *place)
    assert "  MACs         H*W*x0*(2*C + 9*x0)\n" in text
    assert "  parameters   x0*(2*C + 9*x0)\n" in text
    assert "  peak bytes   Max(8*H*W*x0, 4*H*W*(C + x0))\n" in text


def rows_of(text: str, title: str) -> list[list[str]]:
    """The cells of the table whose head starts with `layers` and has the title."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("layers") and title in line)
    rows = []
    for line in lines[start + 2 :]:
        if not line.strip():
            break
        rows.append(re.split(r"\s{2,}", line.strip()))
    return rows


def test_sizes_costs_and_formulas_at_each_layer(place: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "bottleneck", *place, "--model", "small_resnet", "--size", "32", "--budget", "macs=0.5,params=0.5")
    assert "in small_resnet at 32x32: 6 layers; budget (ratio to the layers it replaces): macs 0.5, params 0.5\n" in text
    sizes, formulas = rows_of(text, "sizes"), {row[0]: row[1:] for row in rows_of(text, "parameters of")}
    assert {row[0] for row in sizes} == set(formulas)
    for name, channels, output, values, macs, ratio, params, _ in sizes:
        c_in, c_out = map(int, channels.split(" → "))
        positions = int(output.split("x")[0]) ** 2
        x0 = int(values.removeprefix("x0="))
        put_in = {"x0": x0}
        assert int(macs.replace(",", "")) == sympy.sympify(formulas[name][0]).subs(put_in)
        assert int(params.replace(",", "")) == sympy.sympify(formulas[name][1]).subs(put_in)
        templates, c = c_out // c_in, c_in
        assert int(macs.replace(",", "")) == templates * positions * x0 * (2 * c + 9 * x0)
        assert float(ratio) == pytest.approx(int(macs.replace(",", "")) / (9 * c_in * c_out * positions), abs=6e-4)
    total = next(line for line in text.splitlines() if line.startswith("all 6 layers"))
    used = re.search(r"used of the budget: ([0-9.]+)% of macs, ([0-9.]+)% of params; (.*)", text)
    assert used
    ratios = re.findall(r"0\.\d{3}", total)
    for share, ratio in zip(used.groups()[:2], ratios, strict=True):
        assert float(share) == pytest.approx(100 * float(ratio) / 0.5, abs=0.2)
        assert float(share) <= 100
    assert used[3].startswith(("no other sizes use more", "other sizes could use at most 0."))


def test_a_fixed_kernel_has_no_formula_table(place: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "grouped3x3", *place, "--model", "small_resnet", "--size", "16")
    assert "budget (ratio to the layers it replaces): none" in text
    assert "G = 8 in all layers" in text
    assert "as a formula" not in text
    assert "used of the budget" not in text


def test_what_does_not_fit_is_said(place: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "conv3x3", *place, "--model", "small_resnet", "--size", "16", "--budget", "macs=0.5", code=1)
    assert "infeasible: " in text
    assert "macs" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "small_resnet", "--budget", "mac=0.5"], "budget.mac is an unknown key; did you mean macs?"),
        (["--model", "small_resnet", "--budget", "macs"], "--budget macs: must be a limit and a number, as in macs=0.3"),
        (["--model", "small_resnet", "--budget", "macs=0"], "budget.macs must be a number over 0, not 0.0"),
        (["--model", "small_resnet", "--size", "0"], "--size must be at least 1, not 0"),
        (["--budget", "macs=0.5"], "--budget limits the sizes in a network: name one with --model, as --model resnet18"),
    ],
)
def test_bad_input(arguments: list[str], message: str, place: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "bottleneck", *place, *arguments, code=2) == f"error: {message}\n"


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["conv"], "conv"),
        (["layer1.0.conv1", "layer1.0.conv2", "layer1.1.conv1", "layer1.1.conv2"], "layer1.{0,1}.conv{1,2}"),
        (["layer2.0.conv2", "layer2.1.conv1", "layer2.1.conv2"], "layer2.0.conv2 and 2 more"),
        (["a.1", "b"], "a.1 and 1 more"),
        (["features.0", "features.10"], "features.{0,10}"),
        (["conv", "conv2"], "conv{,2}"),
    ],
)
def test_names_in_one_text(names: list[str], text: str) -> None:
    assert names_text(names) == text


def test_blocks_in_a_network(place: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "bottleneck", *place, "--model", "small_resnet", "--size", "16", "--types", "BasicBlock")
    assert "in small_resnet at 16x16: 3 blocks; budget (ratio to the blocks it replaces): macs 1, params 1\n" in text
    assert "replaces 3 blocks (BasicBlock); adapters: 1 none, 2 copies; BatchNorm behind each\n" in text
    assert [row[0] for row in rows_of(text, "sizes")][:3] == ["stages.0.0", "stages.1.0", "stages.2.0"]


def test_blocks_of_tokens_in_a_network_of_images(place: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "bottleneck1d", *place, "--model", "small_vit", "--size", "8", "--targets", "blocks.?")
    assert "replaces 4 blocks (EncoderBlock); adapters: 4 none; LayerNorm of the channels behind each\n" in text
    assert next(row[:3] for row in rows_of(text, "sizes")) == ["blocks.{0,1,2,3}", "64 → 64", "16"]


def test_targets_need_a_network(place: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    error = shown(capsys, "bottleneck", *place, "--types", "BasicBlock", code=2)
    assert "--types chooses in a network: name one with --model, as --model resnet18" in error
    error = shown(capsys, "bottleneck", *place, "--model", "small_resnet", "--size", "16", "--types", "BasicBlok", code=2)
    assert "no module of SmallResNet is of the type 'BasicBlok'; did you mean BasicBlock?" in error
