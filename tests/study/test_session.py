"""A whole session on a tiny real study: reference, trials, front, files; repeatable where nothing measured decides."""

from __future__ import annotations

import json
import py_compile
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import torch

from kas import zoo
from kas.evaluation.settings import CostSettings, DataSettings, TrainingSettings
from kas.generation import GenerationSettings
from kas.language import KasError, Kernel
from kas.study.config import StudyConfig
from kas.study.display.events import Silent, StudySummary
from kas.study.settings import ObjectiveSettings, SearchSettings, TargetSettings
from kas.study.storage.status import status
from kas.study.workers.session import run_study

CONFIG = StudyConfig(
    name="tiny",
    trials=3,
    device="cpu",
    data=DataSettings(name="digits", size=8, train_samples=200, val_samples=100),
    training=TrainingSettings(model={"width": 8}, epochs=2),
    cost=CostSettings(model={"width": 16}, size=8, batch_size=4, repeats=3, max_ratio=50.0, other_runtimes=False),
    targets=TargetSettings(adapter="projection"),  # nothing else is timed
    search=SearchSettings(seeds=["depthwise_separable", "bottleneck"]),
)
WORK = replace(CONFIG, objectives=ObjectiveSettings(cost="work"))


def run(config: StudyConfig, folder: Path) -> StudySummary:
    return run_study(config, folder / config.name, None, Silent())


def test_latency_study_with_its_files(tmp_path: Path) -> None:
    summary = run(CONFIG, tmp_path)
    assert (summary.exit_code, summary.finished, summary.wanted) == (0, 3, 3)
    assert summary.reference is not None
    assert summary.reference.latency_ms is not None
    assert summary.front
    for record in summary.front:
        assert record.measured == 3
        assert record.speedup == pytest.approx(1 / record.ratio)
        place = tmp_path / "tiny" / "kernels" / f"{record.hash}.json"
        assert Kernel.from_json(place.read_text()).hash == record.hash
        assert place.with_suffix(".svg").read_text().lstrip().startswith("<?xml")
        py_compile.compile(str(place.with_suffix(".py")), doraise=True)
        weights = torch.load(place.with_suffix(".ckpt"), weights_only=True)
        assert weights["program"] == record.program
        assert weights["state_dict"]
    study = optuna.load_study(study_name="tiny", storage=f"sqlite:///{tmp_path / 'tiny/study.db'}")
    shown = study._storage.get_study_system_attrs(study._study_id)  # the dashboard's own places for notes and cards
    assert "tiny" in shown["dashboard:note_str:0"]
    assert any(key.startswith("dashboard:plot_data:kas-front") for key in shown)
    before = {record.number: record for record in summary.records}
    again = run(replace(CONFIG, trials=4), tmp_path)
    assert again.finished == 4
    assert all(record.accuracy == before[record.number].accuracy for record in again.records if record.number in before)
    with pytest.raises(KasError, match=r"seed: 0 -> 1"):
        run(replace(CONFIG, seed=1), tmp_path)


def test_a_study_by_work_is_repeatable_and_measures_nothing(tmp_path: Path) -> None:
    first, second = (run(WORK, tmp_path / name) for name in ("a", "b"))
    assert [(r.hash, r.accuracy, r.cost, r.outcome) for r in first.records] == [
        (r.hash, r.accuracy, r.cost, r.outcome) for r in second.records
    ]
    assert first.finished == 3
    assert all(record.latency_ms is None and record.speedup is None for record in first.records)
    assert first.reference is not None
    assert first.reference.latency_ms is None


def test_a_seed_that_fits_no_budget_is_named_and_costs_no_trial(tmp_path: Path) -> None:
    class Messages(Silent):
        def __init__(self) -> None:
            self.lines: list[str] = []

        def message(self, text: str) -> None:
            self.lines.append(text)

    search = replace(CONFIG.search, seeds=["gated_convolution", "bottleneck"])
    for trials, warnings in ((1, 1), (2, 0)):  # told when the study is made, not each time it goes on
        listener = Messages()
        summary = run_study(replace(WORK, trials=trials, search=search), tmp_path / "tiny", None, listener)
        assert summary.records[0].hash == zoo.get("bottleneck").hash
        assert all(record.outcome != "infeasible" for record in summary.records[:1])
        warned = [line for line in listener.lines if line.startswith("warning: ")]
        assert len(warned) == warnings
    assert "warning: the seed gated_convolution is left out" in (log := (tmp_path / "tiny/log.txt").read_text())
    assert "with the budget macs 0.3: the budget cannot be met: macs is limited to" in log


def test_a_study_of_another_program_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    storage = f"sqlite:///{tmp_path}/tiny/study.db"
    optuna.create_study(study_name="tiny", storage=storage).add_trial(optuna.create_trial(value=1.0))
    with pytest.raises(KasError, match="choose another name"):
        run(CONFIG, tmp_path)


def test_status_after_a_session(tmp_path: Path) -> None:
    run(replace(WORK, trials=2), tmp_path)
    study = optuna.load_study(study_name="tiny", storage=f"sqlite:///{tmp_path}/tiny/study.db")
    found = status(study, tmp_path / "tiny")
    assert (found["finished"], found["running"], found["trials"]) == (2, 0, 2)
    assert found["original"]["latency_ms"] is None
    assert found["front"]
    assert all(Path(entry["json"]).exists() for entry in found["front"])
    json.dumps(found)
    study._storage._backend.engine.dispose()


def test_widths_of_the_deployed_network_are_multiples_where_asked(tmp_path: Path) -> None:
    search = replace(CONFIG.search, seeds=["bottleneck"], generation=GenerationSettings(multiple_of=8))
    config = replace(WORK, trials=1, cost=replace(CONFIG.cost, model={"width": 40}), search=search)
    run(config, tmp_path)
    study = optuna.load_study(study_name="tiny", storage=f"sqlite:///{tmp_path / 'tiny/study.db'}")
    widths = [value for sizes in study.trials[0].user_attrs["sizes"]["values"].values() for value in sizes.values()]
    assert widths
    assert all(width % 8 == 0 for width in widths)
