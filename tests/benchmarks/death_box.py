"""A study to which something happens, and the table of what can: for `deaths.py`."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from chaos import command, finished, opened, wrong

from kas.study import attributes as keys
from kas.study.storage.files import write_json

__all__ = ["LIMITED", "STUDY", "WAYS", "Box", "end", "prepare", "way"]

STUDY = """\
name: tiny
trials: 1
data: {factory: "net:digits"}
model: {factory: "net:network"}
targets: {stem: false, adapter: projection}
training: {epochs: 6}
cost: {batch_size: 2}
objectives: {cost: work}
health: {enabled: false}
budget: {}
"""
LIMITED = STUDY.replace("epochs: 6", "epochs: 2, time_limit_s: 4.0").replace(
    "cost: {batch_size: 2}\nobjectives: {cost: work}",
    "cost: {batch_size: 2, runtime: eager, repeats: 3, max_ratio: 1000.0, other_runtimes: false}",
)
WAIT_S = 600.0


class Box(ExitStack):
    """One study to which something happens. What it needs to be closed goes on this stack.

    base: the folder of a study with one finished trial, of which this is a copy; None for a study that is yet to be made.
    """

    def __init__(self, place: Path, base: Path | None = None) -> None:
        super().__init__()
        self.place, self.folder, self.url, self.wanted = place, place / "runs", None, 3
        self.known: dict[int, Any] = {}
        self.died_s, self.back_s = 0.0, 0.0
        self.process: Any = None
        if base is not None:
            shutil.copytree(base, self.folder)
            self.own_file()
        else:
            prepare(self.folder, STUDY)

    def own_file(self) -> None:
        """Let a copied (or moved) study know the study file beside it, and so the network there."""
        write_json(self.study / "origin.json", {"study_file": str(self.folder / "tiny.yaml")})

    @property
    def study(self) -> Path:
        """The study's folder."""
        return self.folder / "tiny"

    def start(self, *words: str, **options: Any) -> psutil.Popen:
        """Start a command; by default `run` or `resume` until there are the wanted trials."""
        if not words:
            there = (self.study / "study.yaml").exists()
            words = ("resume", "tiny") if there else ("run", str(self.folder / "tiny.yaml"))
            words = (*words, f"--trials={self.wanted}")
        said = open(self.place / "said.txt", "w+")  # noqa: SIM115
        self.callback(said.close)
        line = command(self.folder, *words, url=self.url)
        self.process = psutil.Popen(line, stdout=said, stderr=subprocess.STDOUT, **options)
        self.process.said = said
        self.callback(end, self.process)
        return self.process

    def training(self, *words: str, original: bool = False, **options: Any) -> Path:
        """Start, slowly, and wait until a trial (or the original) has its first checkpoint, which is returned."""
        (self.folder / "late").touch()
        self.start(*words, **options)
        if original:
            return self.until(lambda: next(self.study.glob("reference/last.ckpt"), None))
        return self.until(self._checkpoint)

    def _checkpoint(self) -> Path | None:
        with suppress(Exception), opened(self.folder, self.url) as study:  # no study yet
            for row in study.get_trials():
                path = self.study / "trials" / row.user_attrs.get("hash", "none") / "last.ckpt"
                if row.state.name == "RUNNING" and path.exists():
                    return path
        return None

    def until(self, condition: Callable[[], Any]) -> Any:
        """Wait until something holds while the command runs."""
        deadline = time.monotonic() + WAIT_S
        while not (found := condition()):
            assert self.process.poll() is None, f"ended too early: {self.said()}"
            assert time.monotonic() < deadline, "waited too long"
            time.sleep(0.2)
        return found

    def kill_all(self) -> None:
        """kill -9 of the command and its workers."""
        end(self.process)
        self.dies()

    def dies(self) -> None:
        """Now it happens."""
        self.died_s = time.monotonic()
        with suppress(Exception):  # it may be the storage that dies
            self.known = finished(self.folder, self.url)
        with suppress(OSError):  # of a disk that is read-only
            (self.folder / "late").unlink()

    def said(self) -> str:
        """What the last command has said so far."""
        self.process.said.seek(0)
        return str(self.process.said.read())

    def ends(self, code: int, *said: str) -> str:
        """Wait for the last command's end, which is with this code and says this."""
        self.process.wait(WAIT_S)
        text = self.said()
        assert self.process.returncode == code, f"exit code {self.process.returncode}: {text[-500:]}"
        assert "Traceback" not in text, text[-500:]
        for part in said:
            assert part in text, f"it does not say {part!r}: {text[-500:]}"
        return text

    def command(self, *words: str, code: int = 0, said: Sequence[str] = (), **options: Any) -> str:
        """Run a command to its end."""
        self.start(*words, **options)
        return self.ends(code, *said)

    def back(self) -> None:
        """Wait until a further trial is finished."""
        begun, deadline = len(self.known), time.monotonic() + WAIT_S
        while self.process.poll() is None and len(finished(self.folder, self.url)) <= begun:
            assert time.monotonic() < deadline, f"no trial is finished: {self.said()[-500:]}"
            time.sleep(0.3)
        self.back_s = time.monotonic()

    def goes_on(self, *said: str, again: bool = True, expected: str = "no fault", **options: Any) -> str:
        """The study ends whole, by the running command or (again) by a new one. Returns what was lost of trials.

        expected: in the text of what would be wrong elsewhere.
        """
        if again:
            self.start(**options)
        if not self.back_s:
            self.back()
        self.ends(0, f"{self.wanted} of {self.wanted} trials are finished", *said)
        found = [one for one in wrong(self.folder, self.url, self.wanted, self.known) if expected not in one]
        assert not found, "; ".join(found)
        return self.lost()

    def lost(self) -> str:
        """What of the trials was cut off and done again."""
        with opened(self.folder, self.url) as study:
            retries = [row for row in study.get_trials() if keys.is_finished(row) and keys.RETRY_OF in row.user_attrs]
        epochs = [row.user_attrs.get("resumed_from_epoch") for row in retries]
        if not epochs:
            return "nothing"
        return "; ".join(
            "all epochs of a trial" if one is None else f"the epoch in hand (went on from {one})" for one in epochs
        )


def end(process: psutil.Popen) -> None:
    """End a command and its workers."""
    with suppress(psutil.Error):
        for one in [*process.children(recursive=True), process]:
            with suppress(psutil.Error):
                one.kill()
    process.wait()


def prepare(folder: Path, study: str) -> Path:
    """A folder with a study file and its network."""
    folder.mkdir(parents=True)
    shutil.copy(Path(__file__).parents[1] / "study" / "dying.py", folder / "net.py")
    (folder / "tiny.yaml").write_text(study)
    return folder


@dataclass(frozen=True)
class Way:
    """base: what the study is before: `done` (a trial is finished), `limited` (with a time limit) or `new`."""

    do: Callable[[Box], str]
    base: str


WAYS: dict[str, Way] = {}


def way(name: str, base: str = "done") -> Callable[[Callable[[Box], str]], Callable[[Box], str]]:
    """Enter a function in the table."""

    def enter(do: Callable[[Box], str]) -> Callable[[Box], str]:
        WAYS[name] = Way(do, base)
        return do

    return enter
