"""Measured choices: the same function, asked once, kept in a file; nothing is measured unless it is asked for."""

import json

import torch
from lowering_programs import FC, UNFOLD, op, program

from kas.lowering import build, measured

KERNEL = program(UNFOLD, op("mul", ins=[0, 1]), op("tanh"), FC)
SIZES = {"channels": 8, "size": (16, 16)}


def test_candidates_write_different_sources():
    assert measured.candidates(KERNEL, **SIZES) == ["optimized", "optimized, no loops over taps"]
    assert measured.candidates(program(FC), **SIZES) == ["optimized"]
    assert "optimized, no product of weights" in measured.candidates(program(op("fc", to="2*C"), FC), **SIZES)


def test_a_choice_is_measured_once_and_kept(tmp_path, monkeypatch):
    file = tmp_path / "deep" / "choices.json"
    first = measured.build_measured(KERNEL, **SIZES, batch=2, cache=file)
    (choice,) = json.loads(file.read_text()).values()
    assert choice in measured.candidates(KERNEL, **SIZES)
    monkeypatch.setattr(measured, "_fastest", None)  # not called again
    second = measured.build_measured(KERNEL, **SIZES, batch=2, cache=file)
    assert type(first) is type(second)
    assert [one.name for one in file.parent.iterdir()] == ["choices.json"]


def test_the_fastest_is_the_same_function(tmp_path):
    usual = build(KERNEL, **SIZES)
    for name in measured.candidates(KERNEL, **SIZES):
        other = build(KERNEL, **SIZES, lowering=name)
        other.load_state_dict(usual.state_dict())
        x = torch.randn(2, 8, 16, 16)
        torch.testing.assert_close(other(x), usual(x))


def test_a_file_that_is_no_table_of_choices_is_replaced(tmp_path):
    file = tmp_path / "choices.json"
    file.write_text("[1, 2")
    measured.build_measured(KERNEL, **SIZES, cache=file)
    assert len(json.loads(file.read_text())) == 1


def test_where_choices_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert measured.cache_file() == tmp_path / "kas" / "lowerings.json"
