"""The HTML report: what it shows, that it is complete in itself, that text from a study stays text."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import optuna
import pytest
from optuna.trial import create_trial
from reporting_studies import DRAWING, REFERENCE, SEPARABLE, kas_study, plain_study

from kas import zoo
from kas.language.errors import KasError
from kas.reporting import stored
from kas.reporting.report import program_lines, render_report, svg_url, write_report

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

VOID = {"meta", "input", "img", "link", "br"}


class Page(HTMLParser):
    """Checks that tags nest, and collects the texts of table cells, script elements and every attribute."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: dict[str, list[list[str]]] = {}
        self.attributes: list[tuple[str, str, str]] = []
        self.scripts: list[str] = []
        self.table = ""
        self.feed(text)
        assert self.open == [], f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag == "table":
            self.table = dict(attrs).get("id") or ""
            self.rows[self.table] = []
        if tag == "tr":
            self.rows[self.table].append([])
        if tag in ("td", "th"):
            self.rows[self.table][-1].append("")
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if "script" in self.open:
            self.scripts[-1] += data
        elif "td" in self.open or "th" in self.open:
            self.rows[self.table][-1][-1] += data


def words(row: list[str]) -> str:
    return " ".join(" ".join(row).split())


def test_the_original_is_the_first_row_of_the_front() -> None:
    study = kas_study()
    text = render_report(study, {study.best_trials[0].user_attrs["hash"]: DRAWING})
    page = Page(text)
    head, original, *kernels = page.rows["kernels"]
    assert words(head) == "Kernel Accuracy Latency Speed-up MACs Parameters Trial"
    assert words(original) == "Original the network as it is 91.3 % 48.2 ms 1.00× 142 M 1.33 M"
    assert {int(row[-1]) for row in kernels} == {trial.number for trial in study.best_trials}
    assert sum(name == "data-picture" for _, name, _ in page.attributes) == 1
    assert text.count("<small>no drawing</small>") == len(kernels) - 1
    first = study.trials[int(kernels[0][-1])]
    assert first.user_attrs["hash"][:12] in words(kernels[0])
    assert "1  conv(0)  to=C k=[3,3] d=[1,1] depthwise=true\n 2  relu(1)\n 3  fc(2)  to=C" in text
    assert "conv3x3 depthwise -> relu -> fc" in words(kernels[0])
    assert f"{first.user_attrs['speedup']:.2f}×" in words(kernels[0])
    assert f"{first.user_attrs['latency_ms']:.1f} ms of 48.2 ms" in words(kernels[0])


def measured(speedup: float) -> dict[str, object]:
    """A kernel against an original of 24 ms."""
    formats = {"memory_format": "channels_last", "original_format": "contiguous"}
    ratios = {"ratio": 1 / speedup, "ratio_low": 0.9 / speedup, "ratio_high": 1.1 / speedup}
    return {"latency_ms": 24 / speedup, "original_latency_ms": 24.0, "speedup": speedup, **ratios, **formats}


def runtimes_study() -> tuple[optuna.Study, list[str]]:
    """A study whose front was measured in two other runtimes, and the hashes of its front, the cheapest first."""
    study = kas_study()
    best = sorted(study.best_trials, key=lambda trial: trial.values[1])
    hashes = [trial.user_attrs["hash"] for trial in best]
    refused = {"refused": "onnxruntime does not take Net: <no such op>"}
    found = [{"compile": measured(1.7), "onnxruntime": measured(0.62)}, {"compile": measured(1.2), "onnxruntime": refused}]
    front = {key: {"runtimes": entry} for key, entry in zip(hashes, found, strict=False)}
    study.set_user_attr("kas.front", front)
    known = {"compile": {"version": "inductor of torch 2", "memory_format": "channels_last"}}
    study.set_user_attr("kas.runtimes", {**known, "onnxruntime": {"version": "onnxruntime 1.30"}})
    return study, hashes


def detailed_study() -> tuple[optuna.Study, str]:
    """A study with a trial of a known kernel on the front that has sizes, parents and a learning curve; the kernel's hash."""
    study, kernel = kas_study(8, name="it's digits"), zoo.get("bottleneck")
    targets = stored.attribute(study, "kas.targets")["deployed"]
    names = [target["name"] for target in targets]
    study.set_user_attr("kas.reference", json.dumps({**REFERENCE, "curve": [0.5, None, 0.913]}))
    sizes = {"groups": 1, "values": {name: {"x0": 16 if name == "layer0" else 8} for name in names}, "use": {"macs": 0.3}}
    attributes = {"outcome": "ok", "hash": kernel.hash, "program": kernel.to_json(), "sizes": sizes, "parents": [0, 2]}
    measured = {"ratio": 0.3, "ratio_low": 0.28, "ratio_high": 0.33, "speedup": 3.33, "latency_ms": 14.0}
    curve = {1: 0.6, 2: 0.8, 3: 0.95}
    attributes |= {"accuracy": 0.95, **measured}
    study.add_trial(create_trial(values=[0.95, 0.3], user_attrs=attributes, intermediate_values=curve))
    return study, kernel.hash


def test_a_kernel_of_the_front_has_its_name_sizes_parents_and_what_to_copy() -> None:
    study, digest = detailed_study()
    text = render_report(study, options=["--dir", "my runs"])
    page = Page(text)
    assert words(page.rows["kernels"][2]).startswith(f"bottleneck faster {digest[:12]} 95.0 %")
    assert '<p class="formula">fc(x0) -&gt; relu -&gt; conv3x3(x0) -&gt; relu -&gt; fc</p>' in text
    assert 'Descends from <a href="#trial-0">trial 0</a>' in text
    assert 'and <a href="#trial-2">trial 2</a>' in text
    assert "on the front: the fastest, and the best accuracy" in text
    copied = [value for _, name, value in page.attributes if name == "data-copy"]
    command = f"python -m kas.study export 'it'\"'\"'s digits' --kernel {digest} --to onnx --network --dir 'my runs'"
    assert copied == [digest, zoo.get("bottleneck").to_json(), command]
    sizes = [words(row) for row in page.rows[""]]  # MACs: (64·16·2 + 16·16·9) · 64 positions of 64·64·9·64
    assert sizes == [
        "Layers Sizes MACs Parameters",
        "layer0 x0=16 279 k 12 % 4.35 k 12 %",
        "layer{1,2,3,4,5,6,7,8} 8 layers, each x0=8 102 k 4 % 1.60 k 4 %",
    ]


def test_learning_curves_are_those_of_the_front_and_of_the_original() -> None:
    study, _ = detailed_study()
    data = json.loads(Page(render_report(study)).scripts[0])["curves"]["data"]
    assert [(trace["name"], trace["x"], trace["y"]) for trace in data] == [
        ("bottleneck (trial 8)", [1, 2, 3], [0.6, 0.8, 0.95]),
        ("original", [1, 3], [0.5, 0.913]),
    ]
    assert "curves" not in json.loads(Page(render_report(kas_study())).scripts[0])


def test_each_runtime_has_a_column() -> None:
    study, _ = runtimes_study()
    text = render_report(study)
    head, original, *kernels = Page(text).rows["kernels"]
    assert words(head) == "Kernel Accuracy Latency Speed-up (eager) compile onnxruntime MACs Parameters Trial"
    assert words(original) == "Original the network as it is 91.3 % 48.2 ms 1.00× 1.00× 1.00× 142 M 1.33 M"
    assert [" ".join(cell.split()) for cell in kernels[0][4:6]] == ["1.70× 1.55 to 1.89", "↓0.62× 0.56 to 0.69"]
    assert [" ".join(cell.split()) for cell in kernels[1][4:6]] == ["1.20× 1.09 to 1.33", "refused"]
    assert [cell.strip() for cell in kernels[2][4:6]] == ["–", "–"]
    assert "onnxruntime does not take Net: &lt;no such op&gt;" in text
    assert "compile: inductor of torch 2, original channels last; onnxruntime 1.30</dd>" in text
    hovers = [trace.get("text", []) for trace in json.loads(Page(text).scripts[0])["front"]["data"]]
    assert any("in compile 1.70×<br>in onnxruntime 0.62×" in text for texts in hovers for text in texts)


def test_a_runtime_that_refuses_the_original_gives_its_reason() -> None:
    study, _ = runtimes_study()
    study.set_user_attr("kas.runtimes", {"onnxruntime": {"version": "1", "refused": "onnxruntime does not take Net: no"}})
    text = render_report(study)
    assert words(Page(text).rows["kernels"][1]) == "Original the network as it is 91.3 % 48.2 ms 1.00× refused 142 M 1.33 M"
    assert "onnxruntime does not take the original: onnxruntime does not take Net: no</dd>" in text


def test_what_was_measured_again_is_a_table_of_its_own() -> None:
    study, hashes = runtimes_study()
    kernels = {hashes[0]: measured(2.5), "f<i>" * 16: {"refused": "no"}, "x": "no measurement"}
    conditions = {"device": "a <b> CPU", "runtime": "eager", "version": "torch 2", "batch_size": 1, "threads": 1}
    again = {**conditions, "time": "2026-03-04T10:20:30+00:00", "kernels": kernels}
    head, first, second, third = Page(render_report(study, None, [again, {"no": "measurement"}])).rows["measurements"]
    assert words(head) == "Device Kernel Original Latency Speed-up Measured"
    where = "a <b> CPU eager (torch 2), batch 1, 1 thread"
    numbers = "24.0 ms contiguous 9.60 ms channels last 2.50× 2.27 to 2.78"
    assert words(first) == f"{where} {hashes[0]} {numbers} 2026-03-04 10:20"
    assert words(second) == "f<i>f<i>f<i>f<i> – – refused"
    assert words(third) == "x – – –"
    assert "measurements" not in Page(render_report(study)).rows


def test_every_trial_and_every_outcome_is_listed() -> None:
    study = kas_study()
    text = render_report(study)
    page = Page(text)
    assert [row[0] for row in page.rows["trials"][1:]] == [str(trial.number) for trial in study.trials]
    rows = zip(study.trials, page.rows["trials"][1:], strict=True)
    assert all(trial.user_attrs["outcome"] in words(row) for trial, row in rows)
    assert "too slow</span>" in text
    assert "the same kernel as trial 4" in text


def test_the_plots_hold_the_trials() -> None:
    study = kas_study()
    figures = json.loads(Page(render_report(study)).scripts[0])
    assert set(figures) == {"front", "hypervolume"}
    traces = {trace["name"]: trace for trace in figures["front"]["data"]}
    complete = [trial for trial in study.trials if trial.values]
    drawn = {point for name in ("trials", "Pareto front") for point in zip(traces[name]["x"], traces[name]["y"], strict=True)}
    assert drawn == {(round(trial.values[1], 6), round(trial.values[0], 6)) for trial in complete}
    assert (traces["original"]["x"], traces["original"]["y"]) == ([1.0], [0.913])
    assert figures["front"]["layout"]["xaxis"]["title"]["text"] == "latency (x original)"
    assert len(figures["hypervolume"]["data"][0]["x"]) == len(complete)


def test_it_is_complete_in_itself() -> None:
    study = kas_study(8)
    text = render_report(study, {trial.user_attrs["hash"]: DRAWING for trial in study.trials})
    loading = [
        value
        for _, name, value in Page(text).attributes
        if name in ("src", "href", "srcset", "data", "action") and not value.startswith(("data:image/svg+xml;base64,", "#"))
    ]
    assert loading == []
    assert "default-src 'none'" in text
    assert "@import" not in text
    assert "plotly.js v" in text, "plotly's script is inside"
    nonces = set(re.findall(r"nonce[=-]\"?([\w-]{20,})", text[:2000] + text[-9000:]))
    assert len(nonces) == 1
    assert nonces != set(re.findall(r"'nonce-([\w-]+)'", render_report(study)))


EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7*7 }}"


def test_text_from_a_study_stays_text() -> None:
    study = optuna.create_study(study_name=EVIL, directions=["maximize", "minimize"])
    study.set_metric_names([EVIL, "b" + EVIL])
    study.set_user_attr("kas.reference", {"accuracy": 0.5, "device": EVIL})
    study.set_user_attr("kas.config", {"model": {"name": EVIL, "args": {EVIL: EVIL}}, "budget": {EVIL: EVIL}})
    program = json.dumps({"steps": [{"op": EVIL, "ins": [0], EVIL: EVIL}]})
    texts = {"outcome": "ok", "reason": EVIL, "hash": EVIL, "program": program}
    study.add_trial(create_trial(values=[0.5, 0.5], user_attrs=texts))
    study.add_trial(create_trial(values=[0.6, 0.7], user_attrs={**texts, "outcome": EVIL}))
    page = Page(render_report(study, {EVIL: f'<svg xmlns="http://www.w3.org/2000/svg"><script>{EVIL}</script></svg>'}))
    assert not any(name.startswith("on") for _, name, _ in page.attributes)
    assert len(page.scripts) == 3, "the data, plotly, and the report's own"
    assert not any("alert(1)" in script for script in page.scripts[1:])
    assert not set("<>&'") & set(page.scripts[0]), "the data cannot end its element"
    assert not any("49" in words(row) for rows in page.rows.values() for row in rows), "no template runs in a text"
    plain = optuna.create_study(study_name=EVIL)
    plain.set_user_attr(EVIL, EVIL)
    plain.add_trial(create_trial(value=1.0, params={EVIL: EVIL}, distributions={EVIL: choice()}))
    assert len(Page(render_report(plain)).scripts) == 3


def choice() -> optuna.distributions.CategoricalDistribution:
    return optuna.distributions.CategoricalDistribution([EVIL, "other"])


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_a_plain_study(objectives: int) -> None:
    study = plain_study(objectives)
    page = Page(render_report(study))
    head, *rows = page.rows["kernels"]
    assert len(head) == objectives + 2
    assert {int(row[0]) for row in rows} == {trial.number for trial in study.best_trials}
    assert len(page.rows["trials"]) == 26
    assert "kind = " in words(rows[0])


def test_an_empty_study() -> None:
    text = render_report(optuna.create_study(directions=["maximize", "minimize"]))
    Page(text)
    assert "No trial is complete yet." in text
    assert "Nothing to plot yet." in text


@pytest.mark.parametrize("work", [0.4, 0.0])
def test_work_instead_of_latency_has_no_latency_column(work: float) -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    study.set_user_attr("kas.reference", {**REFERENCE, "accuracy": 0.9, "latency_ms": None})
    attributes = {"outcome": "ok", "accuracy": 0.91, "hash": "ab" * 8, "program": SEPARABLE, "macs": 200_000, "params": 1000}
    study.add_trial(create_trial(values=[0.91, work], user_attrs=attributes))
    text = render_report(study)
    page = Page(text)
    assert words(page.rows["kernels"][0]) == "Kernel Accuracy Work MACs Parameters Trial"
    assert words(page.rows["kernels"][2]).endswith(f"91.0 % +1.0 points {work:.2f}× 200 k 1.00 k 0")
    assert f"Best kernel: abababababababab, {work:.2f} of the work at" in text


def test_writing_replaces_the_file_in_one_step(tmp_path: Path) -> None:
    path = write_report(kas_study(3), tmp_path / "new" / "report.html")
    before = path.read_text(encoding="utf-8")
    assert write_report(kas_study(5), path) == path
    assert path.read_text(encoding="utf-8") != before
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KasError, match=r"cannot write the report to .*file/report.html: "):
        write_report(kas_study(1), tmp_path / "file" / "report.html")


def test_a_drawing_becomes_a_picture_without_its_preamble() -> None:
    start, _, content = svg_url(DRAWING).partition(",")
    assert start == "data:image/svg+xml;base64"
    assert base64.b64decode(content).decode() == DRAWING[DRAWING.index("<svg") :]


@pytest.mark.parametrize("program", [None, "", "no json", "[1]", '{"steps": 3}', '{"steps": [{"ins": [0]}]}', '{"steps": [7]}'])
def test_a_program_that_is_none_has_no_lines(program: str | None) -> None:
    assert program_lines(program) == []
