"""Bad input, as the command meets it: one clear message on stderr, no traceback, exit code 2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

GOOD = """\
name: small
trials: 1
data: {name: digits, size: 8, train_samples: 40, val_samples: 20}
model: {args: {width: 4, stages: 1}}
training: {epochs: 1}
cost: {repeats: 3}
search: {seeds: [grouped3x3]}
"""


def kas(folder: Path, *arguments: str, code: int = 2) -> str:
    """Run the command in `folder`; returns stderr."""
    line = [sys.executable, "-m", "kas.study", *arguments]
    done = subprocess.run(line, capture_output=True, text=True, timeout=300, cwd=folder)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stderr


def run(folder: Path, text: str = GOOD, *arguments: str) -> str:
    (folder / "small.yaml").write_text(text, encoding="utf-8")
    return kas(folder, "run", "small.yaml", *arguments)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training: {epoch: 3}", "small.yaml: training.epoch is an unknown key; did you mean training.epochs?"),
        (
            "objectives: {cost: wrok}",
            "small.yaml: objectives.cost must be one of latency, work, not 'wrok'; did you mean work?",
        ),
        ("training: {optimizer: adam}", "small.yaml: training.optimizer must be one of adamw, sgd, not 'adam'; did"),
        ("search: {seeds: [botleneck]}", "search.seeds: there is no known kernel 'botleneck'; did you mean 'bottleneck'?"),
        ("search: {seeds: [grid_attention]}", "search.seeds: 'grid_attention' is known, but no program of the language: Tu et"),
        ("search: {generation: {forbidden: [matmull]}}", "search.generation.forbidden"),
        ("format: kas.study/2", "small.yaml: is a study of a newer kas (kas.study/2); this kas reads kas.study/1: update kas"),
        ("a: [1\nb: 2", "small.yaml is not YAML that kas reads, line 2: "),
        ("just a sentence", "small.yaml: is not a study file"),
    ],
)
def test_a_wrong_study_file(tmp_path: Path, text: str, message: str) -> None:
    error = run(tmp_path, text)
    assert error.startswith("error: ")
    assert message in error
    assert not (tmp_path / "runs").exists()


def test_a_study_file_that_does_not_exist(tmp_path: Path) -> None:
    assert kas(tmp_path, "run", "nothing.yaml") == "error: nothing.yaml: no such file\n"


def test_a_wrong_override(tmp_path: Path) -> None:
    error = run(tmp_path, GOOD, "--set", "training.epoch=3")
    assert error == "error: --set training.epoch=3: training.epoch is an unknown key; did you mean training.epochs?\n"


@pytest.mark.system
@pytest.mark.parametrize(
    ("overrides", "messages"),
    [
        (["data.name=imagefolder", "data.root=/no/such/folder"], ["/no/such/folder"]),
        (["data.name=cifar10", "data.root=/no/such/folder"], ["/no/such/folder", "download"]),
        (["data.name=digit"], ["data.name must be one of digits, mnist5k", "not 'digit'; did you mean digits?"]),
        (["model.name=resnet19"], ["model.name is 'resnet19'", "did you mean 'resnet"]),
        (["model.args={widht: 3}"], ["has no argument 'widht'", "did you mean 'width'?"]),
        (["model.factory=nowhere:network"], ["model.factory", "there is no module nowhere"]),
        (["model.factory=math:nothing"], ["model.factory", "module math has no function nothing"]),
        (["data.factory=nowhere:data"], ["data.factory", "there is no module nowhere"]),
        (["data.factory=math:sqrt"], ["data.factory"]),
        (["training.metric=F1Scor"], ["training.metric is 'F1Scor'", "did you mean 'F1Score'"]),
        (["targets.names=[nothing.*]"], ["no layer to replace", "name"]),
        (["budget={memory: 0.01}"], ["no kernel at all satisfies the budget", "memory", "would do"]),
        (["search.seeds=[conv1d3]"], ["seed 'conv1d3' is a kernel of rank 1 (sequences)", "of rank 2 (images)", "bottleneck"]),
    ],
    ids=lambda value: value[0] if value and "=" in value[0] else "",
)
def test_what_only_the_run_can_see(tmp_path: Path, overrides: list[str], messages: list[str]) -> None:
    error = run(tmp_path, GOOD, *(part for override in overrides for part in ("--set", override)))
    assert error.startswith("error: ")
    for message in messages:
        assert message in error
    assert not (tmp_path / "runs").exists()  # nothing is made that would be in the way of the corrected command


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none(tmp_path: Path) -> None:
    error = run(tmp_path, GOOD, "--set", "device=cuda")
    assert error == "error: device: cuda is asked for, but torch finds no CUDA device; use device: auto or cpu\n"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql+psycopg://me:secret@127.0.0.1:1/kas", "cannot be opened"),
        ("sqlite:////proc/nothing/study.db", "/proc/nothing"),
        ("mongodb://host/kas", "'mongodb' is not a storage that kas knows"),
    ],
)
def test_a_storage_that_cannot_be_opened(tmp_path: Path, url: str, message: str) -> None:
    for error in (run(tmp_path, GOOD, "--storage", url), kas(tmp_path, "status", "small", "--storage", url)):
        assert error.startswith("error: ")
        assert message in error
        assert "secret" not in error


@pytest.mark.parametrize(
    "arguments", [["status"], ["resume"], ["report"], ["dashboard"], ["export", "--kernel", "ab", "--to", "json"]]
)
def test_a_study_that_does_not_exist(tmp_path: Path, arguments: list[str]) -> None:
    name, *options = arguments
    error = kas(tmp_path, name, "smal", *options)
    assert error == "error: there is no study 'smal' in runs/: there are none at all; --dir and --storage say where to look\n"


def test_a_missing_study_names_those_that_exist(tmp_path: Path) -> None:
    for name in ("small", "other"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "study.db").touch()
    error = kas(tmp_path, "status", "smal")
    assert error == "error: there is no study 'smal' in runs/; there are: other, small; did you mean small?\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no JSON", "kernel.json is no kernel: this is not JSON"),
        ('{"format": "kas.kernel/2", "rank": 2, "steps": []}', "kernel.json is no kernel: the format is 'kas.kernel/2'"),
        ('{"format": "kas.kernel/1", "rank": 2, "steps": [{"op": "cnov", "ins": [0]}]}', "step 1: unknown op 'cnov'"),
    ],
)
def test_a_kernel_file_that_is_not_one(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "kernel.json").write_text(text)
    assert message in kas(tmp_path, "show", "kernel.json")


def test_a_kernel_that_is_nowhere(tmp_path: Path) -> None:
    assert kas(tmp_path, "show", "none.json") == "error: none.json cannot be read: No such file or directory\n"
    assert "did you mean 'bottleneck'?" in kas(tmp_path, "show", "botleneck")
    assert "no kernel of any study in runs has a hash that starts with 'abcdef'" in kas(tmp_path, "show", "abcdef")


def test_amounts_that_make_no_sense(tmp_path: Path) -> None:
    assert run(tmp_path, GOOD, "--trials", "0") == "error: --trials must be at least 1, not 0\n"
    assert run(tmp_path, GOOD, "--workers", "0") == "error: --workers must be at least 1, not 0\n"
    assert "seed must be from 0" in run(tmp_path, GOOD, "--seed", "-1")


@pytest.mark.parametrize("port", ["0", "70000"])
def test_a_port_that_is_none(tmp_path: Path, port: str) -> None:
    (tmp_path / "small.yaml").write_text(GOOD)
    assert "there is no study" in kas(tmp_path, "dashboard", "small", "--port", port)
