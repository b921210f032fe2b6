"""Notes, drawings and the card, written to a storage and read back as optuna-dashboard reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.artifacts import get_all_artifact_meta
from optuna.trial import create_trial
from optuna_dashboard._custom_plot_data import get_plotly_graph_objects
from optuna_dashboard._note import get_note, get_note_from_system_attrs
from reporting_studies import DRAWING, REFERENCE, SEPARABLE, kas_study

from kas.language.errors import KasError
from kas.reporting import cards, notes
from kas.reporting.summary import summarize

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

ATTRIBUTES: dict[str, Any] = {
    "outcome": "ok",
    "accuracy": 0.9012,
    "latency_ms": 31.42,
    "original_latency_ms": 48.2,
    "speedup": 1.534,
    "ratio_low": 0.64,
    "ratio_high": 0.66,
    "macs": 41_000_000,
    "params": 300_000,
    "hash": "0123456789abcdef" * 4,
    "program": SEPARABLE,
}


def test_a_note_of_a_kernel() -> None:
    note = notes.trial_note(ATTRIBUTES)
    head, _, code = note.partition("```json\n")
    assert head.splitlines() == [
        "**0123456789abcdef: accuracy 90.1 %, 1.53× as fast as the original**",
        "",
        "- accuracy: 0.9012",
        "- latency: 31.4 ms, the original 48.2 ms",
        "- speed-up: 1.53× (1.52 to 1.56)",
        "- MACs: 41.0 M",
        "- parameters: 300 k",
        "- kernel: `0123456789abcdef`: `conv3x3 depthwise -> relu -> fc`",
        "",
    ]
    program = code.removesuffix("\n```")
    assert json.loads(program) == json.loads(SEPARABLE)
    assert len(program.splitlines()) == 4, "the head and one line for each step"
    assert len(note) < 800


def test_a_note_of_a_miss() -> None:
    note = notes.trial_note({"outcome": "too_slow", "reason": "2.3 times the\noriginal <b>`*x*`</b>", "program": SEPARABLE})
    assert note.startswith("**too slow**\n\n2.3 times the original &lt;b&gt;\\`\\*x\\*\\`&lt;/b&gt;\n\n```json\n{")


def test_a_note_of_an_error_has_the_end_of_the_traceback() -> None:
    lines = [f"line {number}" for number in range(40)] + ["ValueError: ``` inside"]
    note = notes.trial_note({"outcome": "error", "error": "\n".join(lines)})
    assert note.startswith("**error**\n\n````text\nline 29\n")
    assert note.endswith("ValueError: ``` inside\n````")


def test_a_note_of_nothing() -> None:
    assert notes.trial_note({}) == ""
    assert notes.trial_note({"program": "not a kernel"}) == "```json\nnot a kernel\n```"


def test_notes_and_drawings_of_a_running_trial(tmp_path: Path) -> None:
    study = optuna.create_study(storage=f"sqlite:///{tmp_path}/study.db", directions=["maximize", "minimize"])
    store = notes.artifact_store(tmp_path / "artifacts")

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        for name, value in ATTRIBUTES.items():
            trial.set_user_attr(name, value)
        notes.save_trial_note(trial)
        assert notes.upload_drawings(trial, store, name="kernel", svg=DRAWING, png=b"\x89PNG") == ["kernel.svg", "kernel.png"]
        assert notes.upload_drawings(trial, store, name="kernel", svg=DRAWING, png=b"\x89PNG") == []
        assert get_note(trial) == notes.trial_note(ATTRIBUTES)
        return 0.9, 0.6

    study.optimize(objective, n_trials=1)
    kinds = {meta.filename: meta for meta in get_all_artifact_meta(study.trials[0], storage=study._storage)}
    assert {name: meta.mimetype for name, meta in kinds.items()} == {"kernel.svg": "image/svg+xml", "kernel.png": "image/png"}
    with store.open_reader(kinds["kernel.svg"].artifact_id) as file:
        assert file.read().decode() == DRAWING


def test_an_artifact_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KasError, match=r"cannot make the artifact folder .*file/artifacts: "):
        notes.artifact_store(tmp_path / "file" / "artifacts")


def test_the_note_of_a_study() -> None:
    study = kas_study()
    notes.save_study_note(study)
    note = get_note(study)
    assert note == notes.study_note(summarize(study))
    lines = note.splitlines()
    assert lines[0] == "## digits"
    assert "- **Device**: AMD EPYC 7B13, 2 threads" in lines
    table = [line for line in lines if line.startswith("|")]
    assert table[2] == "| **original** | 91.3 % | 48.2 ms |  | 1.00× |  |"
    assert len(table) == 3 + len(study.best_trials)
    fastest = min(study.best_trials, key=lambda trial: trial.values[1]).user_attrs
    assert f"| {fastest['latency_ms']:.1f} ms | 48.2 ms | {fastest['speedup']:.2f}× |" in table[3]


def test_the_note_of_a_study_has_its_runtimes() -> None:
    study = kas_study()
    first, second, *_ = sorted(study.best_trials, key=lambda trial: trial.values[1])
    front = {first.user_attrs["hash"]: {"runtimes": {"compile": {"speedup": 0.9}}}}
    front[second.user_attrs["hash"]] = {"runtimes": {"compile": {"refused": "no such op"}}}
    study.set_user_attr("kas.front", front)
    study.set_user_attr("kas.runtimes", {"compile": {"version": "inductor"}})
    table = [line for line in notes.study_note(summarize(study)).splitlines() if line.startswith("|")]
    assert table[0] == "|  | accuracy | latency | original then | speed-up | compile | trial |"
    assert table[2] == "| **original** | 91.3 % | 48.2 ms |  | 1.00× | 1.00× |  |"
    assert f"| 0.90× | {first.number} |" in table[3]
    assert f"| refused | {second.number} |" in table[4]


def test_the_note_of_a_study_escapes_and_stays_short() -> None:
    study = optuna.create_study(study_name="a|b <i>", directions=["maximize", "minimize"])
    study.set_user_attr("kas.reference", REFERENCE)
    for number in range(60):
        attributes = {"outcome": "ok", "hash": f"{number:016x}"}
        study.add_trial(create_trial(values=[0.5 + number / 200, 0.5 + number / 200], user_attrs=attributes))
    note = notes.study_note(summarize(study))
    assert note.startswith("## a\\|b &lt;i&gt;\n")
    assert "| and 40 more |  |  |  |" in note
    assert "| `0000000000000000` | 50.0 % |" in note
    assert len(note) < 2500


def test_the_card_replaces_itself_and_stays_small() -> None:
    study = kas_study(700)
    cards.save_front_card(study)
    cards.save_front_card(study)
    saved = get_plotly_graph_objects(study._storage.get_study_system_attrs(study._study_id))
    assert list(saved) == [cards.CARD]
    figure = json.loads(saved[cards.CARD])
    traces = {trace["name"]: trace for trace in figure["data"]}
    assert len(traces["trials"]["x"]) == 400
    assert len(traces["Pareto front"]["x"]) == len(study.best_trials)
    assert "var(" not in saved[cards.CARD]
    assert len(saved[cards.CARD]) < 85_000


def test_notes_say_why_a_kernel_is_on_the_front_until_it_is_not() -> None:
    study = kas_study(3)
    notes.save_front_notes(study)
    front = summarize(study).front
    texts = note_of(study, front[0].number), note_of(study, front[-1].number)
    assert "on the front: the fastest" in texts[0]
    assert "on the front: " in texts[1]
    better = {"outcome": "ok", "accuracy": 0.99, "speedup": 4.0, "hash": "ab" * 8}
    study.add_trial(create_trial(values=[0.99, 0.25], user_attrs=better))
    notes.save_front_notes(study)
    assert note_of(study, 3).startswith(
        "**abababababababab: accuracy 99.0 %, 4.00× as fast as the original**\n\n"
        "on the front: the fastest, and the best accuracy\n"
    )
    assert "on the front" not in note_of(study, front[0].number)


def note_of(study: optuna.Study, number: int) -> str:
    attributes = study._storage.get_study_system_attrs(study._study_id)
    return get_note_from_system_attrs(attributes, study.trials[number]._trial_id)["body"]


def test_learning_curves_are_a_card() -> None:
    study = kas_study(3)
    cards.save_curves_card(study)
    assert get_plotly_graph_objects(study._storage.get_study_system_attrs(study._study_id)) == {}
    attributes = {"outcome": "ok", "accuracy": 0.99, "hash": "ab" * 8}
    study.add_trial(create_trial(values=[0.99, 0.25], user_attrs=attributes, intermediate_values={1: 0.5, 2: 0.99}))
    cards.save_curves_card(study)
    saved = get_plotly_graph_objects(study._storage.get_study_system_attrs(study._study_id))
    assert [trace["y"] for trace in json.loads(saved[cards.CURVES])["data"]] == [[0.5, 0.99]]
