"""After a search with measured latency, Optuna, the notes, the summary and `status` say the same of each kernel."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest
from optuna_dashboard._note import get_note_from_system_attrs

from kas.reporting import wording
from kas.reporting.summary import summarize
from kas.study.__main__ import main
from kas.study.storage import records
from kas.study.storage.opening import close_storage, open_storage

STUDY = """\
name: tiny
trials: 5
data: {name: digits, size: 8, train_samples: 100, val_samples: 50}
model: {args: {width: 8, stages: 2}}
training: {epochs: 1, model: {width: 4}}
cost: {batch_size: 2, size: 12, other_runtimes: false, max_ratio: 50}
objectives: {cost: latency}
search: {seeds: [grouped3x3, depthwise_separable, conv1x1, bottleneck]}
health: {enabled: false}
"""


@pytest.mark.system
def test_everything_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tiny.yaml").write_text(STUDY)
    assert main(["run", str(tmp_path / "tiny.yaml"), f"--dir={tmp_path}"]) == 0
    capsys.readouterr()
    assert main(["status", "tiny", f"--dir={tmp_path}", "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    storage = open_storage(None, tmp_path / "tiny", create=False)
    try:
        study = optuna.load_study(study_name="tiny", storage=storage)
        read = {record.number: record for record in records.read(study)}
        rows = {row.number: row for row in summarize(study).rows}
        notes = storage.get_study_system_attrs(study._study_id)
        complete = [trial for trial in study.trials if trial.values]
        assert len(complete) >= 3
        for trial in complete:
            accuracy, cost = trial.values
            own, note = read[trial.number], get_note_from_system_attrs(notes, trial._trial_id)["body"]
            assert (own.accuracy, own.cost, own.ratio) == (accuracy, cost, cost)
            assert rows[trial.number].values == (accuracy, cost)
            assert rows[trial.number].latency_ms == own.latency_ms == trial.user_attrs["latency_ms"]
            assert f"speed-up: {wording.speedup(1 / cost)}" in note
        best = {trial.user_attrs["hash"] for trial in study.best_trials}
        assert best == {entry["hash"] for entry in status["front"]}
        for trial in study.best_trials:
            assert trial.user_attrs["measured"] == 3
            assert trial.user_attrs["first_latency"]["ratio"] > 0
        assert {entry["hash"]: entry["speedup"] for entry in status["front"]} == {
            trial.user_attrs["hash"]: pytest.approx(1 / trial.values[1]) for trial in study.best_trials
        }
    finally:
        close_storage(storage)
