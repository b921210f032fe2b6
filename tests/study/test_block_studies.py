"""Networks searched by block, from the shipped study files, by the real command; the adapters of a study."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kas.evaluation import adapters as judging
from kas.solvers import Target
from kas.study import attributes as keys
from kas.study.config import load_config
from kas.study.storage.claims import Claims
from kas.study.storage.create import create_or_join
from kas.study.storage.files import StudyFolder
from kas.study.storage.opening import close_storage, open_mutex, open_storage
from kas.study.workers import adapters
from kas.study.workers.bench import Bench

STUDIES = Path(__file__).parents[2] / "studies"
TINY = (
    "trials=4", "device=cpu", "training.epochs=1", "data.size=8", "data.train_samples=60", "data.val_samples=40",
    "cost.size=8", "cost.batch_size=1", "cost.repeats=3", "cost.min_block_ms=1", "cost.max_ratio=20", "cost.model.width=16",
    "training.model.width=8", "cost.other_runtimes=false",
)  # fmt: skip


@pytest.mark.system
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnet", "6 blocks (BasicBlock); adapters: 4 none, 2 "),
        ("convnext", "4 blocks (ConvNeXtBlock); adapters: 4 none; LayerNorm of the channels behind each"),
        ("vit", "4 blocks (EncoderBlock); adapters: 4 none; LayerNorm of the channels behind each"),
    ],
)
def test_a_network_of_blocks_is_searched(name: str, said: str, tmp_path: Path) -> None:
    """Four trials to their end: kernels in the place of blocks are healthy, timed and trained."""
    line = [sys.executable, "-m", "kas.study", "run", str(STUDIES / f"blocks_{name}.yaml"), "--dir", str(tmp_path)]
    done = subprocess.run([*line, *(f"--set={one}" for one in TINY)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert said in done.stdout
    assert "4 of 4 trials are finished" in done.stdout
    status = [sys.executable, "-m", "kas.study", "status", f"blocks_{name}", "--dir", str(tmp_path), "--json"]
    found = json.loads(subprocess.run(status, capture_output=True, text=True, timeout=60).stdout)
    assert found["outcomes"].get("ok", 0) >= 2, (found["outcomes"], done.stdout)
    assert found["front"]


class Studies:
    """A study of blocks in a folder, opened by any number of workers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def settle(self, *overrides: str) -> tuple[bool, Bench]:
        config = load_config(STUDIES / "blocks_resnet.yaml", [*TINY, *overrides])
        bench = Bench(config, StudyFolder(self.folder))
        storage, mutex = open_storage(None, self.folder), open_mutex(None, self.folder, config.name)
        study = create_or_join(config, storage, mutex)
        try:
            first = adapters.settle_adapters(study, bench, Claims(study, mutex), lambda: pytest.fail("waited"))
            self.stored = json.loads(study.user_attrs[keys.TARGETS])
        finally:
            mutex.close()
            close_storage(storage)
        return first, bench


def prefers(bench: Bench) -> set[str]:
    targets = (*bench.deployed.targets, *bench.trained.targets)
    return {target.prefer for target in targets if target.has_choice}


def test_the_first_worker_decides_and_the_others_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def judge(target: Target) -> str:
        seen.append(target.name)
        return "projection"

    monkeypatch.setattr(adapters, "faster", lambda *given: judge)
    studies = Studies(tmp_path)
    first, bench = studies.settle()
    assert (first, prefers(bench), seen) == (True, {"projection"}, ["stages.2.0"])
    assert {target["prefer"] for target in studies.stored["deployed"]} == {"copies", "projection"}
    assert {target["block"] for target in studies.stored["trained"]} == {"BasicBlock"}
    monkeypatch.setattr(adapters, "faster", lambda *given: pytest.fail("decided again"))
    again, other = studies.settle()
    assert (again, other.deployed.targets, other.trained.targets) == (False, bench.deployed.targets, bench.trained.targets)


@pytest.mark.parametrize(
    ("overrides", "prefer"),
    [
        (["targets.adapter=projection"], "projection"),
        (["targets.adapter=copies"], "copies"),
        (["targets.adapter=auto", "objectives.cost=work"], "copies"),
    ],
)
def test_what_is_chosen_without_measuring(
    overrides: list[str], prefer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "compare", lambda *given, **more: pytest.fail("measured"))
    assert prefers(Studies(tmp_path).settle(*overrides)[1]) == {prefer}


def test_a_projection_that_the_budget_does_not_allow_is_not_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters, "faster", lambda *given: lambda target: "projection")
    assert prefers(Studies(tmp_path).settle("budget={macs: 0.001}")[1]) == {"copies"}


def test_targets_of_a_study_of_an_earlier_kas(tmp_path: Path) -> None:
    """Fields that were not there have their defaults."""
    old = {"name": "a", "in_channels": 8, "out_channels": 16, "size": [4, 4], "stride": 1, "kernel_size": [3, 3],
           "groups": 1, "dilation": 1, "bias": False}  # fmt: skip
    target = Target.from_dict(old)
    assert (target.prefer, target.block, target.norm, target.adapter.kind) == ("copies", "", "none", "copies")
