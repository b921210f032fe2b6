"""Data that trip a search: each is trained as what it is, or refused in one sentence before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kas.evaluation.settings import CostSettings, DataSettings, ModelSettings, TrainingSettings
from kas.language import KasError
from kas.study.config import StudyConfig
from kas.study.display.events import Silent, StudySummary
from kas.study.settings import ObjectiveSettings, SearchSettings
from kas.study.storage.files import StudyFolder
from kas.study.workers.bench import Bench
from kas.study.workers.preflight import look_first
from kas.study.workers.session import run_study


def config(factory: str, task: Any = "auto", **training: Any) -> StudyConfig:
    data = DataSettings(factory=f"case_data:{factory}", batch=training.pop("batch", {}))
    return StudyConfig(
        name="case",
        trials=1,
        device="cpu",
        task=task,
        data=data,
        model=ModelSettings(args={"width": 4, "stages": 2}),
        training=TrainingSettings(**{"epochs": 1, **training}),
        cost=CostSettings(batch_size=2),
        search=SearchSettings(seeds=["grouped3x3"]),
        objectives=ObjectiveSettings(cost="work"),
    )


def run(folder: Path, config: StudyConfig, listener: Silent | None = None) -> StudySummary:
    summary = run_study(config, folder / "case", None, listener or Silent())
    (record,) = summary.records
    assert (summary.exit_code, record.outcome) == (0, "ok"), record
    return summary


def lines(folder: Path, config: StudyConfig) -> list[str]:
    return list(look_first(Bench(config, StudyFolder(folder))).lines)


def test_one_hot_targets_are_the_classes_that_they_are(tmp_path: Path) -> None:
    summary = run(tmp_path, config("hot", epochs=4))
    assert summary.metric.task == "classification"
    assert summary.reference is not None
    assert summary.reference.accuracy > 0.15  # ten classes


def test_dictionaries_run_with_the_mapping_that_their_message_names(tmp_path: Path) -> None:
    message = r"keys image, label; .* as in data\.batch: \{inputs: image, targets: label\}"
    with pytest.raises(KasError, match=message):
        run(tmp_path, config("dictionaries"))
    assert not (tmp_path / "case").exists()
    run(tmp_path, config("dictionaries", batch={"inputs": "image", "targets": "label"}))


def test_triples_run_with_positions(tmp_path: Path) -> None:
    with pytest.raises(KasError, match=r"batches of 3 parts; .* by position, as in data\.batch: \{inputs: 0, targets: 1\}"):
        lines(tmp_path, config("triples"))
    assert lines(tmp_path, config("triples", batch={"inputs": 0, "targets": 1}))


def test_a_rare_class_says_what_a_constant_answer_gets(tmp_path: Path) -> None:
    summary = run(tmp_path, config("rare"))
    assert summary.metric.constant == pytest.approx(0.98, abs=0.01)
    said = lines(tmp_path, config("rare"))
    assert any("the largest (0) has 97." in line or "the largest (0) has 98." in line for line in said), said
    assert any(line.startswith("a constant answer gets accuracy 9") for line in said), said


def test_numbers_are_a_regression_whose_error_is_minimised(tmp_path: Path) -> None:
    summary = run(tmp_path, config("regression"))
    metric = summary.metric
    assert (metric.task, metric.name, metric.direction, metric.share) == ("regression", "MeanSquaredError", "minimize", False)


def test_a_last_batch_of_one_runs(tmp_path: Path) -> None:
    run(tmp_path, config("last_of_one"))


@pytest.mark.parametrize(
    ("factory", "task"), [("multilabel", "multilabel"), ("one_label", "multilabel"), ("plain", "classification")]
)
def test_the_task_is_guessed_and_shown(tmp_path: Path, factory: str, task: str) -> None:
    assert any(line.startswith(f"task: {task}, ") for line in lines(tmp_path, config(factory)))


def test_samples_of_both_splits_are_counted(tmp_path: Path) -> None:
    assert "samples: 120 to train, 80 to validate; 20 validation samples are also among those of training" in lines(
        tmp_path, config("shared")
    )


def test_a_label_that_marks_nothing_can_be_ignored(tmp_path: Path) -> None:
    with pytest.raises(KasError, match=r"\d+\.\d % of them are 255; .* training\.ignore_index: 255"):
        lines(tmp_path, config("one_unlabelled"))
    said = lines(tmp_path, config("one_unlabelled", ignore_index=255))
    assert any("% ignored" in line for line in said), said


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("no_validation", r"the validation loader has no batch: Module\.val_dataloader\(\) must yield samples"),
        (
            "empty_training",
            r"train_dataloader raised ValueError: num_samples .*\n  File .*case_data\.py",
        ),
        ("labels_from_one", r"labels run from 1 to 10, but the network has 10 outputs.*: labels start at 1; subtract 1"),
        ("negative", r"labels run from -3 to 6, but the network has 10 outputs"),
        ("several_validations", r"Module\.val_dataloader returns 2 loaders; one is expected"),
        ("bytes_", r"Its inputs are uint8, from 0 to 255: let the data set return floats"),
        ("arrays", r"the training loader yields inputs of type ndarray; a torch\.Tensor \[N, \.\.\.\] is expected"),
        ("not_numbers", r"targets hold a value that is NaN or infinite"),
        ("holes_in_images", r"inputs that are NaN or infinite"),
        ("wrong_shape", r"Module\.input_shape is \[1, 16, 16\], but its samples are \[1, 8, 8\]"),
        ("raises", r"the training loader raised KeyError: 'b'\n  File .*case_data\.py\", line \d+, in __getitem__"),
    ],
)
def test_refused_in_one_sentence_before_anything_is_written(tmp_path: Path, factory: str, message: str) -> None:
    with pytest.raises(KasError, match=message) as caught:
        run(tmp_path, config(factory))
    assert not (tmp_path / "case").exists()
    assert "kas/evaluation" not in str(caught.value)
