"""Checkpoints that all machines reach: a folder, a bucket on a real server, and a trial that goes on elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from test_session import WORK

from kas.language.errors import KasError
from kas.study.__main__ import main
from kas.study.display.events import Silent
from kas.study.storage.depot import Depot, Slot, open_depot
from kas.study.workers.session import run_study


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of an S3 server on this machine."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="kas")
    yield "s3://kas"
    server.stop()


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "depot") if request.param == "folder" else str(request.getfixturevalue("bucket"))


def make_slot() -> tuple[Slot, list[object]]:
    names: list[object] = [None]
    return Slot(lambda: names[-1], names.append), names


def test_a_checkpoint_is_kept_and_brought(place: str, tmp_path: Path) -> None:
    slot, names = make_slot()
    here, there = tmp_path / "a/last.ckpt", tmp_path / "b/last.ckpt"
    here.parent.mkdir()
    for content in (b"one epoch", b"two epochs"):
        here.write_bytes(content)
        open_depot(place).keep(here, slot)
    assert len(set(names)) == 3, "each has a name of its own"
    open_depot(place).bring(there, slot)
    assert there.read_bytes() == b"two epochs"
    there.write_bytes(b"three epochs, not stored yet")
    open_depot(place).bring(there, slot)
    assert there.read_bytes() == b"three epochs, not stored yet"
    outdated, _ = make_slot()
    outdated.write(str(names[1]))
    other = tmp_path / "c/last.ckpt"
    open_depot(place).bring(other, outdated)
    assert not other.exists(), "the one before is removed"
    open_depot(place).forget(slot)
    open_depot(place).bring(other, slot)
    assert not other.exists()


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", 3, ["a"], "A" * 32, ""])
def test_a_name_that_is_none_is_not_followed(name: object, tmp_path: Path) -> None:
    (tmp_path / "depot").mkdir()
    slot = Slot(lambda: name, lambda text: None)
    assert slot.name is None
    open_depot(str(tmp_path / "depot")).bring(tmp_path / "last.ckpt", slot)
    assert not (tmp_path / "last.ckpt").exists()


def test_a_store_that_fails_costs_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def write(self, name: str, file: object) -> None:
            raise OSError("no route to host")

    (tmp_path / "last.ckpt").write_bytes(b"x")
    slot, names = make_slot()
    Depot(Broken()).keep(tmp_path / "last.ckpt", slot)
    assert names == [None]
    assert "was not stored for other machines: no route to host" in caplog.text


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("wrong", ["s3://", "s3://kas/sub", "s3://none"])
def test_a_bucket_that_is_not_there(wrong: str) -> None:
    with pytest.raises(KasError, match=f"--artifacts {wrong}: "):
        open_depot(wrong)


class Interrupted(Silent):
    """Ctrl-C after an epoch of the first trial."""

    def epoch(self, trial: int | None, epoch: int, epochs: int, accuracy: float) -> None:
        self.seen = (trial, epoch)

    def stage(self, trial: int | None, stage: str, detail: str = "") -> None:
        self.where = (trial, stage)

    def alive(self) -> None:
        import os
        import signal

        if getattr(self, "seen", None) == (0, 1):
            self.seen = (0, 0)
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.system
def test_a_trial_goes_on_on_another_machine(tmp_path: Path) -> None:
    url, depot = f"sqlite:///{tmp_path}/study.db", str(tmp_path / "depot")
    config = replace(WORK, trials=1, training=replace(WORK.training, epochs=3))
    first = run_study(config, tmp_path / "one/tiny", url, Interrupted(), artifacts=depot)
    assert first.exit_code == 130
    second = run_study(config, tmp_path / "two/tiny", url, Silent(), artifacts=depot)
    assert [record.resumed_from_epoch for record in second.records if record.outcome] == [1]
    third = run_study(replace(config, trials=1), tmp_path / "three/tiny", url, Silent(), artifacts=depot)
    (kernel,) = third.front
    assert (tmp_path / f"three/tiny/kernels/{kernel.hash}.ckpt").exists(), "its weights were brought"


@pytest.mark.system
@pytest.mark.parametrize("by", ["option", "environment"])
def test_the_command_keeps_checkpoints_there(by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    depot, file = tmp_path / "depot", tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(WORK.to_dict()))
    if by == "environment":
        monkeypatch.setenv("KAS_ARTIFACTS", str(depot))
    place = [f"--artifacts={depot}"] if by == "option" else []
    assert main(["run", str(file), "--trials=1", f"--dir={tmp_path}", *place]) == 0
    assert len(list(depot.iterdir())) == 2, "the original's and the trial's"
