"""`kas.search` and `kas.Study`, as a notebook or a script uses them."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
import yaml
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import kas
from kas.evaluation._lightning import pl
from kas.reporting.naming import kernel_name
from kas.study.storage.opening import close_storage, open_storage

SETTINGS: dict[str, Any] = {
    "training": {"epochs": 1},
    "objectives": {"cost": "work"},
    "health": {"enabled": False},
    "search": {"seeds": ["grouped3x3", "depthwise_separable", "bottleneck"]},
    "budget": {"macs": 0.9},
}


def network(num_classes: int = 3, width: int = 8) -> nn.Module:
    """A function that other processes can import."""
    first, second = nn.Conv2d(1, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
    layers = first, nn.ReLU(), second, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, num_classes)
    return nn.Sequential(*layers)


def loader(samples: int = 24) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(samples, 1, 8, 8, generator=generator), torch.arange(samples) % 3
    return DataLoader(TensorDataset(inputs, targets), batch_size=8)


def search(folder: Path, model: Any = None, data: Any = None, **settings: Any) -> kas.Study:
    return kas.search(model or network(), data or (loader(), loader(9)), dir=folder, **{**SETTINGS, **settings})


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> kas.Study:
    """A finished study of two trials, of a network and loaders that were given as objects."""
    return search(tmp_path_factory.mktemp("runs"), trials=2, name="tiny")


def state(folder: Path) -> dict[str, Any]:
    """Every file of a folder, its contents and when it was written."""
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_what_a_study_has(searched: kas.Study) -> None:
    assert repr(searched).startswith("<Study tiny: 2 of 2 trials finished, ")
    assert searched.original is not None
    assert 0 <= searched.original.accuracy <= 1
    assert [trial.outcome for trial in searched.trials] == ["ok", "ok"]
    assert {trial.number for trial in searched.front} <= {0, 1}
    frame = searched.to_pandas()
    assert list(frame.index) == [0, 1]
    assert list(frame["hash"]) == [trial.hash for trial in searched.trials]
    assert frame.loc[0, "cost"] == searched.trials[0].cost
    kept = searched.front[0]
    assert kernel_name(kept.hash) in repr(kept)
    assert kernel_name(kept.hash) in searched._repr_html_()
    assert searched.kernel(str(kept.hash)[:6]).hash == kept.hash
    assert searched.kernel("grouped3x3") == kas.zoo.get("grouped3x3")


def test_the_networks_are_those_in_the_folder(searched: kas.Study) -> None:
    before = torch.get_rng_state()
    kept = str(searched.front[0].hash)
    found, example = searched.network(kept), torch.randn(2, 1, 8, 8)
    assert not found.training
    loaded = kas.load(searched.folder / "kernels" / f"{kept}.ckpt", model=network())
    torch.testing.assert_close(found(example), loaded(example))
    original = searched.network("original")
    assert not any(type(layer).__name__.startswith("Kernel") for layer in original.modules())
    assert original(example).shape == (2, 3)
    torch.set_rng_state(before)


def test_nothing_is_touched(searched: kas.Study, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(searched.folder, copy)
    os.remove(copy / "study.db.mutex")
    before = state(copy)
    loaded = kas.Study.load(copy)
    assert loaded.trials == searched.trials
    assert loaded.original == searched.original
    kept = str(loaded.front[0].hash)
    with pytest.raises(kas.KasError, match=r"was given to kas\.search as an object.*network\(hash, model=\.\.\.\)"):
        loaded.network(kept)
    assert loaded.network(kept, model=network())(torch.zeros(1, 1, 8, 8)).shape == (1, 3)
    loaded.to_pandas()
    assert state(copy) == before


def test_a_broken_row_is_left_out(searched: kas.Study, tmp_path: Path) -> None:
    copy = tmp_path / "tiny"
    shutil.copytree(searched.folder, copy)
    storage = open_storage(None, copy)
    study = optuna.load_study(study_name="tiny", storage=storage)
    study.add_trial(optuna.trial.create_trial(values=[0.5, 0.5], user_attrs={"outcome": "splendid"}))
    close_storage(storage)
    loaded = kas.Study.load(copy)
    assert loaded.trials == searched.trials
    assert loaded.broken == [line for line in loaded.broken if line.startswith("trial 2 is left out: outcome is 'splendid'")]
    assert loaded.broken


def test_the_same_call_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = search(tmp_path, trials=1)
    assert first.name == "sequential"
    torch.manual_seed(7)
    again = search(tmp_path, trials=2)  # of a network with other weights
    assert [trial.number for trial in again.trials] == [0, 1]
    assert again.trials[0] == first.trials[0]
    assert again.original == first.original
    assert "has the weights of the study's first call" in capsys.readouterr().out
    with pytest.raises(kas.KasError, match=r"with another configuration.*\n  model\.args\.network: Sequential \w+ -> Seq"):
        search(tmp_path, network(width=4))
    with pytest.raises(kas.KasError, match=r"training\.epochs: 1 -> 2"):
        search(tmp_path, training={"epochs": 2})


def test_ctrl_c_keeps_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kas.study.display.progress import Terminal

    shown = Terminal.trial_finished

    def interrupt(self: Terminal, *arguments: Any) -> None:
        shown(self, *arguments)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Terminal, "trial_finished", interrupt)
    stopped = search(tmp_path, trials=3)
    assert len(stopped.front) == 1
    monkeypatch.undo()
    assert len(search(tmp_path, trials=2).trials) == 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class Data(pl.LightningDataModule):
    def train_dataloader(self) -> Any:
        return loader()

    val_dataloader = train_dataloader


def test_functions_data_modules_and_names(tmp_path: Path) -> None:
    assert search(tmp_path, network, Data(), trials=1).network("original")(torch.zeros(1, 1, 8, 8)).shape == (1, 3)
    kept = yaml.safe_load((tmp_path / "network" / "study.yaml").read_text())
    assert kept["model"]["factory"] == f"{__name__}:network"  # which any other process finds
    assert kept["data"]["factory_args"] == {"data": "Data"}

    def wider(width: int, num_classes: int = 3) -> nn.Module:
        return network(num_classes, width)

    deployed = search(
        tmp_path, wider, Data(), trials=1, training={"epochs": 1, "model": {"width": 4}}, cost={"model": {"width": 6}}
    )
    assert deployed.network("original")[0].out_channels == 4
    digits = {"name": "digits", "train_samples": 60, "val_samples": 30}
    model = {"name": "small_resnet", "args": {"width": 4, "stages": 1}}
    assert search(tmp_path, model, digits, trials=1).name == "small_resnet"


@pytest.mark.parametrize(
    ("model", "data", "settings", "message"),
    [
        (3, "digits", {}, r"model is 3; it must be a torch\.nn\.Module, a function"),
        ("small_resnet", (loader(),), {}, r"data is \(.*it must be a LightningDataModule, two DataLoaders"),
        ("small_resnet", "digts", {}, r"kas\.search: data\.name must be one of .*did you mean digits"),
        ("small_resnet", "digits", {"trails": 3}, r"kas\.search: trails is an unknown key; did you mean trials\?"),
        ("small_resnet", "digits", {"trials": 0}, r"kas\.search: trials must be at least 1, not 0"),
        ("small_resnet", "digits", {"budget": {"mac": 0.3}}, r"kas\.search: budget"),
        ("nowhere_at_all:network", "digits", {}, r"model\.factory: there is no module nowhere_at_all"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), (loader(), loader()), {}, r"no layer to replace in Sequential"),
    ],
)
def test_wrong_calls(model: Any, data: Any, settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(kas.KasError, match=message):
        search(tmp_path, model, data, **settings)
    assert list(tmp_path.iterdir()) == []


def test_studies_that_are_not_there(searched: kas.Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = searched.folder.parent
    monkeypatch.chdir(runs.parent)
    assert kas.Study.load(f"{runs.name}/tiny").trials == searched.trials
    assert kas.Study.load("tiny", dir=runs).trials == searched.trials
    database = f"sqlite:///{searched.folder / 'study.db'}"
    assert kas.Study.load("tiny", dir=tmp_path, storage=database).trials == searched.trials
    for load in (lambda: kas.Study.load(runs / "tini"), lambda: kas.Study.load("tini", dir=runs)):
        with pytest.raises(kas.KasError, match=r"there is no study 'tini' in .*; there are: tiny; did you mean tiny"):
            load()
    with pytest.raises(kas.KasError, match="there is no study 'other' in that storage; there are: tiny"):
        kas.Study.load("other", dir=tmp_path, storage=database)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(kas.KasError, match="has no kernel 'ffff'"):
        searched.kernel("ffff")
    with pytest.raises(kas.KasError, match="has no kernel"):
        searched.network("involution")
