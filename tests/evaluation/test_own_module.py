"""A LightningModule of the user's trains itself, is scored by what it logs, and goes on after a crash as others do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kas.evaluation import EpochReport, make_data, train
from kas.evaluation._lightning import pl
from kas.evaluation.batches import Batch
from kas.evaluation.settings import DataSettings, TrainingSettings
from kas.evaluation.tasks import make_task
from kas.evaluation.training import CHECKPOINT, score_on_test
from kas.language import KasError

SETTINGS = TrainingSettings(epochs=3, metric="val_error", direction="minimize")


class Own(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)  # type: ignore[no-any-return]

    def training_step(self, batch: Any, index: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val_error", (self(batch[0]).argmax(1) != batch[1]).float().mean())

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


def own() -> Own:
    torch.manual_seed(0)
    return Own()


def data() -> Any:
    return make_data(DataSettings(size=8, train_samples=100, val_samples=50, test_samples=50))


def test_it_trains_is_tested_and_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    whole = train(own(), data(), SETTINGS, folder=tmp_path / "whole", device="cpu")
    assert whole.best_accuracy == min(report.accuracy for report in whole.history)
    assert whole.history[-1].train_loss < whole.history[0].train_loss

    def cut(report: EpochReport) -> None:
        if report.epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(own(), data(), SETTINGS, folder=tmp_path / "cut", device="cpu", on_epoch=cut)
    again = own()
    result = train(again, data(), SETTINGS, folder=tmp_path / "cut", device="cpu")
    assert (result.resumed_from_epoch, result.accuracy) == (2, whole.accuracy)
    state = torch.load(tmp_path / "cut" / CHECKPOINT, weights_only=True)["state_dict"]
    assert set(state) == {"model.model.1.weight", "model.model.1.bias"}  # the network's own names, under `model.`
    assert 0 <= score_on_test(again, data(), SETTINGS, device="cpu") <= 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (TrainingSettings(epochs=1), r"a LightningModule needs training\.metric.* and training\.direction"),
        (TrainingSettings(epochs=1, metric="acc", direction="maximize"), r"does not log for an epoch; it logs .*val_error"),
    ],
)
def test_what_it_does_not_log_is_no_metric(tmp_path: Path, settings: TrainingSettings, message: str) -> None:
    with pytest.raises(KasError, match=message):
        train(own(), data(), settings, folder=tmp_path, device="cpu")


def test_it_has_no_other_task() -> None:
    batch = Batch(torch.zeros(4, 64), torch.arange(4))
    with pytest.raises(KasError, match="Own is a LightningModule, which trains itself: task: custom"):
        make_task("classification", own(), batch.inputs, batch.targets, SETTINGS)
