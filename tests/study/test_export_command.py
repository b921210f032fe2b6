"""`export`: a kernel of a study for deployment, alone and in its trained network, as the command writes it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
import torch

import kas
from kas import zoo
from kas.evaluation.networks import CHECKPOINT_FORMAT, FORMAT, Recipe
from kas.study.__main__ import main
from kas.study.config import StudyConfig
from kas.study.storage.create import create_or_join, own_folder
from kas.study.storage.files import StudyFolder
from kas.study.storage.opening import open_mutex, open_storage
from kas.study.workers.bench import Bench

KERNEL = zoo.get("bottleneck")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the study `demo` of a tiny network, one evaluated kernel, and the weights of its network."""
    folder = tmp_path_factory.mktemp("runs") / "demo"
    config = StudyConfig.from_dict({
        "name": "demo", "trials": 1, "device": "cpu", "data": {"name": "digits"},
        "model": {"name": "small_resnet", "args": {"width": 8, "blocks": 1, "stages": 2}},
    })  # fmt: skip
    study = create_or_join(config, open_storage(None, folder), open_mutex(None, folder, "demo"))
    own_folder(study, StudyFolder(folder))
    bench = Bench(config, StudyFolder(folder))
    targets = [target.to_dict() for target in bench.deployed.targets]
    study.set_user_attr("kas.targets", json.dumps({"deployed": targets, "trained": targets}))
    deployed, trained = bench.solve(KERNEL)
    torch.manual_seed(1)
    network = bench.start(KERNEL, trained)
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    sizes = {"groups": deployed.groups, "values": deployed.values}
    path = StudyFolder(folder).kernel(KERNEL.hash, ".ckpt")
    path.parent.mkdir(parents=True)
    settings = config.model, {}, 10, (1, 16, 16), bench.trained.targets, KERNEL, trained.groups, trained.values
    weights = {
        "format": CHECKPOINT_FORMAT,
        "recipe": Recipe.of(*settings).to_dict(),
        "metadata": {"format": FORMAT, "kernel": KERNEL.hash},
        "groups": trained.groups,
        "values": {name: dict(values) for name, values in trained.values.items()},
        "state_dict": network.state_dict(),
    }
    torch.save(weights, path)
    attributes = {"hash": KERNEL.hash, "program": KERNEL.to_json(), "sizes": sizes, "outcome": "ok"}
    study.add_trial(optuna.trial.create_trial(values=[0.9, 0.5], user_attrs=attributes))
    x = torch.randn(3, 1, 16, 16)
    with torch.no_grad():
        torch.save([x, network.eval()(x)], folder / "expected.pt")
    return folder.parent


def said(capsys: pytest.CaptureFixture[str], runs: Path, *arguments: str, code: int = 0) -> str:
    assert main(["export", "demo", "--kernel", KERNEL.hash[:6], *arguments, "--dir", str(runs)]) == code
    captured = capsys.readouterr()
    return captured.out if code == 0 else captured.err


def test_a_network_as_onnx_has_the_trained_weights(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import onnxruntime

    text = said(capsys, runs, "--to", "onnx", "--network")
    path = runs / "demo" / "kernels" / f"{KERNEL.hash}.network.onnx"
    assert text.startswith(f"network {path}  (small_resnet as trained by the search, input 1x16x16; ")
    assert "onnxruntime differs from torch by at most " in text
    assert " at batches 1, 2 and 5)\nonly the search has trained this network; " in text
    assert text.endswith(f"`python -m kas.study promote demo --kernel {KERNEL.hash}` trains the one that is deployed\n")
    x, expected = torch.load(runs / "demo" / "expected.pt")
    (found,) = onnxruntime.InferenceSession(str(path)).run(None, {"input": x.numpy()})
    assert torch.allclose(torch.from_numpy(found), expected, atol=1e-4)


def test_a_network_as_exported_program(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "net.pt2"
    assert "the loaded program differs" in said(capsys, runs, "--to", "exported-program", "--network", "--out", str(out))
    assert torch.export.load(out).module()(torch.zeros(4, 1, 16, 16)).shape == (4, 10)


@pytest.mark.parametrize("form", ["onnx", "exported-program"])
def test_a_kernel_alone(form: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, runs, "--to", form)
    assert "trained weights" in text
    suffix = {"onnx": "onnx", "exported-program": "pt2"}[form]
    assert (runs / "demo" / "kernels" / f"{KERNEL.hash}.{suffix}").stat().st_size > 0


def test_the_module_checks_itself(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "kernel.py"
    said(capsys, runs, "--to", "py", "--out", str(out))
    done = subprocess.run([sys.executable, out], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "ok\n")


def test_files_of_layers_have_their_own_names(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kernels = runs / "demo" / "kernels"
    said(capsys, runs, "--to", "py")
    default = (kernels / f"{KERNEL.hash}.py").read_text()
    path = kernels / f"{KERNEL.hash}-stages.1.0.conv2.py"
    text = said(capsys, runs, "--to", "py", "--target", "stages.1.0.conv2")
    assert text == f"kernel {path}  (for stages.1.0.conv2: 16 channels, 8x8 positions)\n"
    assert path.read_text() != default
    assert (kernels / f"{KERNEL.hash}.py").read_text() == default


def test_a_layer_whose_name_is_no_file_name(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = said(capsys, runs, "--to", "py", "--target", "../../stages", code=2)
    assert "--target ../../stages: this layer's name makes no file name; --out says where to write" in error
    assert "the layers are stages.0.0.conv1" in said(capsys, runs, "--to", "py", "--target", "stages.0", code=2)


def test_dot(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, runs, "--to", "dot")
    assert (runs / "demo" / "kernels" / f"{KERNEL.hash}.dot").read_text().startswith("digraph ")


def test_what_does_not_go_together(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = said(capsys, runs, "--to", "svg", "--network", code=2)
    assert "--network goes with --to onnx, exported-program, state-dict, not with --to svg" in error
    assert "it goes with --network" in said(capsys, runs, "--to", "state-dict", code=2)
    assert "--target goes with --to py, onnx" in said(capsys, runs, "--to", "svg", "--target", "a", code=2)
    assert main(["export", "demo", "--kernel", "original", "--to", "onnx", "--dir", str(runs)]) == 2
    assert "--kernel original is a network, no kernel" in capsys.readouterr().err
    error = said(capsys, runs, "--to", "onnx", "--network", "--target", "a", code=2)
    assert "--network writes all layers" in error
    error = said(capsys, runs, "--to", "onnx", "--out", str(tmp_path / "a.bin"), code=2)
    assert "a file of this format ends in .onnx" in error


def test_a_network_as_state_dict(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "net.pt"
    assert "; read again and equal)" in said(capsys, runs, "--to", "state-dict", "--network", "--out", str(out))
    x, expected = torch.load(runs / "demo" / "expected.pt")
    network = kas.load(out)
    with torch.no_grad():
        assert torch.allclose(network(x), expected, atol=1e-5)
    assert network.kas_metadata == json.loads((tmp_path / "net.pt.json").read_text())
    assert network.kas_metadata["weights"] == "search"


def test_the_original_was_not_trained_here(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "demo", "--kernel", "original", "--network", "--to", "onnx", "--dir", str(runs)]) == 2
    path = runs / "demo" / "reference" / "last.ckpt"
    assert f"the weights of the original are not on this machine: there is no {path}" in capsys.readouterr().err


COMMAND = "import sys; from kas.study.__main__ import main; sys.exit(main(['export', 'demo', '--kernel', '{hash}', {words}]))"
FRESH = {
    "a kernel": COMMAND.replace("{words}", "'--to', 'onnx', '--out', '{out}', '--dir', '{runs}'"),
    "a network": COMMAND.replace("{words}", "'--to', 'onnx', '--network', '--out', '{out}', '--dir', '{runs}'"),
    "a module": """
import kas
from pathlib import Path
from kas.lowering.export import export_module
module = kas.build(kas.zoo.get("depthwise_separable"), channels=8, size=(6, 6))
export_module(module, (8, 6, 6), Path("{out}"), "onnx")""",
    "weights": "import kas; kas.load('{runs}/demo/kernels/{hash}.ckpt')",
    "a file": "import kas; kas.load('{runs}/demo/kernels/{hash}.network.onnx')",
}


@pytest.mark.system
@pytest.mark.parametrize("what", FRESH)
def test_in_a_process_that_has_imported_nothing(
    what: str, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if what == "a file":
        said(capsys, runs, "--to", "onnx", "--network")
    code = FRESH[what].format(hash=KERNEL.hash, out=tmp_path / "a.onnx", runs=runs)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_missing_weights_and_packages(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = runs / "demo" / "kernels" / f"{KERNEL.hash}.ckpt"
    moved = checkpoint.rename(tmp_path / "moved.ckpt")
    try:
        assert "are not on this machine" in said(capsys, runs, "--to", "onnx", "--network", code=2)
        assert "initial weights" in said(capsys, runs, "--to", "exported-program")
    finally:
        moved.rename(checkpoint)
    monkeypatch.setattr("kas.lowering.export.find_spec", lambda name: None)
    error = said(capsys, runs, "--to", "onnx", code=2)
    assert "ONNX needs what is not installed here: pip install onnx onnxscript onnxruntime" in error
