"""Each task from `init` to an exported network, with no more than users write, on tiny data."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from task_networks import HEAD, LOADERS, USERS

import kas
from kas.study.__main__ import main

TINY = [
    "trials=1", "training.epochs=1", "device=cpu", "objectives.cost=work", "cost.batch_size=2", "budget={macs: 0.9}",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return tmp_path


def kas_study(*words: str) -> None:
    assert main(list(words)) == 0


QUICK = ("segmentation", "named inputs", "lightning")  # the others take as long, and tell less


@pytest.mark.system
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in USERS])
def test_from_init_to_an_exported_network(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module, keys, task, metric = USERS[name]
    kas_study("init", "mine.yaml")
    (folder / "mine.py").write_text(HEAD + module + LOADERS)
    seeds = [] if any("seeds" in key for key in keys) else ["search.seeds=[depthwise_separable]"]
    settings = [f"--set={key}" for key in [*TINY, *seeds, *keys]]
    kas_study("check", "mine.yaml", *settings)
    assert f"task: {task}, " in capsys.readouterr().out
    kas_study("run", "mine.yaml", *settings)
    kas_study("status", "mine", "--json")
    printed = capsys.readouterr().out
    state = json.loads(printed[printed.index("\n{") :])
    assert (state["outcomes"], state["metric"]["task"], state["metric"]["name"]) == ({"ok": 1}, task, metric), printed
    (kernel,) = [entry["hash"] for entry in state["front"]]
    kas_study("export", "mine", "--kernel", kernel, "--network", "--to", "onnx", "--out", "mine.onnx")
    loaded = kas.load(folder / "mine.onnx")
    takes = loaded.kas_metadata.get("inputs") or [loaded.kas_metadata["input"]]
    shapes = {one["name"]: torch.zeros(3, *one["shape"][1:]) for one in takes}
    assert len(loaded(**shapes) if len(takes) > 1 else loaded(*shapes.values())) == 3


@pytest.mark.system
def test_what_init_writes_runs_as_it_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kas_study("init", "mine.yaml")
    kas_study("check", "mine.yaml")
    assert "task: classification, loss CrossEntropyLoss, metric accuracy (higher is better)" in capsys.readouterr().out
    assert main(["init", "mine.yaml"]) == 2
    assert (
        capsys.readouterr().err == "error: mine.yaml and mine.py: is there already, and is left as it is; name another file\n"
    )
    kas_study("init", "--from", "digits", "first.yaml")
    assert not (folder / "first.py").exists()
    kas_study("check", "first.yaml")
    assert main(["init", "--from", "digit", "other.yaml"]) == 2
    assert "did you mean digits?" in capsys.readouterr().err
