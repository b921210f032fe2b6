"""`promote` by the real command on a tiny study: end to end, repeated, killed, shared, from the original's weights."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
import torch

from kas import zoo
from kas.study.__main__ import main
from kas.study.storage.opening import close_storage, open_storage
from kas.study.storage.promotions import ORIGINAL, Promotion, promotions

STUDY = """\
name: tiny
trials: 2
data: {name: digits, size: 8, train_samples: 100, val_samples: 50, test_samples: 60}
model: {args: {width: 8, stages: 2}}
training: {epochs: 1, model: {width: 4}}
cost: {batch_size: 2, size: 12}
objectives: {cost: work}
search: {seeds: [grouped3x3, depthwise_separable]}
health: {enabled: false}
"""
GROUPED, SEPARABLE = (zoo.get(name).hash for name in ("grouped3x3", "depthwise_separable"))
pytestmark = [pytest.mark.system, pytest.mark.timeout(1800)]
BOTH = ["--kernel=grouped3x3", f"--kernel={SEPARABLE[:6]}"]


def command(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "kas.study", *arguments, f"--dir={folder}"]


def kas(folder: Path, *arguments: str, code: int = 0) -> tuple[str, str]:
    """Run the command; stdout and stderr."""
    done = subprocess.run(command(folder, *arguments), capture_output=True, text=True, timeout=900)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished study."""
    folder = tmp_path_factory.mktemp("searched")
    (folder / "tiny.yaml").write_text(STUDY)
    kas(folder, "run", str(folder / "tiny.yaml"))
    return folder


@pytest.fixture
def folder(searched: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(searched, tmp_path / "runs"))


def stored(folder: Path) -> dict[tuple[str, int, int], Promotion]:
    storage = open_storage(None, folder / "tiny", create=False)
    try:
        found = promotions(optuna.load_study(study_name="tiny", storage=storage))
    finally:
        close_storage(storage)
    return {(one.kernel, one.epochs, one.seed): one for one in found}


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    return dict(torch.load(checkpoint, weights_only=True)["state_dict"])


def times_tested(folder: Path) -> Counter[str]:
    """How often each training was tested, by the log."""
    lines = (folder / "tiny/log.txt").read_text().splitlines()
    return Counter(found[1] for line in lines if (found := re.search(r"INFO (\w+, seed \d): test 0\.", line)))


def test_end_to_end_and_again(folder: Path) -> None:
    out, err = kas(folder, "promote", "tiny", *BOTH, "--seeds=2", "--json")
    assert "2 kernels and the original at 1x12x12, 6 trainings of 1 epochs" in err
    table = json.loads(out)
    assert [row["kernel"] for row in table["networks"]] == [ORIGINAL, GROUPED, SEPARABLE]
    assert [row["name"] for row in table["networks"]] == [None, "grouped3x3", "depthwise_separable"]
    first = stored(folder)
    assert set(first) == {(key, 1, seed) for key in (ORIGINAL, GROUPED, SEPARABLE) for seed in (0, 1)}
    for row in table["networks"]:
        own = [first[row["kernel"], 1, seed] for seed in (0, 1)]
        assert row["test"] == [one.test for one in own]
        assert row["validation"] == [one.validation for one in own]
        assert (row["macs"], row["params"]) == (own[0].macs, own[0].params)
        assert all(one.shape == (1, 12, 12) and one.device for one in own)
        checkpoint = folder / "tiny/promoted" / row["kernel"] / "epochs1/seed1/last.ckpt"
        assert weights(checkpoint)["model.stem.0.weight"].shape[0] == 8  # the deployed network's width
    assert table["networks"][1]["speedup"] == {}  # nothing is measured where the cost is work
    assert table["networks"][1]["difference_low"] <= table["networks"][1]["difference"]

    out, _ = kas(folder, "promote", "tiny", "--kernel=grouped3x3", "--seeds=3")
    assert "4 of them done" in out
    assert times_tested(folder) == Counter(
        [f"{key}, seed {seed}" for key in (ORIGINAL, GROUPED) for seed in (0, 1, 2)]
        + [f"{SEPARABLE}, seed {seed}" for seed in (0, 1)]
    )
    assert all(stored(folder)[key] == one for key, one in first.items())
    assert re.search(r"^grouped3x3 +3 ", out, re.MULTILINE)
    report = (folder / "tiny/report.html").read_text()
    assert "<h2>Promoted</h2>" in report
    assert ">grouped3x3</code>" in report


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tiny", "--seeds=0"], "--seeds must be at least 1, not 0"),
        (["tiny", "--epochs=0"], "--epochs must be at least 1, not 0"),
        (["tiny", "--workers=-1"], "--workers must be at least 1, not -1"),
        (["tiny", "--kernel=ffffffffffff"], "study tiny has no kernel 'ffffffffffff'; it has "),
        (["tiny", "--kernel=bottleneck"], "study tiny has no kernel 'bottleneck'; it has "),
        (["tidy"], "there is no study 'tidy'"),
    ],
)
def test_bad_input(searched: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["promote", *arguments, f"--dir={searched}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert not (searched / "tiny/promoted").exists()


def forget(folder: Path, change: str) -> None:
    """Make the study one that has not come so far."""
    storage: Any = open_storage(None, folder / "tiny", create=False)
    try:
        study = optuna.load_study(study_name="tiny", storage=storage)
        if change == "reference":
            study.set_user_attr("kas.reference", None)
        elif change == "accuracy":
            reference = json.loads(study.user_attrs["kas.reference"])
            study.set_user_attr("kas.reference", json.dumps({**reference, "accuracy": 5.0}))
        else:
            optuna.delete_study(study_name="tiny", storage=storage)
            again = optuna.create_study(study_name="tiny", storage=storage, directions=["maximize", "minimize"])
            for key, value in study_attributes(folder).items():
                again.set_user_attr(key, value)
    finally:
        close_storage(storage)


def study_attributes(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "attributes.json").read_text())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("reference", "study tiny has no original to compare with yet; run it first: python -m kas.study resume tiny"),
        ("accuracy", "no kernel on the front of study tiny is within 2 points of the original's accuracy; name those"),
        ("trials", "study tiny has no kernel on its front yet; search on, or name kernels with --kernel"),
    ],
)
def test_a_study_that_is_not_so_far(folder: Path, change: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    storage = open_storage(None, folder / "tiny", create=False)
    attributes = optuna.load_study(study_name="tiny", storage=storage).user_attrs
    close_storage(storage)
    (folder / "attributes.json").write_text(json.dumps(attributes))
    forget(folder, change)
    assert main(["promote", "tiny", f"--dir={folder}"]) == 2
    assert message in capsys.readouterr().err


def wait_until(process: subprocess.Popen[bytes], condition: Any) -> None:
    deadline = time.monotonic() + 900
    while not condition():
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of the command and its workers."""
    for one in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
        one.kill()
    process.wait()


@pytest.mark.slow
def test_killed_in_a_training_and_run_again(folder: Path) -> None:
    words = ["promote", "tiny", "--kernel=grouped3x3", "--seeds=1", "--epochs=40"]
    process = subprocess.Popen(command(folder, *words), stdout=subprocess.DEVNULL)
    checkpoint = folder / "tiny/promoted" / GROUPED / "epochs40/seed0/last.ckpt"
    wait_until(process, checkpoint.exists)
    kill_all(process)
    before = stored(folder)
    assert set(before) == {(ORIGINAL, 40, 0)}
    out, _ = kas(folder, *words)
    assert re.search(rf"{GROUPED}, seed 0 went on from epoch [1-9]\d* of 40", out)
    assert stored(folder)[ORIGINAL, 40, 0] == before[ORIGINAL, 40, 0]
    assert times_tested(folder) == Counter([f"{ORIGINAL}, seed 0", f"{GROUPED}, seed 0"])


@pytest.mark.slow
def test_interrupted_it_says_how_to_go_on(folder: Path) -> None:
    words = command(folder, "promote", "tiny", "--kernel=grouped3x3", "--seeds=1", "--epochs=400", "--workers=2")
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(process, (folder / "tiny/promoted" / ORIGINAL / "epochs400/seed0/last.ckpt").exists)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=600)
    assert process.returncode == 130
    advice = f"python -m kas.study promote tiny --seeds=1 --epochs=400 --kernel={GROUPED} --dir {folder}"
    assert error.decode().splitlines()[-1] == f"interrupted; go on with: {advice}"
    assert stored(folder) == {}


@pytest.mark.slow
def test_workers_share_the_trainings(folder: Path) -> None:
    kas(folder, "promote", "tiny", *BOTH, "--seeds=2", "--epochs=60", "--workers=2")
    units = [f"{key}, seed {seed}" for key in (ORIGINAL, GROUPED, SEPARABLE) for seed in (0, 1)]
    assert times_tested(folder) == Counter(units)
    log = (folder / "tiny/log.txt").read_text()
    assert len(set(re.findall(r" (\d+) INFO \w+, seed \d: test", log))) == 2
    assert len(stored(folder)) == 6


@pytest.mark.slow
def test_candidates_start_from_the_original_of_their_seed(tmp_path: Path) -> None:
    text = STUDY.replace("training: {epochs: 1,", "training: {epochs: 1, lr: 1.0e-9, init: original,")
    (tmp_path / "tiny.yaml").write_text(text)
    kas(tmp_path, "run", str(tmp_path / "tiny.yaml"))
    kas(tmp_path, "promote", "tiny", "--kernel=grouped3x3", "--seeds=2")

    def head(key: str, seed: int) -> Any:
        path = tmp_path / "tiny/promoted" / key / f"epochs1/seed{seed}/last.ckpt"
        return weights(path)["model.stem.0.weight"]

    for seed in (0, 1):  # with next to no learning rate they stay where they began
        assert float((head(GROUPED, seed) - head(ORIGINAL, seed)).abs().max()) < 1e-6
    assert float((head(GROUPED, 0) - head(GROUPED, 1)).abs().max()) > 1e-2
    shutil.rmtree(tmp_path / "tiny/promoted" / ORIGINAL)
    _, error = kas(tmp_path, "promote", "tiny", "--kernel=depthwise_separable", "--seeds=2", code=2)
    assert "training.init: original needs the weights of the original of seed 0, which another machine trained" in error
