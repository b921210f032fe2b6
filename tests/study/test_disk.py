"""A full disk: the run ends cleanly, says what and where, and goes on when there is room; never a trial's outcome."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from disks import disk, fill
from test_promote_command import STUDY
from toy import Evaluation, make_queue

from kas.study.attributes import Outcome
from kas.study.display.events import Silent
from kas.study.storage.disk import DiskError, disk_error, disk_errors
from kas.study.storage.files import write_text
from kas.study.workers.interruption import Interruption
from kas.study.workers.runner import Runner, TrialContext


def test_a_full_disk_is_no_outcome(url: str, tmp_path: Path) -> None:
    queue = make_queue(url, tmp_path, wanted=2)
    whole = Evaluation(tmp_path)

    def evaluate(context: TrialContext) -> Outcome:
        whole(context)
        try:
            raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "trials/x/last.ckpt"))
        except OSError as error:
            raise RuntimeError("a library says something else") from error

    with Interruption() as interruption, pytest.raises(DiskError) as caught:
        Runner(queue, evaluate, Silent(), interruption, folder=tmp_path).run()
    what = f"{tmp_path}/trials/x/last.ckpt cannot be written: No space left on device"
    assert re.fullmatch(rf"{what}; \d+ MB are free there. What is finished is kept: .*`resume`", str(caught.value))
    assert caught.value.exit_code == 1
    assert [(row.state.name, row.user_attrs.get("outcome")) for row in queue.study.get_trials()] == [
        ("FAIL", None),
        ("WAITING", None),
    ]
    with Interruption() as interruption:
        assert Runner(queue, whole, Silent(), interruption, poll_s=0.02).run().exit_code == 0


def test_sqlite_says_it_in_words(tmp_path: Path) -> None:
    error = disk_error(sqlite3.OperationalError("database or disk is full"), tmp_path)
    assert str(error).startswith(f"{tmp_path} cannot be written: the database says: database or disk is full; ")
    assert disk_error(sqlite3.OperationalError("database is locked"), tmp_path) is None
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
        text = os.strerror(number)
        assert f"{tmp_path} cannot be written: {text}" in str(disk_error(OSError(number, text), tmp_path))
    assert disk_error(OSError(errno.ENOENT, "no such file"), tmp_path) is None


def test_a_file_in_one_step_names_itself(tmp_path: Path) -> None:
    code = "import resource, sys; from pathlib import Path; from kas.study.storage.files import write_text\n"
    code += "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)); write_text(Path(sys.argv[1]), 'x' * 100)"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == f"OSError: [Errno 27] File too large: '{tmp_path}/a'"
    assert list(tmp_path.iterdir()) == []


def test_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="other"), disk_errors(tmp_path):
        raise ValueError("other")
    assert write_text(tmp_path / "a", "x").read_text() == "x"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of a megabyte."""
    with disk(tmp_path / "small", "1m"):
        yield tmp_path / "small"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("free", [0, 60_000, 250_000, 500_000])
def test_a_whole_study_on_a_full_disk(free: int, small: Path, tmp_path: Path) -> None:
    """Full from the start, in the creation, in a training; with room it goes on, and every trial is finished."""
    (tmp_path / "tiny.yaml").write_text(STUDY.replace("trials: 2", "trials: 4"))
    filler = fill(small, free)
    run = [sys.executable, "-m", "kas.study", "run", str(tmp_path / "tiny.yaml"), f"--dir={small}"]
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert re.search(r"^error: .* cannot be written: .* free there. What is finished is kept", done.stderr.splitlines()[-1])
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,size=20m", str(small)], check=True)
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 of 4 trials are finished" in done.stdout
    assert " error " not in done.stdout
