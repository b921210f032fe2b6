"""The command as people run it: help, exit codes, what it loads, studies that exist."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import optuna
import pytest
from rich.console import Console

from kas import zoo
from kas.language import KasError
from kas.study.__main__ import main
from kas.study.commands import COMMANDS
from kas.study.commands._kernels import find_trial
from kas.study.config import StudyConfig, load_config
from kas.study.shipped import shipped_studies
from kas.study.storage.create import create_or_join
from kas.study.storage.opening import close_storage, open_mutex, open_storage
from kas.study.workers.origin import allow_imports_beside, recall, remember

REFERENCE = {
    "accuracy": 0.9, "latency_ms": 8.0, "macs": 1000, "params": 100, "work": 1e3, "device": "a device", "epochs": 2,
}  # fmt: skip


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with one study, `demo`: the original and two kernels, one of them on the front."""
    folder = tmp_path / "runs" / "demo"
    config = StudyConfig(name="demo", trials=5)
    study = create_or_join(config, open_storage(None, folder), open_mutex(None, folder, "demo"))
    study.set_user_attr("kas.reference", json.dumps(REFERENCE))
    target = {"name": "layer.conv", "in_channels": 32, "out_channels": 32, "size": [8, 8]}
    study.set_user_attr("kas.targets", json.dumps({"deployed": [target], "trained": [target]}))
    for name, accuracy, ratio in (("grouped3x3", 0.89, 0.5), ("depthwise_separable", 0.7, 0.8)):
        kernel = zoo.get(name)
        attributes = {
            "hash": kernel.hash, "program": kernel.to_json(), "accuracy": accuracy, "latency_ms": 8.0 * ratio, "ratio": ratio,
            "ratio_low": ratio - 0.01, "ratio_high": ratio + 0.01, "speedup": 1 / ratio, "macs": 300, "params": 30,
            "sizes": {"groups": 4, "values": {"layer.conv": {}}}, "outcome": "ok",
        }  # fmt: skip
        study.add_trial(optuna.trial.create_trial(values=[accuracy, ratio], user_attrs=attributes))
    return tmp_path / "runs"


def command(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "kas.study", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=120, cwd=cwd)


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(arguments) == code
    captured = capsys.readouterr()
    return captured.out if code == 0 else captured.err


@pytest.mark.parametrize("name", [[], *([name] for name in COMMANDS)], ids=lambda name: "".join(name) or "top")
def test_help_is_complete(name: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*name, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "usage: python -m kas.study" in text
    if not name:
        assert all(word in text for word in [*COMMANDS, "examples:", "where things are:", "exit codes:", "130 interrupted"])
    elif name[0] not in ("keys", "init", "check", "proxy"):  # which know nothing of studies
        assert "--dir" in text
        assert "--storage" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["list"],
        ["status", "demo"],
        ["status", "demo", "--json"],
        ["show", "bottleneck"],
        ["keys"],
    ],
    ids=" ".join,
)
def test_torch_is_not_loaded(arguments: list[str], runs: Path) -> None:
    where = [] if arguments[0] == "keys" or arguments[-1] == "--help" else ["--dir", str(runs)]
    code = (
        "import sys; from kas.study.__main__ import main\n"
        "try: code = main(sys.argv[1:])\n"
        "except SystemExit as ended: code = ended.code\n"
        "heavy = [name for name in ('torch', 'torchvision', 'pytorch_lightning') if name in sys.modules]\n"
        "assert code == 0 and not heavy, (code, heavy)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments, *where], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_status_as_json_is_the_contract(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = json.loads(said(capsys, "status", "demo", "--json", "--dir", str(runs)))
    assert list(state) == ["name", "finished", "running", "trials", "outcomes", "metric", "original", "broken", "front"]
    assert (state["name"], state["finished"], state["running"], state["trials"]) == ("demo", 2, 0, 5)
    assert state["outcomes"] == {"ok": 2}
    assert state["original"] == {"accuracy": 0.9, "latency_ms": 8.0}
    (entry,) = state["front"]
    assert list(entry) == ["hash", "name", "formula", "accuracy", "latency_ms", "macs", "params", "speedup", "json", "runtimes"]
    assert (entry["hash"], entry["name"], entry["formula"]) == (zoo.get("grouped3x3").hash, "grouped3x3", "group G -> conv3x3")
    assert (entry["accuracy"], entry["speedup"]) == (0.89, 2.0)


def test_status_shows_the_front_with_the_original_first(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "status", "demo", "--dir", str(runs)).splitlines()
    assert lines[0] == "study demo: 2 of 5 trials finished, 0 running"
    original = next(number for number, line in enumerate(lines) if line.startswith("original"))
    kernel = next(number for number, line in enumerate(lines) if line.startswith("grouped3x3"))
    assert original < kernel
    assert "2.00×" in lines[kernel]


def test_list_and_its_storage(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "demo" in said(capsys, "list", "--dir", str(runs))
    assert "2 of 5" in said(capsys, "list", "--storage", f"sqlite:///{runs / 'demo' / 'study.db'}")
    nothing, shipped = said(capsys, "list", "--dir", str(runs / "none")).splitlines()
    assert nothing == f"no studies in {runs / 'none'}"
    assert shipped == f"studies to run, which come with kas: {', '.join(shipped_studies())}"


def test_a_broken_study_does_not_hide_the_others(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "broken").mkdir()
    (runs / "broken" / "study.db").write_text("this is no database, however long this text may be" * 100)
    text = said(capsys, "list", "--dir", str(runs))
    assert "unreadable" in text
    assert "2 of 5" in text


def test_show_a_known_kernel_a_file_and_a_hash(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kernel = zoo.get("grouped3x3")
    path = tmp_path / "kernel.json"
    path.write_text(kernel.to_json())
    drawing = tmp_path / "kernel.svg"
    for name in ("grouped3x3", str(path), kernel.hash[:8]):
        text = said(capsys, "show", name, "--dir", str(runs), "--draw", str(drawing))
        assert text.startswith(f"kernel {kernel.hash}  (grouped3x3)  rank 2")
        assert "C" in text.split("MACs")[1].splitlines()[0]
        assert f"drawing {drawing}" in text
    assert "<svg" in drawing.read_text()


def test_show_sizes_in_a_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(
        capsys, "show", "bottleneck", "--model", "small_resnet", "--size", "16", "--budget", "macs=0.5",
        "--draw", str(tmp_path / "b.png"),
    )  # fmt: skip
    assert "in small_resnet at 16x16: 6 layers" in text
    assert "stages.0.0.conv{1,2}" in text
    assert "x0=" in text


@pytest.mark.parametrize("suffix", ["json", "svg", "png"])
def test_export(suffix: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kernel = zoo.get("grouped3x3")
    text = said(capsys, "export", "demo", "--kernel", kernel.hash[:6], "--to", suffix, "--dir", str(runs))
    path = runs / "demo" / "kernels" / f"{kernel.hash}.{suffix}"
    assert text == f"kernel {path}\n"
    assert path.stat().st_size > 0


def test_export_of_a_module(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "own.py"
    kernel = zoo.get("grouped3x3")
    text = said(capsys, "export", "demo", "--kernel", kernel.hash, "--to", "py", "--out", str(out), "--dir", str(runs))
    assert text == f"kernel {out}  (for layer.conv: 32 channels, 8x8 positions)\n"
    assert "nn.Module" in out.read_text()
    error = said(
        capsys, "export", "demo", "--kernel", kernel.hash, "--to", "py", "--target", "layer.con", "--dir", str(runs), code=2
    )
    assert "did you mean layer.conv?" in error


def test_export_of_an_unknown_kernel(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = said(capsys, "export", "demo", "--kernel", "zz", "--to", "json", "--dir", str(runs), code=2)
    assert "study demo has no kernel 'zz'; it has " in error


def test_report(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "report", "demo", "--dir", str(runs)) == f"report   {runs / 'demo' / 'report.html'}\n"
    assert zoo.get("grouped3x3").hash[:8] in (runs / "demo" / "report.html").read_text()


def test_keys_of_a_section(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "keys", "objectives")
    assert "objectives.cost: latency" in text
    assert "training" not in text.split("objectives.cost")[0].splitlines()[0]
    assert "did you mean training?" in said(capsys, "keys", "trainin", code=2)


def test_the_dashboard_serves_the_study(runs: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    line = [sys.executable, "-m", "kas.study", "dashboard", "demo", "--port", str(port), "--dir", str(runs)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            assert f"http://127.0.0.1:{port}/dashboard/studies/1" in process.stdout.readline()
            idle = socket.create_connection(("127.0.0.1", port), timeout=30)  # as browsers open in advance
            deadline = time.monotonic() + 30
            while True:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/studies", timeout=5) as answer:
                        names = [entry["study_name"] for entry in json.load(answer)["study_summaries"]]
                    break
                except OSError:
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
            assert names == ["demo"]
            process.terminate()
            assert process.wait(timeout=30) == 0
            idle.close()
        finally:
            process.kill()


def test_wrong_use_is_exit_code_2() -> None:
    for arguments in ([], ["runn"], ["run"], ["run", "a.yaml", "--trials", "many"], ["status", "a", "--what"]):
        done = command(*arguments)
        assert done.returncode == 2, arguments
        assert "error:" in done.stderr
        assert "Traceback" not in done.stderr


def test_the_configuration_is_kept_and_recalled(tmp_path: Path) -> None:
    source = tmp_path / "mine.yaml"
    source.write_text("model: {factory: 'mine:network'}")
    config = load_config(source, ["training.epochs=2"])
    folder = tmp_path / "runs" / "mine"
    assert recall(folder) is None
    remember(folder, config, source)
    assert recall(folder) == (config, source)
    before = (folder / "study.yaml").stat().st_mtime_ns
    remember(folder, config, tmp_path / "other.yaml")
    assert (folder / "study.yaml").stat().st_mtime_ns == before
    assert recall(folder) == (config, source)
    allow_imports_beside(source)
    assert sys.path.pop() == str(tmp_path)


def test_factories_of_a_storage_are_never_imported(tmp_path: Path) -> None:
    mark = tmp_path / "imported"
    (tmp_path / "evil.py").write_text(f"open({str(mark)!r}, 'w')")
    folder = tmp_path / "runs" / "demo"
    data = {**StudyConfig(name="demo").to_dict()}
    data["model"]["factory"] = "evil:network"
    create_or_join(StudyConfig.from_dict(data), open_storage(None, folder), open_mutex(None, folder, "demo"))
    done = command("resume", "demo", cwd=tmp_path)
    assert done.returncode == 2
    assert "error: study demo names model.factory: evil:network, and factories are only taken from a study file" in done.stderr
    assert not mark.exists()


def test_studies_of_other_programs_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    optuna.create_study(study_name="other", storage=f"sqlite:///{tmp_path / 'other.db'}")
    error = said(capsys, "resume", "other", "--dir", str(tmp_path), "--storage", f"sqlite:///{tmp_path / 'other.db'}", code=2)
    assert "is not one of kas" in error


def test_a_kernel_of_a_study_is_named_or_begun(runs: Path) -> None:
    storage = open_storage(None, runs / "demo", create=False)
    study = optuna.load_study(study_name="demo", storage=storage)
    known = zoo.get("grouped3x3").hash
    for name in ("grouped3x3", known, known[:6]):
        assert find_trial(study, name).user_attrs["hash"] == known
    with pytest.raises(KasError, match="has no kernel 'involution'; it has "):
        find_trial(study, "involution")
    close_storage(storage)


@pytest.mark.parametrize("width", [60, 240])
def test_list_cuts_no_name_and_no_folder(width: int, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), width=width, color_system=None, soft_wrap=True)
    monkeypatch.setattr("kas.study.display.lines.make_console", lambda: console)
    assert main(["list", "--dir", str(runs)]) == 0
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.split()[0] == ("demo" if width == 60 else "study")
    assert str(runs / "demo") in text
