"""What optuna-dashboard shows beside a trial and a study: notes, and drawings as artifacts.

Notes are study attributes in the storage, which every page of the dashboard loads: they are kept short.
Artifacts belong to a trial and must be uploaded while it runs.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta, upload_artifact

from kas.language.errors import KasError
from kas.reporting import wording
from kas.reporting.facts import facts, headline, sentence, why_on_front
from kas.reporting.metric import Metric
from kas.reporting.naming import kernel_name, program_formula
from kas.reporting.parsing import number, text
from kas.reporting.rows import Row, Timing
from kas.reporting.summary import Summary, summarize

__all__ = [
    "artifact_store",
    "save_front_notes",
    "save_study_note",
    "save_trial_note",
    "study_note",
    "trial_note",
    "upload_drawings",
]

_ERROR_LINES = 12
_TEXT_LIMIT = 600
_FRONT_LIMIT = 20
_FORMULA = 200  # characters of a formula


def trial_note(attributes: Mapping[str, Any], metric: Metric | None = None, why: str = "") -> str:
    """A trial in markdown from its user attributes: a headline, the numbers, the program. Missing ones are left out.

    metric: that of the study; None for the accuracy. why: why it is on the front, if it is (`why_on_front`).
    """
    metric = metric or Metric()
    head = headline(attributes, metric)
    parts = [f"**{_inline(head)}**" if head else "", _inline(why), _reason(attributes), _numbers(attributes, metric.name)]
    program, error = text(attributes.get("program")), text(attributes.get("error"))
    if program:
        parts.append(_fenced(readable_program(program), "json"))
    if error:
        parts.append(_fenced("\n".join(error.strip().splitlines()[-_ERROR_LINES:]), "text"))
    return "\n\n".join(part for part in parts if part)


def save_trial_note(trial: optuna.Trial) -> None:
    """Write the note of a running trial from the user attributes that it has by now; later calls replace it."""
    from optuna_dashboard import save_note

    save_note(trial, trial_note(trial.user_attrs, Metric.of(trial.study)))


def save_front_notes(study: optuna.Study) -> None:
    """Write the notes of trials that came to the front or left it; of the others nothing has changed."""
    from optuna_dashboard._note import note_str_key_prefix, note_ver_key, save_note_with_version, split_body

    summary, storage = summarize(study), study._storage
    known = storage.get_study_system_attrs(study._study_id)
    trials = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    for row in summary.rows:
        if row.counts:
            trial = trials[row.number]
            note = trial_note(trial.user_attrs, summary.metric, why_on_front(summary, row))
            head = split_body(note, trial._trial_id)  # in parts, as a database keeps them; the first has the numbers
            if known.get(f"{note_str_key_prefix(trial._trial_id)}0") != next(iter(head.values())):
                version = known.get(note_ver_key(trial._trial_id), 0) + 1
                save_note_with_version(storage, study._study_id, trial._trial_id, version, note)


def study_note(summary: Summary) -> str:
    """A study in markdown: what is searched, where, the result so far and the front with the original as first row."""
    lines = [f"- **{label}**: {_inline(value)}" for label, value in facts(summary)]
    parts = [f"## {_inline(summary.name)}", _inline(sentence(summary)), "\n".join(lines)]
    if summary.is_kas and (summary.front or summary.original):
        parts.append(_front_table(summary))
    return "\n\n".join(part for part in parts if part)


def save_study_note(study: optuna.Study) -> None:
    """Write or replace the note of the study."""
    from optuna_dashboard import save_note

    save_note(study, study_note(summarize(study)))


def artifact_store(folder: str | os.PathLike[str]) -> FileSystemArtifactStore:
    """The store for a study's drawings in `folder`, made if it is not there. Raises KasError if it cannot be made."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KasError(f"cannot make the artifact folder {folder}: {error.strerror or error}") from error
    return FileSystemArtifactStore(os.fspath(folder))


def upload_drawings(
    trial: optuna.Trial, store: Any, *, name: str, svg: str | None = None, png: bytes | None = None
) -> list[str]:
    """Attach drawings to a running trial as `name`.svg and `name`.png; returns the file names that are new.

    What the trial has already is not uploaded again, so that a trial that goes on after a crash keeps one of each.
    `store`: any Optuna artifact store.
    """
    files = {f"{name}.svg": svg.encode() if svg is not None else None, f"{name}.png": png}
    present = {meta.filename for meta in get_all_artifact_meta(trial)}
    wanted = {file: content for file, content in files.items() if content is not None and file not in present}
    with tempfile.TemporaryDirectory(prefix="kas-") as folder:
        for file, content in wanted.items():
            path = Path(folder, file)
            path.write_bytes(content)
            upload_artifact(artifact_store=store, file_path=os.fspath(path), study_or_trial=trial)
    return list(wanted)


def readable_program(program: str) -> str:
    """A kernel's canonical JSON with one step a line; text that is not a kernel as it is."""
    try:
        kernel = json.loads(program)
        steps = [json.dumps(step) for step in kernel.pop("steps")]
        head = ", ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in kernel.items())
    except (ValueError, TypeError, KeyError, AttributeError):
        return program
    return f"{{{head}, " + '"steps": [\n  ' + ",\n  ".join(steps) + "]}"


def _reason(attributes: Mapping[str, Any]) -> str:
    reason = text(attributes.get("reason"))
    return _inline(reason) if reason else ""


def _numbers(attributes: Mapping[str, Any], metric: str) -> str:
    """The measured values as a list."""
    values = {name: number(attributes.get(name)) for name in ("accuracy", "latency_ms", "speedup", "macs", "params")}
    low, high = number(attributes.get("ratio_low")), number(attributes.get("ratio_high"))
    spread = f" ({wording.spread((1 / high, 1 / low))})" if low and high else ""
    then = number(attributes.get("original_latency_ms"))
    original = f", the original {wording.milliseconds(then)}" if then else ""
    shown = [
        (_inline(metric), wording.plain(values["accuracy"])),
        ("latency", wording.milliseconds(values["latency_ms"]) + original),
        ("speed-up", wording.speedup(values["speedup"]) + spread),
        ("MACs", wording.count(values["macs"])),
        ("parameters", wording.count(values["params"])),
        ("kernel", _kernel(text(attributes.get("hash")), text(attributes.get("program")))),
    ]
    return "\n".join(f"- {label}: {value}" for label, value in shown if not value.startswith(wording.NOTHING))


def _kernel(kernel_hash: str | None, program: str | None) -> str:
    """A known kernel's name, or the hash; behind it the formula."""
    if kernel_hash is None:
        return wording.NOTHING
    said = program_formula(program, _FORMULA)
    return f"`{kernel_name(kernel_hash)}`" + (f": `{said}`" if said else "")


def _front_table(summary: Summary) -> str:
    """The original network and the front; "original then" is the original's latency in the same measurement as a kernel's.

    Behind the speed-up in the study's runtime stands that in each other one.
    """
    others = list(summary.runtimes)[1:]
    scores = [row.values[0] for row in summary.front if row.values]
    costs = [row.values[1] for row in summary.front if row.values]
    digits = wording.digits_apart(lambda value, n: wording.accuracy(value, summary.share, n), scores, 1, 4)
    finer = wording.digits_apart(lambda value, n: wording.speedup(_shown_cost(value, summary), n), costs, 2)
    latency = ("latency", "original then", "speed-up", *(_cell(other) for other in others))
    columns = (_cell(summary.metric.name), *(latency if summary.measured else ("work",)), "trial")
    lines = [_line("", *columns), _line("---", *["---:"] * len(columns))]
    if summary.original is not None:
        ones = ["1.00×"] * (1 + len(others))
        cells = [wording.milliseconds(summary.original.latency_ms), "", *ones] if summary.measured else ones
        lines.append(_line("**original**", wording.accuracy(summary.original.accuracy, summary.share), *cells, ""))
    for row in summary.front[:_FRONT_LIMIT]:
        accuracy, cost = row.values[:2] if row.values else (None, None)
        name = f"`{_cell(row.label)}`" if row.hash else ""
        known: tuple[str, ...] = (wording.speedup(cost, finer),)
        if summary.measured:
            latencies = (wording.milliseconds(row.latency_ms), wording.milliseconds(row.original_latency_ms))
            known = (
                *latencies,
                wording.speedup(1 / cost if cost else None, finer),
                *(_elsewhere(row, name) for name in others),
            )
        lines.append(_line(name, wording.accuracy(accuracy, summary.share, digits), *known, str(row.number)))
    if len(summary.front) > _FRONT_LIMIT:
        lines.append(_line(f"and {len(summary.front) - _FRONT_LIMIT} more", *[""] * len(columns)))
    return "\n".join(lines)


def _shown_cost(cost: float, summary: Summary) -> float:
    """The speed-up, or the work."""
    return 1 / cost if summary.measured and cost else cost


def _elsewhere(row: Row, runtime: str) -> str:
    """The speed-up in another runtime than the study's."""
    timing = row.runtimes.get(runtime, Timing())
    return "refused" if timing.refused else wording.speedup(timing.speedup)


def _line(*cells: str) -> str:
    """A row of a markdown table."""
    return f"| {' | '.join(cells)} |"


def _cell(value: str) -> str:
    return value.replace("|", "").replace("`", "")


def _inline(value: str) -> str:
    """Text of a study as it is: on one line, not too long, nothing in it read as markdown or HTML."""
    flat = " ".join(value.split())
    flat = flat if len(flat) <= _TEXT_LIMIT else flat[: _TEXT_LIMIT - 1] + "…"
    escaped = flat.replace("\\", "\\\\")
    for mark in "`*_[]#|~":
        escaped = escaped.replace(mark, "\\" + mark)
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _fenced(code: str, language: str) -> str:
    """A code block whose fence is longer than any run of backquotes in it."""
    fence = "```"
    while fence in code:
        fence += "`"
    return f"{fence}{language}\n{code}\n{fence}"
