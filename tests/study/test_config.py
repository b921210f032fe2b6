"""Study files: loading, overrides, the message for each mistake, what may change between runs; each shipped file."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kas.language.errors import KasError
from kas.study.config import StudyConfig, differences, load_config

STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.yaml"))
NAMES = {
    "blocks_convnext", "blocks_resnet", "blocks_vit", "cifar100_resnet18", "cluttered_resnet", "conv1d", "digits",
    "imagenet_resnet34", "own_network",
}  # fmt: skip


def write(folder: Path, text: str, name: str = "small.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def message(path: Path, *overrides: str) -> str:
    with pytest.raises(KasError) as caught:
        load_config(path, overrides)
    return str(caught.value).replace(str(path.parent) + "/", "")


def test_an_empty_mapping_is_a_study_with_all_defaults(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, "{}"))
    assert config == StudyConfig(name="small")
    assert (config.seed, config.trials, config.device, config.budget) == (0, 24, "auto", {"macs": 0.3})


def test_values_and_overrides(tmp_path: Path) -> None:
    path = write(
        tmp_path, "name: mine\ntrials: 5\ntraining: {lr: 1e-3, model: {width: 16}}\nsearch:\n  seeds: []\nbudget: {macs: 0.5}\n"
    )
    config = load_config(
        path,
        ["training.epochs=3", "cost.model.width=64", "budget.params=0.5", "objectives.cost=work", "data.root=/x=y"],
        trials=7,
        seed=3,
    )
    assert (config.name, config.trials, config.seed) == ("mine", 7, 3)
    assert (config.training.lr, config.training.epochs, config.training.model) == (1e-3, 3, {"width": 16})
    assert config.cost.model == {"width": 64}
    assert config.budget == {"macs": 0.5, "params": 0.5}
    assert config.search.seeds == []
    assert (config.objectives.cost, config.data.root) == ("work", "/x=y")


def test_an_override_of_a_mapping_key_keeps_the_default_ones(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, "{}"), ["budget.params=0.5"]).budget == {"macs": 0.3, "params": 0.5}


def test_the_stored_form_is_lossless(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, "{}"), ["training.model.width=16", "search.seeds=[]", "targets.names=[a.*]"])
    assert StudyConfig.from_dict(config.to_dict()) == config


def test_differences_leave_out_what_may_change(tmp_path: Path) -> None:
    path = write(tmp_path, "{}")
    stored = load_config(path).to_dict()
    assert differences(stored, load_config(path, trials=99).to_dict()) == []
    changed = load_config(path, ["training.epochs=9", "training.model.width=8", "budget={params: 0.5}"], seed=4)
    assert differences(stored, changed.to_dict()) == [
        "seed: 0 -> 4",
        f"training.epochs: {StudyConfig('x').training.epochs} -> 9",
        "training.model: {} -> (not there)",
        "budget.macs: 0.3 -> (not there)",
        "training.model.width: (not there) -> 8",
        "budget.params: (not there) -> 0.5",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("training: {epoch: 3}", "small.yaml: training.epoch is an unknown key; did you mean training.epochs?"),
        ("epochs: 3", "small.yaml: epochs is an unknown key; did you mean training.epochs?"),
        ("objectives: {cost: latncy}", "did you mean latency?"),
        ("training: {optimizer: adam}", "small.yaml: training.optimizer must be one of adamw, sgd, not 'adam'; did you"),
        ("training: {epochs: many}", "small.yaml: training.epochs must be a whole number, not 'many'"),
        ("budget: {mcas: 0.3}", "small.yaml: budget.mcas is an unknown key; did you mean macs?"),
        ("search: {seeds: [botleneck]}", "small.yaml: search.seeds: there is no known kernel 'botleneck'; did you mean 'bottl"),
        ("search: {seeds: [grid_attention]}", "search.seeds: 'grid_attention' is known, but no program of the language: Tu et"),
        ("search: {forbidden_families: [conv3]}", "forbidden_families: there is no known kernel 'conv3'; did you mean 'conv3x"),
        (
            "search: {forbidden_families: [conv3x3], seeds: [ghost, repvgg]}",
            "search.seeds: 'repvgg' is of the family of 'conv3x3', which forbidden_families excludes",
        ),
        ("trials: 0", "small.yaml: trials must be at least 1, not 0"),
        ("name: a/b", "small.yaml: name 'a/b' must be at most 100 letters"),
        ("data: {name: cifar}", "small.yaml: data.name must be one of digits, mnist5k, mnist5k_columns, cluttered, cifar10, "),
        ("targets: {rank: 3}", "small.yaml: targets.rank must be one of 0, 1, 2 or null, not 3"),
        ("device: gpu", "small.yaml: device must be auto, cpu, cuda, cuda:NUMBER or mps, not 'gpu'"),
        ("format: kas.study/2\nnew_key: 1", "small.yaml: is a study of a newer kas (kas.study/2); this kas reads kas.study/1"),
        ("format: docker", "small.yaml: format: must be kas.study/1, not 'docker'"),
        ("- a\n- b", "small.yaml: is not a study file: it must hold keys"),
        ("just text", "small.yaml: is not a study file"),
        ("a: [1\nb: 2", "small.yaml is not YAML that kas reads, line 2: "),
        ("a: 1\nb: !!python/object:os.system x", "small.yaml is not YAML that kas reads, line 2: "),
    ],
)
def test_each_mistake_has_its_message(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in message(write(tmp_path, text))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("training.epoch=3", "--set training.epoch=3: training.epoch is an unknown key; did you mean training.epochs?"),
        ("training.epochs", "--set training.epochs: must be key=value"),
        ("training..epochs=1", "--set training..epochs=1: must be key=value"),
        ("trials.x=3", "--set trials.x=3: trials has no keys of its own, it is 24"),
        ("search.seeds=[a", "--set search.seeds=[a: the value is not YAML that kas reads, line 1: expected"),
        ("training.epochs=0", "--set training.epochs=0: training.epochs is 0; it must be"),
    ],
)
def test_each_wrong_override_has_its_message(tmp_path: Path, override: str, expected: str) -> None:
    assert expected in message(write(tmp_path, "trials: 24"), override)


def test_several_mistakes_are_listed(tmp_path: Path) -> None:
    text = message(write(tmp_path, "training: {epoch: 3}\ntrails: 5"))
    assert re.fullmatch(r"2 problems:\n  .*trails.*did you mean trials\?\n  .*training\.epoch .*", text)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    write(tmp_path, "{}")
    assert message(tmp_path / "smal.yaml") == f"smal.yaml: no such file; did you mean {tmp_path / 'small.yaml'}?".replace(
        str(tmp_path) + "/", ""
    )
    with pytest.raises(KasError, match="is a folder, not a study file"):
        load_config(tmp_path)


def test_every_study_is_shipped() -> None:
    assert {path.stem for path in STUDIES} == NAMES


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_each_shipped_study_loads_and_round_trips(path: Path) -> None:
    config = load_config(path)
    assert config.name == path.stem
    assert StudyConfig.from_dict(config.to_dict()) == config


def test_loading_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from kas.study.config import load_config; load_config(sys.argv[1]);"
        "sys.exit(any(name in sys.modules for name in ('torch', 'pytorch_lightning', 'optuna')))"
    )
    path = write(tmp_path, "search: {seeds: []}")
    assert subprocess.run([sys.executable, "-c", code, str(path)], timeout=60).returncode == 0
