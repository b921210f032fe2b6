"""`kas.load`: every file that kas writes is a network again; what is damaged, foreign or could run code is refused."""

from __future__ import annotations

import copy
import io
import json
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

import kas
from kas.evaluation.networks import FORMAT, Recipe, write_state
from kas.evaluation.settings import ModelSettings
from kas.lowering.export import export_module

KERNEL = kas.zoo.get("bottleneck")
SHAPE = (1, 16, 16)
METADATA = {
    "format": FORMAT,
    "kernel": KERNEL.hash,
    "input": {"name": "input", "shape": ["batch", *SHAPE], "dtype": "float32"},
    "preprocessing": {"mean": [0.3], "classes": ["a", "ü"]},
}


def original(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    body = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))
    return nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))


def replaced(model: nn.Module, settings: ModelSettings, seed: int = 1) -> tuple[nn.Module, Recipe]:
    """A network with the kernel, in evaluation mode, and its recipe."""
    example = torch.zeros(2, *SHAPE)
    targets = kas.find_targets(model, example)
    sizes = kas.solve(KERNEL, targets, {"macs": 0.5})
    torch.manual_seed(seed)
    network = kas.replace(model, KERNEL, example, targets=targets, sizes=sizes).eval()
    return network, Recipe.of(settings, {}, 2, SHAPE, targets, KERNEL, sizes.groups, sizes.values)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the same network in all forms; a factory of the user's made its original."""
    folder = tmp_path_factory.mktemp("files")
    network, recipe = replaced(original(), ModelSettings(factory="my_module:network"))
    export_module(network, SHAPE, folder / "network.onnx", "onnx", METADATA)
    export_module(network, SHAPE, folder / "network.pt2", "exported-program", METADATA)
    write_state(folder / "network.pt", network, recipe, METADATA)
    return folder


@pytest.fixture
def written(files: Path, tmp_path: Path) -> dict[str, Path]:
    """Copies of the files by their suffix."""
    return {path.suffix[1:]: Path(shutil.copy(path, tmp_path)) for path in files.iterdir()}


def test_every_form_is_the_network_again(written: dict[str, Path]) -> None:
    inputs = torch.randn(3, *SHAPE)
    expected = replaced(original(), ModelSettings())[0](inputs)
    for suffix, path in written.items():
        network = kas.load(path, model=original(seed=5)) if suffix == "pt" else kas.load(str(path))
        assert network.kas_metadata == METADATA
        assert not network.training
        assert network.eval() is network
        with torch.no_grad():
            assert torch.allclose(network(inputs), expected, atol=1e-5)
            assert torch.allclose(network(inputs[:1]), expected[:1], atol=1e-5)


@pytest.mark.parametrize("suffix", ["onnx", "pt2"])
def test_files_for_inference_alone(written: dict[str, Path], suffix: str) -> None:
    network = kas.load(written[suffix])
    with pytest.raises(kas.KasError, match="for inference alone; `export --to state-dict` writes one that can be trained"):
        network.train()
    with pytest.raises(kas.KasError, match=r"takes \[N, 1, 16, 16\] float32, not \[2, 1, 8, 8\] float32"):
        network(torch.zeros(2, 1, 8, 8))
    with pytest.raises(kas.KasError, match=r"takes \[N, 1, 16, 16\] float32, not \[2, 1, 16, 16\] float64"):
        network(torch.zeros(2, *SHAPE, dtype=torch.float64))
    with pytest.raises(kas.KasError, match="this file has its network in it"):
        kas.load(written[suffix], model=original())


def test_a_network_that_kas_knows_needs_no_original(tmp_path: Path) -> None:
    settings = ModelSettings(name="small_resnet", args={"width": 8, "stages": 2})
    network, recipe = replaced(Recipe.of(settings, {}, 2, SHAPE).original(), settings)
    write_state(tmp_path / "a.pt", network, recipe, METADATA)
    state = torch.random.get_rng_state()
    loaded = kas.load(tmp_path / "a.pt")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert type(loaded) is type(network)
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in loaded.state_dict().items())
    loaded.train()(torch.randn(2, *SHAPE)).sum().backward()


def test_an_original_of_ones_own_is_left_as_it_is(written: dict[str, Path]) -> None:
    given = original(seed=3)
    before = copy.deepcopy(given.state_dict())
    kas.load(written["pt"], model=given)
    assert given.training
    assert all(torch.equal(value, before[key]) for key, value in given.state_dict().items())


def test_a_factory_is_never_imported(written: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_module.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(kas.KasError, match=r"was made by my_module:network, and nothing .* kas.load\(path, model=network\)"):
        kas.load(written["pt"])
    with pytest.raises(kas.KasError, match=r"does not fit the given Sequential: replace: Sequential has no module '0.3'"):
        kas.load(written["pt"], model=nn.Sequential(nn.Conv2d(1, 8, 3)))


def changed(path: Path, **fields: object) -> Path:
    data = torch.load(path, weights_only=True)
    torch.save({**data, **fields}, path)
    return path


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": None}, "its format is None, not kas.network/1"),
        ({"metadata": {"format": "kas.network/2"}}, r"is a network of a newer kas \(kas.network/2\)"),
        ({"metadata": None}, "its metadata has no format kas.network/1"),
        ({"recipe": None}, "an earlier kas wrote this file"),
        ({"recipe": {"name": "small_resnet"}}, "is damaged: KeyError"),
        ({"recipe": 3}, "is damaged: TypeError"),
        ({"state_dict": {}}, "does not fit the given Sequential: .*Missing key"),
        ({"state_dict": None}, "does not fit the given Sequential"),
    ],
)
def test_damaged_state_dicts(written: dict[str, Path], fields: dict[str, object], message: str) -> None:
    path = changed(written["pt"], **fields)
    with pytest.raises(kas.KasError, match=message) as caught:
        kas.load(path, model=original())
    assert str(path) in str(caught.value)


def test_a_name_that_kas_does_not_know(tmp_path: Path) -> None:
    recipe = Recipe("os.system", None, {}, 2, SHAPE)
    write_state(tmp_path / "a.pt", original(), recipe, METADATA)
    with pytest.raises(kas.KasError, match=r"model.name is 'os.system'; known are small_resnet"):
        kas.load(tmp_path / "a.pt")


def test_no_weights_are_fetched(tmp_path: Path) -> None:
    recipe = Recipe.of(ModelSettings(name="squeezenet1_1", args={"weights": "DEFAULT"}), {}, 2, (3, 32, 32))
    write_state(tmp_path / "a.pt", recipe.original(), recipe, METADATA)
    assert kas.load(tmp_path / "a.pt")(torch.zeros(1, 3, 32, 32)).shape == (1, 2)


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('run')",)


@pytest.mark.parametrize("suffix", ["onnx", "pt2", "pt", "ckpt"])
@pytest.mark.parametrize("content", [b"", b"no network", pickle.dumps(Malicious())])
def test_what_is_no_network(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    with pytest.raises(kas.KasError, match=r"a\.\w+: cannot be read as "):
        kas.load(path)


def test_files_of_others(tmp_path: Path) -> None:
    export_module(nn.Linear(3, 2), (3,), tmp_path / "a.onnx", "onnx")
    torch.export.save(torch.export.export(nn.Linear(3, 2), (torch.zeros(2, 3),)), tmp_path / "a.pt2")
    torch.save({"state_dict": {}}, tmp_path / "a.ckpt")
    for name in ("a.onnx", "a.pt2", "a.ckpt"):
        with pytest.raises(kas.KasError, match="is no network that kas wrote"):
            kas.load(tmp_path / name)
    with pytest.raises(kas.KasError, match=r"b\.pt: no such file"):
        kas.load(tmp_path / "b.pt")
    with pytest.raises(kas.KasError, match=r"ends in \.onnx, \.pt2, \.pt, \.ckpt"):
        kas.load(tmp_path / "b.safetensors")


def test_onnx_without_onnxruntime(written: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kas.evaluation.networks.loading.find_spec", lambda name: None)
    with pytest.raises(kas.KasError, match="pip install onnxruntime"):
        kas.load(written["onnx"])


def rewritten(path: Path, member: str, change) -> Path:
    """An archive with another content of a member."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, change(content) if name.endswith(member) else content)
    return path


def pickled(_: bytes) -> bytes:
    buffer = io.BytesIO()
    torch.save(Malicious(), buffer)
    return buffer.getvalue()


def other_operator(content: bytes) -> bytes:
    data = json.loads(content)
    data["graph_module"]["graph"]["nodes"][0]["target"] = "torch.os.system"
    return json.dumps(data).encode()


@pytest.mark.parametrize(
    ("member", "change", "problem"),
    [
        ("sample_inputs/model.pt", pickled, "sample inputs that are no tensors"),
        ("weights_config.json", lambda text: text.replace(b'"use_pickle": false', b'"use_pickle": true'), "pickled tensors"),
        ("models/model.json", other_operator, r"the operator torch\.os\.system"),
        ("models/model.json", lambda text: text.replace(b"Symbol(", b"exec("), "the expression exec"),
    ],
)
def test_programs_that_could_run_code(written: dict[str, Path], member: str, change, problem: str) -> None:
    path = rewritten(written["pt2"], member, change)
    with pytest.raises(kas.KasError, match=f"is not as kas writes an exported program.*: it has {problem}"):
        kas.load(path)


def test_members_that_kas_does_not_write(written: dict[str, Path]) -> None:
    with zipfile.ZipFile(written["pt2"], "a") as archive:
        archive.writestr(f"{archive.namelist()[0].partition('/')[0]}/data/constants/custom_obj_0", b"")
    with pytest.raises(kas.KasError, match="it has the member data/constants/custom_obj_0"):
        kas.load(written["pt2"])
