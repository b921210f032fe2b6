"""`check`: what is wrong is one sentence with what to do, what is right is a few lines; nothing is trained or written."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from kas.study.__main__ import main

ONE = "a training batch has one sample, and the original network has a BatchNorm that needs two"
STUDIES = Path(__file__).parents[2] / "studies"


def study_file(folder: Path, network: str, data: str, **training: object) -> Path:
    path = folder / "wrong.yaml"
    study = {
        "data": {"factory": f"case_data:{data}"},
        "model": {"factory": f"case_wrong:{network}"},
        "training": {"epochs": 1, **training},
        "objectives": {"cost": "work"},
        "device": "cpu",
    }
    path.write_text(yaml.safe_dump(study))
    return path


@pytest.mark.parametrize(
    ("network", "data", "training", "message"),
    [
        ("scripted", "plain", {}, "the network is scripted (torch.jit): its layers cannot be replaced. Give the module"),
        ("meta", "plain", {}, "module '0' (Conv2d) has its weight on the meta device, without values"),
        ("quantised", "plain", {}, "module '2' (Conv2d) is of quantisation (aware) training"),
        ("complex_weights", "plain", {}, "module '2' (Conv2d) has complex weights"),
        ("Raises", "plain", {}, "AttributeError: 'Raises' object has no attribute 'classes'\n  File"),
        ("Detached", "plain", {}, "no gradient goes from the loss to the original network: look for detach"),
        ("Infinite", "plain", {}, "the loss of the first batch is nan for the original network"),
        ("OneNumber", "plain", {}, "the network returns a single number for a whole batch; [N, ...] is expected"),
        ("Text", "plain", {}, "the network returns a str; expected a tensor [N, ...]"),
        ("Flat", "plain", {}, "the network returns 64 outputs for 32 targets of a batch"),
        ("OnlyTraining", "plain", {}, "the original network does not run on inputs (1, 8, 8): AttributeError"),
        ("few_outputs", "plain", {}, "labels run from 0 to 9, but the network has 5 outputs"),
        ("few_outputs", "hot", {}, "fit no task for an output [32, 5] (classification: labels [N] from 0, or one-hot"),
        ("needs_classes", "nameless", {}, "num_classes is not known: let the data module say it"),
        ("Normed", "batches_of_one", {}, ONE),
        ("Normed", "last_of_one", {}, ONE),
        ("Module", "plain", {}, "a LightningModule needs training.metric, the name that its validation_step logs"),
        ("plain", "plain", {"loss": "case_wrong:each"}, "the loss of a batch is one number; this one is [32]"),
        ("plain", "plain", {"loss": "L1Loss"}, "the loss (L1Loss) does not take an output [32, 10] and targets [32]"),
    ],
)  # fmt: skip
def test_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], network: str, data: str, training: dict[str, object], message: str
) -> None:
    path = study_file(tmp_path, network, data, **training)
    assert main(["check", str(path)]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert (captured.out, "Traceback" in captured.err, "kas/evaluation" in captured.err) == ("", False, False)
    assert list(tmp_path.iterdir()) == [path]


QUICK = {  # shipped studies, with what makes a look at them quick where their data are not here
    "digits": [], "conv1d": [], "blocks_resnet": [], "blocks_convnext": [], "blocks_vit": [], "own_network": [],
    "cluttered_resnet": ["data.train_samples=200", "data.val_samples=100", "data.test_samples=100"],
    "cifar100_resnet18": ["device=cpu", "data.name=digits", "training.precision=32-true", "cost.size=64"],
    "imagenet_resnet34": ["device=cpu", "data.name=digits", "data.size=64", "training.precision=32-true", "cost.size=64"],
}  # fmt: skip


LARGE = ("cifar100_resnet18", "imagenet_resnet34")


def test_every_shipped_study_is_looked_at() -> None:
    assert QUICK.keys() == {path.stem for path in STUDIES.glob("*.yaml")}


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LARGE)) for name in QUICK])
def test_shipped_studies_are_right(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    settings = [f"--set={key}" for key in [*QUICK[name], "data.train_samples=200", "data.val_samples=100"] if key]
    settings = [key for key in settings if name != "own_network" or "samples" not in key]
    assert main(["check", str(STUDIES / f"{name}.yaml"), *settings]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"study {name}: nothing is wrong\ninputs: ")
    assert "task: classification, loss CrossEntropyLoss, metric accuracy (higher is better)" in printed
