"""Ways in which disks, files, storages and hosts end a study, for `deaths.py`."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import subprocess
from pathlib import Path

from death_box import Box, way
from disks import disk, fill

FULL = "cannot be written"
SECRET = "s3cr3t"


def on_full_disk(box: Box) -> Path:
    """Move the study to a small disk."""
    place = box.enter_context(disk(box.place / "disk", "20m"))
    box.folder = Path(shutil.move(box.folder, place / "runs"))
    if box.study.exists():
        box.own_file()
    return place


@way("disk full before the study is made", "new")
def full_in_creation(box: Box) -> str:
    filler = fill(on_full_disk(box))
    box.command(code=1, said=[FULL])
    box.dies()
    filler.unlink()
    return box.goes_on()


@way("disk full in a training")
def full_in_training(box: Box) -> str:
    place = on_full_disk(box)
    box.training()
    filler = fill(place)
    box.ends(1, FULL)
    filler.unlink()
    box.dies()
    return box.goes_on()


@way("disk full in the export of the front")
def full_in_export(box: Box) -> str:
    place, box.wanted = on_full_disk(box), 1
    shutil.rmtree(box.study / "kernels")
    filler = fill(place, 120_000)
    box.command(code=1, said=[FULL])
    box.dies()
    filler.unlink()
    return box.goes_on()


@way("disk full in the report")
def full_in_report(box: Box) -> str:
    place, box.wanted = on_full_disk(box), 1
    filler = fill(place, 60_000)
    box.command("report", "tiny", code=1, said=[FULL])
    box.dies()
    filler.unlink()
    box.command("report", "tiny")
    return "nothing"


@way("a read-only disk, looked at")
def read_only(box: Box) -> str:
    place = on_full_disk(box)
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    box.command("status", "tiny", said=["1"])
    box.command(code=1, said=[FULL])
    box.dies()
    subprocess.run(["mount", "-o", "remount,rw", str(place)], check=True)
    return box.goes_on()


@way("torn journal", "new")
def torn_journal(box: Box) -> str:
    box.url = f"journal://{box.folder}/study.log"
    box.training()
    box.kill_all()
    with open(box.folder / "study.log", "rb+") as journal:
        journal.truncate(journal.seek(0, 2) - 10)
    return box.goes_on()


@way("half a study.db")
def half_a_database(box: Box) -> str:
    box.wanted = 1
    database = box.study / "study.db"
    data = database.read_bytes()
    database.write_bytes(data[: len(data) // 2])
    trained = sorted(box.study.glob("trials/*/last.ckpt"))
    box.dies()
    box.command("resume", "tiny", code=2, said=["error: ", "study.db cannot be opened: "])
    for path in box.study.glob("study.db*"):
        path.unlink()
    box.command("run", str(box.folder / "tiny.yaml"), "--adopt", said=["1 of 1 trials are finished"])
    assert all(path.exists() for path in trained)
    return "the numbers of the trials; not what was trained (--adopt)"


def halve(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


@way("truncated checkpoint of a trial")
def truncated_trial(box: Box) -> str:
    checkpoint = box.training()
    box.kill_all()
    halve(checkpoint)
    return box.goes_on()


@way("truncated checkpoint of the original", "new")
def truncated_original(box: Box) -> str:
    checkpoint = box.training(original=True)
    box.kill_all()
    halve(checkpoint)
    box.goes_on()
    return "the epochs of the original"


@way("damaged kernels/*")
def damaged_kernels(box: Box) -> str:
    box.wanted = 1
    kernels = {path: path.read_bytes() for path in (box.study / "kernels").iterdir()}
    for path in kernels:
        halve(path)
    box.dies()
    lost = box.goes_on()
    assert all(len(path.read_bytes()) >= len(data) for path, data in kernels.items())
    return lost


@way("artifacts removed while running")
def artifacts_removed(box: Box) -> str:
    depot = box.folder / "depot"
    box.training("resume", "tiny", f"--trials={box.wanted}", f"--artifacts={depot}")
    for folder in (depot, box.study / "artifacts"):
        shutil.rmtree(folder, ignore_errors=True)  # whose files come and go
    box.dies()
    return box.goes_on(again=False)


def silent_host(box: Box, url: str) -> str:
    """A host that takes connections and never says anything, and whose password nobody is told."""
    host = box.enter_context(socket.create_server(("127.0.0.1", 0)))
    box.url = url.replace("HOST", f"127.0.0.1:{host.getsockname()[1]}")
    box.dies()
    for words in (("status", "tiny"), ("run", str(box.folder / "tiny.yaml"))):
        assert SECRET not in box.command(*words, code=2, said=["error: "])
    return "nothing: refused, twice"


@way("PostgreSQL's host never answers", "new")
def silent_postgres(box: Box) -> str:
    return silent_host(box, f"postgresql+psycopg://kas:{SECRET}@HOST/kas")


@way("the proxy's host never answers", "new")
def silent_proxy(box: Box) -> str:
    return silent_host(box, "grpc://HOST")


def trained(box: Box) -> dict[Path, bytes]:
    """All that was trained."""
    return {path: path.read_bytes() for path in box.study.rglob("*.ckpt")}


@way("a second storage for the same folder")
def second_storage(box: Box) -> str:
    before, box.url = trained(box), f"journal://{box.folder}/two.log"
    box.dies()
    box.command("run", str(box.folder / "tiny.yaml"), code=2, said=["of another study: its study.id is", "--adopt"])
    assert trained(box) == before
    box.url = None
    box.dies()
    return box.goes_on()


@way("study.id lost")
def lost_identity(box: Box) -> str:
    before = trained(box)
    (box.study / "study.id").unlink()
    box.dies()
    box.command(code=2, said=["it has no study.id that can be read", "--adopt"])
    assert trained(box) == before
    box.command("resume", "tiny", "--adopt")
    return box.goes_on()


@way("a hash in the storage that is a path")
def path_as_hash(box: Box) -> str:
    outside = box.place / "outside"
    with sqlite3.connect(box.study / "study.db") as database:
        changed = database.execute(
            "UPDATE trial_user_attributes SET value_json = ? WHERE key = 'hash'", (json.dumps(str(outside)),)
        )
        assert changed.rowcount == 1
    database.close()
    box.dies()
    box.command("status", "tiny", said=["trial 0 is left out: hash is"])
    box.command("report", "tiny")
    box.command(said=["3 of 3 trials are finished"])
    assert not list(box.place.glob("outside*"))
    return "the broken trial, which is named"


@way("a study file that is an alias bomb", "new")
def alias_bomb(box: Box) -> str:
    lines = ["a0: &a0 [1, 2]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    (box.folder / "tiny.yaml").write_text("\n".join(lines))
    box.dies()
    box.command(code=2, said=["error: "])
    return "nothing: refused"


@way("a factory that ends with sys.exit(7)", "new")
def exit_in_factory(box: Box) -> str:
    words = ("run", str(box.folder / "tiny.yaml"), "--set", "model.factory=net:leaves")
    box.dies()
    box.command(*words, code=2, said=["error: model.factory: net:leaves ", "7"])
    return "nothing: refused"
