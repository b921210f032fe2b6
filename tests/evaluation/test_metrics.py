"""The first objective: each metric that torchmetrics has for a task gives one number, or is refused with its reason."""

from __future__ import annotations

import math
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from kas.evaluation import make_data, make_model, train
from kas.evaluation._lightning import pl
from kas.evaluation.metrics import metric_names
from kas.evaluation.settings import DataSettings, ModelSettings, TrainingSettings
from kas.evaluation.tasks import TASKS, Task
from kas.language.errors import KasError

LABELS = torch.arange(12) % 3
CASES: dict[str, tuple[int, Tensor, Tensor]] = {  # task: width, output, targets
    "classification": (3, torch.randn(12, 3, generator=torch.Generator().manual_seed(0)), LABELS),
    "segmentation": (
        3,
        torch.randn(2, 3, 2, 6, generator=torch.Generator().manual_seed(0)),
        LABELS.reshape(2, 1, 6).repeat(1, 2, 1),
    ),
    "multilabel": (3, torch.randn(12, 3, generator=torch.Generator().manual_seed(0)), nn.functional.one_hot(LABELS).float()),
    "regression": (1, torch.linspace(0.1, 2, 12)[:, None], torch.linspace(0.2, 1.9, 12).flip(0)),
}


def task_of(name: str, **settings: Any) -> Task:
    return TASKS[name](TrainingSettings(**settings), CASES[name][0])


@pytest.mark.parametrize(
    ("task", "name"), [(task, name) for task in CASES for name in metric_names(task_of(task).family)], ids=str
)
def test_each_is_one_finite_number_or_refused(task: str, name: str) -> None:
    kind, (_, output, targets) = task_of(task, metric=name), CASES[task]
    measure, refused = None, ""
    try:
        measure = kind.measure()
    except KasError as error:
        refused = str(error)
    if measure is None:
        assert any(words in refused for words in ("further arguments", "no direction", "not one number", "does not take"))
        return
    assert measure.metric is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of so few samples
        measure.metric.update(kind.predictions(output), kind.for_metric(targets))
        assert math.isfinite(float(measure.metric.compute()))


def test_a_metric_knows_its_name_direction_and_whether_it_is_a_share() -> None:
    found = [
        (measure.name, measure.direction, measure.share)
        for measure in (
            task_of("classification").measure(),
            task_of("classification", metric="HammingDistance").measure(),
            task_of("segmentation").measure(),
            task_of("multilabel").measure(),
            task_of("regression").measure(),
            task_of("regression", metric="R2Score").measure(),
            task_of("regression", metric="MeanSquaredError", direction="maximize").measure(),
        )
    ]
    assert found == [
        ("accuracy", "maximize", True),
        ("HammingDistance", "minimize", True),
        ("JaccardIndex", "maximize", True),
        ("F1Score", "maximize", True),
        ("MeanSquaredError", "minimize", False),
        ("R2Score", "maximize", False),
        ("MeanSquaredError", "maximize", False),
    ]


def test_accuracy_is_top_1() -> None:
    measure = task_of("classification").measure()
    assert measure.metric is not None
    measure.metric.update(torch.eye(3), torch.tensor([0, 1, 1]))
    assert float(measure.metric.compute()) == pytest.approx(2 / 3)


def test_arguments_of_a_metric_decide() -> None:
    micro, macro = (
        task_of("classification", metric="Accuracy", metric_args={"average": average}).measure().metric
        for average in ("micro", "macro")
    )
    assert micro is not None
    assert macro is not None
    for metric in (micro, macro):
        metric.update(torch.eye(3)[[0, 0, 0, 0]], torch.tensor([0, 0, 0, 1]))
    assert float(micro.compute()) == pytest.approx(3 / 4)
    assert float(macro.compute()) == pytest.approx(1 / 2)  # of the two classes that are there


def test_the_best_epoch_of_an_error_is_the_least(tmp_path: Path) -> None:
    data = make_data(DataSettings(train_samples=60, val_samples=40, size=8))
    torch.manual_seed(0)
    model = make_model(ModelSettings(name="mlp", args={"width": 32}), data.num_classes, data.input_shape)
    result = train(model, data, TrainingSettings(epochs=6, lr=0.02, metric="HammingDistance"), folder=tmp_path, device="cpu")
    assert result.best_accuracy == min(report.accuracy for report in result.history) < max(r.accuracy for r in result.history)


OWN = """\
import torch, torchmetrics
from torch import nn

class Loss(nn.Module):
    def __init__(self, num_classes, power=1.0):
        super().__init__()
        self.classes, self.power = num_classes, power

    def forward(self, output, targets):
        return self.power * nn.functional.cross_entropy(output, targets)

def metric(num_classes):
    return torchmetrics.classification.MulticlassRecall(num_classes=num_classes)

def number(num_classes):
    return 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_task.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_task", raising=False)


def test_a_loss_and_a_metric_of_ones_own(own: None) -> None:
    task = task_of("classification", loss="own_task:Loss", loss_args={"power": 2.0}, metric="own_task:metric")
    output = torch.zeros(3, 3)
    assert float(task.loss()(output, torch.arange(3))) == pytest.approx(2 * math.log(3))
    assert (task.measure().name, task.measure().direction) == ("metric", "maximize")


def test_losses_take_weights_of_classes_and_what_to_ignore() -> None:
    task = task_of("classification", class_weights=[1.0, 0.0, 0.0], ignore_index=2)
    output = torch.tensor([[0.0, 9.0, 0.0], [0.0, 0.0, 9.0], [0.0, 0.0, 0.0]])
    alone = nn.functional.cross_entropy(output[:1], torch.tensor([0]))
    assert float(task.loss()(output, torch.tensor([0, 1, 2]))) == pytest.approx(float(alone))
    positives = task_of("multilabel", class_weights=[2.0, 1.0, 1.0]).loss()
    assert float(positives(torch.zeros(1, 3), torch.eye(3)[:1])) == pytest.approx(4 / 3 * math.log(2))


class Rare(pl.LightningDataModule):
    """Four samples, in batches of two; the targets are given."""

    def __init__(self, targets: torch.Tensor) -> None:
        super().__init__()
        self.targets = targets

    def train_dataloader(self) -> Any:
        return DataLoader(TensorDataset(torch.zeros(4, 1), self.targets), batch_size=2)


def test_balanced_weights_are_counted_over_all_training_targets() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    labels = torch.tensor([0, 0, 0, 1])
    task = task_of("classification", class_weights="balanced").balanced(Rare(labels))
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=labels.numpy())
    assert task.weights == pytest.approx([*expected, 0.0], abs=1e-6)  # no sample is of the third class
    assert task.loss().weight.tolist() == pytest.approx(task.weights)
    present = torch.tensor([[1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]])
    task = task_of("multilabel", class_weights="balanced").balanced(Rare(present))
    assert task.weights == pytest.approx([3, 1, 1 / 3], abs=1e-6)
    assert task.loss().pos_weight.tolist() == pytest.approx(task.weights)
    with pytest.raises(KasError, match="balanced needs classes"):
        task_of("regression", class_weights="balanced").balanced(Rare(labels.float()))


@pytest.mark.parametrize(
    ("task", "settings", "message"),
    [
        ("classification", {"metric": "acuracy"}, "did you mean 'accuracy'"),
        ("classification", {"metric": "ROC"}, r"training\.metric ROC has no direction"),
        ("classification", {"loss": "CrossEntropy"}, r"torch\.nn does not have as a loss; did you mean 'CrossEntropyLoss'"),
        ("classification", {"class_weights": [1.0]}, r"training\.class_weights has 1 weights for 3 classes"),
        ("regression", {"class_weights": [1.0]}, r"training\.class_weights: MSELoss has no weights of classes"),
        ("regression", {"label_smoothing": 0.1}, r"training\.label_smoothing is 0\.1, but MSELoss has no label_smoothing"),
        ("regression", {"loss_args": {"beta": 1}}, r"training\.loss MSELoss does not take training\.loss_args"),
        ("classification", {"metric": "own_task:number"}, r"returned a int; a torchmetrics\.Metric is expected"),
        ("classification", {"loss": "own_task:number"}, r"returned a int; a torch\.nn\.Module \(output, targets\) is expected"),
        ("custom", {}, r"task custom needs training\.loss"),
    ],
)
def test_wrong_names_and_arguments(own: None, task: str, settings: dict[str, Any], message: str) -> None:
    kind = TASKS[task](TrainingSettings(**settings), 3 if task != "regression" else 1)
    with pytest.raises(KasError, match=message):
        print(kind.loss(), kind.measure())
