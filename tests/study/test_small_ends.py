"""Small ways to end: a signal while kas loads, what killed writes leave, a folder that is read-only, exits in user code."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState, create_trial

from kas import zoo
from kas.evaluation.factories import call_factory
from kas.language.errors import KasError
from kas.study.config import StudyConfig
from kas.study.storage.create import create_or_join
from kas.study.storage.files import LEFT_S, StudyFolder, write_json
from kas.study.storage.opening import close_storage, open_mutex, open_storage

PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1  # of linux/prctl.h and linux/capability.h
KERNEL = zoo.get("grouped3x3")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_kas_loads(number: signal.Signals, tmp_path: Path) -> None:
    line = [sys.executable, "-X", "importtime", "-m", "kas.study", "list", f"--dir={tmp_path}"]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "jsonargparse" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.splitlines()[-1] == "interrupted"
    assert "Traceback" not in error


def test_what_killed_writes_leave_is_swept(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "demo")
    litter = [".kas-origin-abc.json", "trials/0/last.ckptabcd1234.tmp", ".report.html.abcd_123", ".origin-12345678.json"]
    kept = ["trials/0/last.ckpt", ".hidden", "study.yaml", "notes.tmp", "kernels/a.json", "last.ckpt.tmp"]
    for name in (*litter, *kept):
        path = folder.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    folder.sweep()
    assert all((folder.root / name).exists() for name in litter), "they may still be written"
    for name in (*litter, *kept):
        os.utime(folder.root / name, (0, time.time() - 2 * LEFT_S))
    folder.sweep()
    assert [name for name in (*litter, *kept) if (folder.root / name).exists()] == kept


def test_a_write_that_is_killed_leaves_what_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "replace", lambda *_: os._exit(9))
    if (child := os.fork()) == 0:
        write_json(tmp_path / "a.json", {})
    os.waitpid(child, 0)
    (left,) = tmp_path.iterdir()
    os.utime(left, (0, 0))
    StudyFolder(tmp_path).sweep()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("storage", ["sqlite", "journal"])
def test_reading_in_a_folder_that_cannot_be_written(storage: str, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    folder = runs / "demo"
    url = None if storage == "sqlite" else f"journal://{runs}/log"
    opened, mutex = open_storage(url, folder), open_mutex(url, folder, "demo")
    study = create_or_join(StudyConfig(name="demo"), opened, mutex)
    attributes = {"outcome": "ok", "hash": KERNEL.hash, "family": KERNEL.family, "program": KERNEL.to_json(), "accuracy": 0.9}
    study.add_trial(create_trial(state=TrialState.COMPLETE, values=[0.9, 0.5], user_attrs=attributes))
    close_storage(opened)
    mutex.close()
    for path in (runs, *runs.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    assert read_only(runs, url, "status", "demo", "--json").count(KERNEL.hash) == 2
    assert "demo" in read_only(runs, url, "list")
    if storage == "journal":
        return
    shown = read_only(runs, url, "show", KERNEL.hash[:6])
    assert KERNEL.hash in shown
    assert "drawing none" in shown
    assert "cannot write the report to" in read_only(runs, url, "report", "demo", code=2)


def read_only(runs: Path, url: str | None, *arguments: str, code: int = 0) -> str:
    """Run a command that may not write where permissions do not let it, as root may."""
    line = [sys.executable, "-m", "kas.study", *arguments, f"--dir={runs}", *([] if url is None else [f"--storage={url}"])]
    drop = (lambda: ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)) if os.geteuid() == 0 else None
    done = subprocess.run(line, capture_output=True, text=True, preexec_fn=drop, timeout=120)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


FACTORIES = """
import sys
def leaves(): sys.exit(7)
def fails(): return 1 / 0
"""


def test_what_a_factory_raises_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "factories_that_fail.py").write_text(FACTORIES)
    (tmp_path / "module_that_leaves.py").write_text("raise SystemExit(0)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, line, what in (("leaves", 3, "SystemExit: 7"), ("fails", 4, "ZeroDivisionError: division by zero")):
        with pytest.raises(KasError, match=rf"model.factory: .*:{name} raised {what}\n.*fail.py\", line {line}, in {name}"):
            call_factory("model.factory", f"factories_that_fail:{name}", {}, {})
    with pytest.raises(KasError, match=r"data.factory: importing module_that_leaves raised SystemExit: 0\n.*, line 1"):
        call_factory("data.factory", "module_that_leaves:f", {}, {})
