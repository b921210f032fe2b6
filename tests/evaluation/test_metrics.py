"""The accuracy objective: each metric that torchmetrics has is trained with, or refused with its reason."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from kas.evaluation import make_data, make_model, train
from kas.evaluation.metrics import make_metric, metric_names
from kas.evaluation.settings import DataSettings, ModelSettings, TrainingSettings
from kas.language.errors import KasError


def test_metrics_by_name() -> None:
    logits = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 1.0]])
    metric = make_metric("accuracy", 2)
    metric.update(logits, torch.tensor([0, 1, 1]))
    assert float(metric.compute()) == pytest.approx(2 / 3)
    with pytest.raises(KasError, match="did you mean 'accuracy'"):
        make_metric("acuracy", 2)


@pytest.mark.parametrize("name", ["HammingDistance", "CalibrationError"])
def test_a_search_does_not_raise_an_error(name: str) -> None:
    with pytest.raises(KasError, match=f"training.metric {name} is not the better the higher it is; .* such as F1Score"):
        make_metric(name, 3)


@pytest.mark.parametrize("name", metric_names())
def test_each_is_trained_with_or_refused_before(name: str, tmp_path: Path) -> None:
    data = make_data(DataSettings(train_samples=60, val_samples=40, size=8))
    model = make_model(ModelSettings(name="mlp", args={"width": 8}), data.num_classes, data.input_shape)
    settings = TrainingSettings(epochs=1, metric=name)
    try:
        make_metric(name, 2)
    except KasError:
        with pytest.raises(KasError, match=f"training.metric {name} .*(needs further arguments|is not the better|is not one)"):
            train(model, data, settings, folder=tmp_path, device="cpu")
        return
    result = train(model, data, settings, folder=tmp_path, device="cpu")
    assert math.isfinite(result.accuracy)
