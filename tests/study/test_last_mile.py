"""From a search to a file that classifies raw images without kas: `run`, `promote`, `export --network`, as users type them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import kas
from kas.evaluation.data._mnist import three_way
from kas.study.__main__ import main

STUDY = Path(__file__).parents[2] / "studies" / "digits.yaml"
SMALL = {
    "device": "cpu",
    "training.epochs": 1,
    "training.model.width": 4,
    "cost.model.width": 6,
    "cost.size": 12,
    "cost.repeats": 3,
    "cost.min_block_ms": 1,
    "cost.max_ratio": 1000,
    "health.enabled": "false",
    "search.seeds": "[depthwise_separable]",
}

pytestmark = pytest.mark.system

# What somebody writes who has the file alone: every number comes from its metadata.
SCRIPT = """
import json, sys
sys.modules["kas"] = sys.modules["torch"] = None  # neither can be imported
import numpy, onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession(sys.argv[1])
said = json.loads(session.get_modelmeta().custom_metadata_map["kas.preprocessing"])
low, high = said["raw_range"]
height, width = said["size"]
raw = numpy.load(sys.argv[2])

def prepared(image):
    grey = numpy.rint((image - low) * (255 / (high - low))).astype(numpy.uint8)
    how = Image.Resampling[said["interpolation"].upper()]
    resized = Image.fromarray(grey).convert(said["mode"]).resize((width, height), how)
    pixels = numpy.asarray(resized, dtype=numpy.float32).reshape(height, width, said["channels"]).transpose(2, 0, 1)
    mean, std = (numpy.array(said[key], dtype=numpy.float32).reshape(-1, 1, 1) for key in ("mean", "std"))
    return (pixels / 255 - mean) / std

assert said["layout"] == "NCHW"
batch = numpy.stack([prepared(image) for image in raw["images"]]).astype(numpy.float32)
(logits,) = session.run(None, {"input": batch})
print(sum(said["classes"][best] == str(label) for best, label in zip(logits.argmax(1), raw["labels"])))
"""


@pytest.fixture(scope="module", params=["work", pytest.param("latency", marks=pytest.mark.slow)])
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the study `digits`, searched in seconds; measuring latencies in every runtime takes minutes."""
    folder = tmp_path_factory.mktemp("runs")
    sets = [f"--set={key}={value}" for key, value in {**SMALL, "objectives.cost": request.param}.items()]
    assert main(["run", str(STUDY), "--trials", "1", "--dir", str(folder), *sets]) == 0
    return folder


def command(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(list(words)) == 0
    return capsys.readouterr().out


def test_the_file_alone_has_the_accuracy_of_the_table(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from sklearn.datasets import load_digits

    kernel, out = kas.zoo.get("depthwise_separable").hash, tmp_path / "digits.onnx"
    place = ("--dir", str(runs))
    words = ("export", "digits", "--kernel", kernel[:6], "--network", "--to", "onnx", "--out", str(out), *place)
    assert "only the narrow network of the search has been trained; `python -m kas.study promote" in command(capsys, *words)
    table = json.loads(
        command(capsys, "promote", "digits", "--kernel", kernel[:6], "--seeds", "1", "--epochs", "4", "--json", *place)
    )
    (accuracy,) = next(row["test"] for row in table["networks"] if row["kernel"] == kernel)
    assert f"as promoted, seed 0, accuracy {accuracy:.4f} on the test split, input 1x12x12" in command(capsys, *words)

    digits = load_digits()
    test = three_way(digits.target).test
    np.savez(tmp_path / "raw.npz", images=digits.images[test], labels=digits.target[test])
    arguments = [sys.executable, "-c", SCRIPT, str(out), str(tmp_path / "raw.npz")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    right = int(done.stdout)
    assert right > len(test) / 4
    assert abs(right - accuracy * len(test)) < 1 + 1e-3

    beside = json.loads((tmp_path / "digits.onnx.json").read_text())
    assert beside == kas.load(out).kas_metadata
    assert beside["preprocessing"]["size"] == [12, 12]
    assert (beside["kernel"], beside["weights"], beside["accuracy"]["value"]) == (kernel, "promoted", accuracy)


def test_the_weights_of_the_front_are_a_network(runs: Path) -> None:
    (path,) = (runs / "digits" / "kernels").glob("*.ckpt")
    network = kas.load(path)
    assert network(torch.zeros(2, 1, 16, 16)).shape == (2, 10)
    assert network.kas_metadata["preprocessing"]["size"] == [16, 16]
    assert network.kas_metadata["kernel"] == path.stem


def test_all_forms_of_the_promoted_network_agree(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs, outputs = torch.randn(3, 1, 12, 12), []
    for form, suffix in (("onnx", "onnx"), ("exported-program", "pt2"), ("state-dict", "pt")):
        out = tmp_path / f"original.{suffix}"
        words = ("export", "digits", "--kernel", "original", "--network", "--to", form, "--out", str(out), "--dir", str(runs))
        assert "as promoted, seed 0" in command(capsys, *words)
        network = kas.load(out)
        assert network.kas_metadata["kernel"] == "original"
        assert not network.training
        with torch.no_grad():
            outputs.append(network(inputs))
    assert torch.allclose(outputs[0], outputs[2], atol=1e-4)
    assert torch.allclose(outputs[1], outputs[2], atol=1e-4)


def test_promoted_weights_of_another_machine(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moved = (runs / "digits/promoted").rename(tmp_path / "promoted")
    try:
        words = ["export", "digits", "--kernel", "original", "--network", "--to", "onnx", "--dir", str(runs)]
        assert main(words) == 2
        error = capsys.readouterr().err
        assert "are not on this machine" in error
        assert str(runs / "digits/promoted/original/epochs4/seed0/last.ckpt") in error
    finally:
        moved.rename(runs / "digits/promoted")
