"""A network of timm by its own factory, from a study file to an exported network."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import yaml

import kas
from kas.study.__main__ import main

pytestmark = [pytest.mark.system, pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed")]

STUDY = """\
name: small
trials: 1
device: cpu
data: {name: digits, size: 32, train_samples: 60, val_samples: 30}
model:
  factory: timm:create_model
  args: {model_name: test_resnet, in_chans: 1, num_classes: 10}
training: {epochs: 1}
cost: {batch_size: 2}
objectives: {cost: work}
budget: {macs: 0.9}
health: {enabled: false}
search: {seeds: [depthwise_separable]}
"""


def test_from_a_study_file_to_an_exported_network(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(STUDY)
    place = f"--dir={tmp_path}"
    assert main(["run", str(file), place]) == 0
    found = kas.Study.load("small", dir=tmp_path).front[0]
    exported = tmp_path / "network.pt"
    words = ["export", "small", "--kernel", str(found.hash), "--to", "state-dict", "--network", "--out", str(exported), place]
    assert main(words) == 0
    trained, example = kas.Study.load("small", dir=tmp_path).network(str(found.hash)), torch.randn(2, 1, 32, 32)
    assert type(trained).__module__.startswith("timm.")
    import timm

    loaded = kas.load(exported, timm.create_model("test_resnet", in_chans=1, num_classes=10))
    torch.testing.assert_close(loaded(example), trained(example))


def test_an_argument_that_timm_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = yaml.safe_load(STUDY)
    del keys["model"]["args"]["model_name"]
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(keys))
    assert main(["check", str(file)]) == 2
    message = capsys.readouterr().err
    assert "model.factory: timm:create_model does not take these arguments (in_chans, num_classes): missing" in message
