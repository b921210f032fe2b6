"""Training: determinism, checkpoints, resuming after a kill, and every way to end without a result."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
from torch import nn

from kas.evaluation import (
    DeviceLock,
    OutOfMemory,
    TimeLimit,
    TrainingDiverged,
    make_data,
    make_model,
    resolve_device,
    train,
)
from kas.evaluation.checkpoints import read_checkpoint
from kas.evaluation.reports import EpochReport
from kas.evaluation.settings import DataSettings, ModelSettings, Precision, TrainingSettings
from kas.evaluation.training import score_on_test
from kas.language.errors import KasError


@pytest.fixture(scope="module")
def data() -> Any:
    return make_data(DataSettings(train_samples=200, val_samples=100, size=8))


def network(dropout: float = 0.1) -> nn.Module:
    torch.manual_seed(0)
    model = make_model(ModelSettings(args={"width": 8, "stages": 2}), 10, (1, 8, 8))
    return nn.Sequential(nn.Dropout(dropout), model)


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


class _Stop(Exception):
    """What an `on_epoch` of these tests raises."""


def stop_after(epoch: int) -> Any:
    def on_epoch(report: EpochReport) -> None:
        if report.epoch == epoch:
            raise _Stop

    return on_epoch


def test_same_seed_same_result_and_another_seed_another(data: Any, tmp_path: Path) -> None:
    settings = TrainingSettings(epochs=2)
    models = [network() for _ in range(3)]
    results = [
        train(model, data, settings, folder=tmp_path / str(i), seed=min(i, 1), device="cpu")
        for i, model in enumerate([models[0], models[1], models[2]])
    ]
    assert results[1].accuracy == results[2].accuracy
    assert torch.equal(weights(models[1]), weights(models[2]))
    assert not torch.equal(weights(models[0]), weights(models[1]))


def test_a_resumed_training_ends_as_an_uninterrupted_one(data: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = TrainingSettings(epochs=4)
    whole = network()
    expected = train(whole, data, settings, folder=tmp_path / "whole", seed=3, device="cpu")
    with pytest.raises(_Stop):
        train(network(), data, settings, folder=tmp_path / "cut", seed=3, device="cpu", on_epoch=stop_after(1))
    resumed = network()
    seen: list[int] = []
    with caplog.at_level(logging.INFO, logger="kas"):
        result = train(
            resumed,
            data,
            settings,
            folder=tmp_path / "cut",
            seed=3,
            device="cpu",
            on_epoch=lambda r: seen.append(r.epoch),
        )
    assert seen == [2, 3]
    assert "goes on from epoch 2 of 4" in caplog.text
    assert (result.resumed_from_epoch, result.epochs) == (2, 4)
    assert [r.accuracy for r in result.history] == [r.accuracy for r in expected.history]
    assert [r.train_loss for r in result.history] == [r.train_loss for r in expected.history]
    assert torch.equal(weights(resumed), weights(whole))


def test_a_finished_training_is_not_done_again(data: Any, tmp_path: Path) -> None:
    settings = TrainingSettings(epochs=2)
    trained, loaded = network(), network()
    first = train(trained, data, settings, folder=tmp_path, device="cpu")
    again = train(loaded, data, settings, folder=tmp_path, device="cpu", on_epoch=stop_after(0))
    assert (again.accuracy, again.history, again.resumed_from_epoch) == (first.accuracy, first.history, 2)
    assert torch.equal(weights(trained), weights(loaded))
    assert not list(tmp_path.glob("*.tmp"))


def test_a_checkpoint_of_another_network_is_refused(data: Any, tmp_path: Path) -> None:
    settings = TrainingSettings(epochs=1)
    train(network(), data, settings, folder=tmp_path, device="cpu")
    other = make_model(ModelSettings(args={"width": 4}), 10, (1, 8, 8))
    with pytest.raises(KasError, match="is of another network"):
        train(other, data, settings, folder=tmp_path, device="cpu")


@pytest.mark.parametrize("damage", ["truncated", "empty", "no history"])
def test_a_damaged_checkpoint_is_kept_aside(damage: str, data: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = TrainingSettings(epochs=1)
    first = train(network(), data, settings, folder=tmp_path, device="cpu")
    checkpoint = tmp_path / "last.ckpt"
    if damage == "no history":
        torch.save({"state_dict": {}}, checkpoint)
    else:
        checkpoint.write_bytes(checkpoint.read_bytes()[: 1000 if damage == "truncated" else 0])
    damaged = checkpoint.read_bytes()
    again = train(network(), data, settings, folder=tmp_path, device="cpu")
    assert (again.resumed_from_epoch, again.accuracy) == (None, first.accuracy)
    assert (tmp_path / "last.damaged").read_bytes() == damaged
    assert "starts anew, as its checkpoint is damaged" in caplog.text
    read_checkpoint(checkpoint)


def test_a_checkpoint_that_does_not_fit_the_disk_leaves_the_one_before(tmp_path: Path) -> None:
    code = """
import resource, sys
from pathlib import Path
import torch
from kas.evaluation.checkpoints import AtomicCheckpoints, read_checkpoint
path = Path(sys.argv[1])
AtomicCheckpoints().save_checkpoint({"epoch": 1}, path)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    AtomicCheckpoints().save_checkpoint({"epoch": 2, "weights": torch.zeros(100_000)}, path)
except OSError as error:
    print(error)
print(read_checkpoint(path)["epoch"], [file.name for file in path.parent.iterdir()])
"""
    path = tmp_path / "last.ckpt"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    error = f"[Errno 27] File too large (0.4 MB are needed): '{path}'"
    assert done.stdout.splitlines() == [error, "1 ['last.ckpt']"], done.stderr


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_learns_digits_within_seconds(optimizer: str, tmp_path: Path) -> None:
    digits = make_data(DataSettings())
    model = make_model(ModelSettings(args={"width": 8}), digits.num_classes, digits.input_shape)
    lr = {"adamw": 4e-3, "sgd": 0.1}[optimizer]
    settings = TrainingSettings(epochs=3, optimizer=optimizer, lr=lr, weight_decay=1e-3, label_smoothing=0.05)
    result = train(model, digits, settings, folder=tmp_path, device="cpu")
    assert result.accuracy > 0.8
    assert result.best_accuracy >= result.accuracy
    assert result.seconds > 0


def test_a_data_module_has_no_memory_of_trainings(data: Any, tmp_path: Path) -> None:
    def first() -> torch.Tensor:
        return next(iter(data.train_dataloader()))[0]  # type: ignore[no-any-return]

    before = first()
    train(network(), data, TrainingSettings(epochs=2), folder=tmp_path, seed=9, device="cpu")
    assert torch.equal(first(), before)


def test_says_nothing_of_its_own(data: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train(network(), data, TrainingSettings(epochs=1), folder=tmp_path, device="cpu")
    out, err = capfd.readouterr()
    assert out + err == ""


class _Faulty(nn.Module):
    """A network that does `fault` from its third training batch on."""

    def __init__(self, fault: Any) -> None:
        super().__init__()
        self.linear, self.fault, self.calls = nn.Linear(64, 10), fault, 0

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.calls += self.training
        outputs = self.linear(inputs.flatten(1))
        return self.fault(outputs) if self.calls > 2 else outputs


def _out_of_memory(_: torch.Tensor) -> torch.Tensor:
    return torch.empty(2**56, dtype=torch.uint8)


def _interrupt(_: torch.Tensor) -> torch.Tensor:
    raise KeyboardInterrupt


def _work(outputs: torch.Tensor) -> torch.Tensor:
    end = time.thread_time() + 0.3  # own work, however busy the machine is
    while time.thread_time() < end:
        pass
    return outputs


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        (lambda outputs: outputs * float("nan"), TrainingDiverged, "the training loss was nan in epoch 0"),
        (lambda outputs: outputs * 1e38 * 1e38, TrainingDiverged, "in epoch 0"),
        (_out_of_memory, OutOfMemory, "out of memory while training"),
        (_work, TimeLimit, r"in epoch 0 of 2 after training\.time_limit_s = 0\.2 s"),
        (_interrupt, KeyboardInterrupt, None),
    ],
)
def test_ends_without_a_result(data: Any, tmp_path: Path, fault: Any, error: type[BaseException], message: str | None) -> None:
    settings = TrainingSettings(epochs=2, time_limit_s=0.2 if error is TimeLimit else None)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(error, match=message):
        train(_Faulty(fault), data, settings, folder=tmp_path, device="cpu")
    assert signal.getsignal(signal.SIGINT) is handler
    assert not (tmp_path / "last.ckpt").exists()


def test_kill_9_in_the_middle_loses_at_most_one_epoch(tmp_path: Path) -> None:
    script = (
        "import sys, torch\n"
        "from kas.evaluation import make_data, make_model, train\n"
        "from kas.evaluation.settings import *\n"
        "data = make_data(DataSettings(train_samples=400, val_samples=100))\n"
        "torch.manual_seed(0)\n"
        "model = make_model(ModelSettings(args={'width': 8}), 10, data.input_shape)\n"
        "result = train(model, data, TrainingSettings(epochs=int(sys.argv[2])), folder=sys.argv[1], device='cpu',\n"
        "               on_epoch=lambda report: print(report.epoch, flush=True))\n"
        "print('resumed', result.resumed_from_epoch, result.epochs)\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", script, str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([*command, "60"], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        seen = [int(process.stdout.readline()) for _ in range(3)]
        os.kill(process.pid, signal.SIGKILL)
        seen += [int(line) for line in process.stdout.read().split()]
    saved = len(next(iter(read_checkpoint(tmp_path / "last.ckpt")["callbacks"].values()))["history"])
    assert saved - 1 in (seen[-1], seen[-1] + 1)
    epochs = saved + 1
    again = subprocess.run([*command, str(epochs)], stdout=subprocess.PIPE, text=True, check=True, env=environment)
    output = again.stdout.split("\n")
    assert output[:2] == [str(saved), f"resumed {saved} {epochs}"]


class _Watching(nn.Module):
    """Notes in which mode it runs, and what its lock is held for."""

    def __init__(self, lock: DeviceLock) -> None:
        super().__init__()
        self.linear, self.lock, self.seen = nn.Linear(64, 10), lock, set[tuple[bool, str | None]]()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.seen.add((self.training, self.lock._held))
        return self.linear(inputs.flatten(1))  # type: ignore[no-any-return]


def test_the_lock_is_held_in_training_validation_and_test(data: Any, tmp_path: Path) -> None:
    lock = DeviceLock(tmp_path / "locks")
    model, settings = _Watching(lock), TrainingSettings(epochs=1)
    train(model, data, settings, folder=tmp_path, device="cpu", lock=lock)
    assert model.seen == {(True, "shared"), (False, "shared")}
    model.seen.clear()
    score_on_test(model, data, settings, device="cpu", lock=lock)
    assert model.seen == {(False, "shared")}
    lock.close()


def test_waiting_for_the_lock_is_no_training(data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands still but for 100 s that others take before each batch."""
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr("kas.evaluation._callbacks.time", clock)

    class Busy(DeviceLock):
        def acquire_shared(self) -> None:
            super().acquire_shared()
            clock.now += 100

    lock, settings = Busy(tmp_path / "locks"), TrainingSettings(epochs=2, time_limit_s=1.0)
    result = train(network(), data, settings, folder=tmp_path, device="cpu", lock=lock)
    assert clock.now >= 400
    assert result.seconds == 0
    lock.close()


def test_lock_is_free_between_batches_and_after_any_end(data: Any, tmp_path: Path) -> None:
    lock = DeviceLock(tmp_path / "locks")
    train(network(), data, TrainingSettings(epochs=1), folder=tmp_path / "a", device="cpu", lock=lock)
    with lock.exclusive():
        pass
    with pytest.raises(TrainingDiverged):
        train(
            _Faulty(lambda o: o * float("nan")), data, TrainingSettings(epochs=1), folder=tmp_path / "b", device="cpu",
            lock=lock,
        )  # fmt: skip
    with lock.exclusive():
        pass
    lock.close()


@pytest.mark.parametrize("precision", get_args(Precision))
def test_each_precision_trains_or_is_refused(precision: Precision, data: Any, tmp_path: Path) -> None:
    settings = TrainingSettings(epochs=1, precision=precision)
    if precision == "16-mixed":
        with pytest.raises(KasError, match=r"16-mixed cannot be had on the device cpu; use training\.precision: bf16"):
            train(network(), data, settings, folder=tmp_path, device="cpu")
        return
    model = nn.Sequential(_Unused(), network())
    result = train(model, data, settings, folder=tmp_path, device="cpu")
    assert result.epochs == 1
    kinds = {"16-true": torch.float16, "bf16-true": torch.bfloat16, "64-true": torch.float64}
    assert weights(model).dtype == kinds.get(precision, torch.float32)
    assert bool(weights(model).isfinite().all())


class _Unused(nn.Module):
    """Has a weight whose gradient is zero, which must not become one over zero."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs + 0 * self.weight


def test_devices_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(KasError, match="device: cuda is asked for, but torch finds no CUDA device; use device: auto or cpu"):
        resolve_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert resolve_device("auto") == torch.device("cuda", 0)
    with pytest.raises(KasError, match="cuda:3 is asked for, but there are 1 CUDA devices"):
        resolve_device("cuda:3")
    for wrong in ("gpu", "cuda:", "cuda:x"):
        with pytest.raises(KasError, match="it must be auto, cpu, mps, cuda or cuda:N"):
            resolve_device(wrong)


def test_trains_from_another_thread(data: Any, tmp_path: Path) -> None:
    done: list[Any] = []
    settings = TrainingSettings(epochs=1)
    thread = threading.Thread(target=lambda: done.append(train(network(), data, settings, folder=tmp_path, device="cpu")))
    thread.start()
    thread.join()
    assert done[0].epochs == 1
