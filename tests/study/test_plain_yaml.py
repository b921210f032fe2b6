"""YAML and kernels from anybody: plain data within limits, and one message for the rest, quickly."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from kas.language import InvalidKernel, KasError, Kernel
from kas.study.config import load_config
from kas.study.plain_yaml import read_yaml

BOMB = "\n".join(
    ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: !!int abc", "line 1: 'abc' is no int"),
        ("a: !!timestamp 2001-99-99", "could not determine a constructor"),
        ("a: !!binary YQ==", "could not determine a constructor"),
        ("a: !!python/object:os.system x", "could not determine a constructor"),
        ("a: &a [*a]", r"\*a stands in itself"),
        ("a: &a {b: {c: *a}}", r"\*a stands in itself"),
        (BOMB, "more than 20000 values"),
        ("[" * 1500, "nests deeper than 32 levels"),
        ("- " * 1500 + "a", "nests deeper than 32 levels"),
        ("a: " + "9" * 5000, "a number of more than 30 characters"),
        ("a: 0x" + "f" * 5000, "a number of more than 30 characters"),
        ("a: .nan", "no finite number"),
        ("a: -.inf", "no finite number"),
        ("1: a", "the key 1 is no text"),
        ("[a]: 1", "unhashable key"),
        ("a: *b", "undefined alias"),
        ("\x00", "special characters are not allowed"),
        ("a" * (1 << 21), "is larger than 1 MiB"),
    ],
)
def test_what_is_no_plain_data(text: str, message: str, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(KasError, match=message):
        read_yaml(text)
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(KasError, match=r"a\.yaml (is|it)"):
        load_config(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("trials: 3\n")
    with pytest.raises(KasError, match=r"--set model\.args="):
        load_config(tmp_path / "a.yaml", [f"model.args={text}"])
    assert time.monotonic() - began < 10


def test_anchors_and_dates() -> None:
    text = "a: &a {b: [1, 2.5, null, true, x]}\nc: *a\nd: {<<: *a, e: 2001-12-14}\n"
    inner = {"b": [1, 2.5, None, True, "x"]}
    assert read_yaml(text) == {"a": inner, "c": inner, "d": {**inner, "e": "2001-12-14"}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("search: {generation: {min_steps: null}}", "search.generation.min_steps must be a whole number, not null"),
        ("trials: null", "trials must be a whole number, not null"),
        ("search: {forbidden_families: null}", "search.forbidden_families must be a list .text each., not null"),
        ("search: {seeds: [null]}", "search.seeds must be a list"),
        ("trials: '" + "[" * 1500 + "'", "trials must be a whole number"),
        (f"training: {{epochs: {json.dumps(BOMB)}}}", "training.epochs must be a whole number"),
        ("name: " + "a" * 300, "must be at most 100 letters"),
    ],
)
def test_values_of_a_study_file(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(KasError, match=message):
        load_config(tmp_path / "a.yaml")


def kernel(steps: Any) -> str:
    return json.dumps({"format": "kas.kernel/1", "rank": 2, "steps": steps})


FC = {"op": "fc", "ins": [0], "to": "C"}


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (kernel([FC, *({"op": "sin", "ins": [i]} for i in range(1, 1000))]), "at most 128 steps, not 1000"),
        (kernel([FC] * 10**5), "at most"),
        (kernel([{**FC, "to": "*".join(["C"] * 10**4)}]), "is not a dim"),
        (kernel([{**FC, "to": "*".join(["C"] * 17)}]), "has a power over 16"),
        (kernel([{**FC, "to": "9" * 4000}]), "is not a dim"),
        (kernel([{**FC, "to": int("9" * 4000)}]), "a number in a dim must be"),
        (kernel([{**FC, "to": nested(900)}]), "a dim must be a text"),
        (kernel([{**FC, "ins": nested(900)}]), "'ins' must be a list of tensor numbers"),
        (kernel([nested(900)]), "a step is a JSON object"),
        (kernel(nested(100)).replace("0", "[" * 10**5), "this is not JSON"),
        ("{" + ", ".join(f'"{i}": 0' for i in range(10**4)) + ', "1": 0}', "the key '1' occurs twice"),
        (" " * (1 << 21), "at most 1048576 characters"),
    ],
)
def test_kernels_beyond_the_limits(text: str, message: str) -> None:
    began = time.monotonic()
    with pytest.raises(InvalidKernel, match=message) as caught:
        Kernel.from_json(text)
    assert len(str(caught.value)) < 1500
    assert time.monotonic() - began < 10


def test_the_largest_kernel_is_handled() -> None:
    steps = [FC, *({"op": "add", "ins": [i, i - 1]} for i in range(1, 128))]
    largest = Kernel.from_json(kernel(steps))
    assert len(largest.steps) == 128
    assert len(largest.hash) == len(largest.family) == 16
