"""One HTML file that shows a study: the front, the kernels on it beside the original, the outcomes, every trial.

The file holds everything (plotly's script, the drawings, the style) and opens without a network. Text from a study is
escaped by the template; drawings are pictures in data URLs, in which no script runs; the page's own policy allows no
script but the report's.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import optuna

from kas.language import Kernel
from kas.language.errors import KasError
from kas.reporting import curves, figures, naming, wording
from kas.reporting.facts import facts, sentence, why_on_front
from kas.reporting.layers import Layers, alike
from kas.reporting.measurements import read_measurement
from kas.reporting.parsing import loads
from kas.reporting.rows import Row
from kas.reporting.summary import Summary, summarize
from kas.solvers import Target

__all__ = ["render_report", "write_report"]

# What a reader wants to know of an outcome, in the colour class of its bar and its mark.
_TONES = {
    "ok": "good",
    "complete": "good",
    "duplicate": "quiet",
    "waiting": "quiet",
    "running": "busy",
    "error": "bad",
    "fail": "bad",
    "died": "bad",
}


def write_report(
    study: optuna.Study,
    path: str | os.PathLike[str],
    drawings: Mapping[str, str] | None = None,
    measurements: Sequence[Mapping[str, Any]] = (),
    promotions: Sequence[Mapping[str, Any]] = (),
    options: Sequence[str] = (),
) -> Path:
    """Write the report of any Optuna study to `path` (in one step: readers see the old file or the new one).

    `drawings`: SVG text by kernel hash. `measurements`: what `measure` wrote, each as `read_measurement` takes it.
    `promotions`: a network's standing each, as `promote --json` prints them. `options`: of a command line, where the study is.
    Returns the path. Raises KasError if the file cannot be written.
    """
    target = Path(path)
    page = render_report(study, drawings, measurements, promotions, options)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(page)
            os.chmod(temporary, 0o644)
            os.replace(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise KasError(f"cannot write the report to {target}: {error.strerror or error}") from error
    return target


def render_report(
    study: optuna.Study,
    drawings: Mapping[str, str] | None = None,
    measurements: Sequence[Mapping[str, Any]] = (),
    promotions: Sequence[Mapping[str, Any]] = (),
    options: Sequence[str] = (),
) -> str:
    """The report's HTML text. `drawings`: SVG text by kernel hash; kernels without one are shown without."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    summary = summarize(study)
    environment = Environment(
        loader=PackageLoader("kas.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: getattr(wording, name) for name in wording.__all__ if name != "NOTHING"}
    environment.filters["kernel_name"] = naming.kernel_name
    environment.filters["thousands"] = lambda value: f"{value:,}"
    return environment.get_template("report.html").render(
        summary=summary,
        sentence=sentence(summary),
        facts=facts(summary),
        named=lambda row: row.label != (row.hash or ""),
        front_numbers={row.number for row in summary.front},
        metric_columns=[(metric, True) for metric in summary.metrics],
        front=[_kernel(summary, row, drawings or {}, options) for row in summary.front],
        labels={row.number: row.label for row in summary.rows},
        most_curves=curves.MOST_CURVES,
        others=list(summary.runtimes)[1:],
        measurements=[found for data in measurements if (found := read_measurement(data)) is not None],
        promotions=promotions,
        promoted_in=list(dict.fromkeys(runtime for row in promotions for runtime in row["speedup"])),
        outcomes=_outcomes(summary),
        tones=_TONES,
        figures=_figures(summary),
        plotly=get_plotlyjs(),
        nonce=secrets.token_urlsafe(16),
        written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        version=version("kas"),
    )


def _figures(summary: Summary) -> dict[str, figures.Figure]:
    shown: dict[str, figures.Figure] = {}
    if summary.front or summary.original:
        shown["front"] = figures.front_figure(summary, figures.REPORT_COLOURS)
    if len(summary.hypervolume) > 1:
        shown["hypervolume"] = curves.hypervolume_figure(summary, figures.REPORT_COLOURS)
    if summary.is_kas and curves.learners(summary):
        shown["curves"] = curves.curves_figure(summary, figures.REPORT_COLOURS)
    return shown


def _kernel(summary: Summary, row: Row, drawings: Mapping[str, str], options: Sequence[str]) -> dict[str, Any]:
    """A kernel of the front: the trial, its picture, program and sizes, and how it compares with the original."""
    lead = None
    if summary.original is not None and row.values:
        lead = row.values[0] - summary.original.accuracy
    svg = drawings.get(row.hash) if row.hash else None
    return {
        "row": row,
        "picture": svg_url(svg) if svg else None,
        "program": program_lines(row.program),
        "lead": lead,
        "speedup": row.speedup or (1 / row.ratio if row.ratio else None),
        "beats": summary.beats(row),
        "formula": naming.program_formula(row.program),
        "why": why_on_front(summary, row),
        "layers": _layers(summary, row),
        "export": _export(summary, row, options),
    }


def _layers(summary: Summary, row: Row) -> list[Layers]:
    """What the kernel is and costs at each layer; nothing where the study does not say its sizes."""
    try:
        targets = [Target.from_dict(target) for target in loads(summary.attributes.get("kas.targets"))["deployed"]]
        return alike(Kernel.from_json(row.program or ""), targets, row.sizes["groups"], row.sizes["values"])
    except (KasError, LookupError, TypeError, ValueError):
        return []


def _export(summary: Summary, row: Row, options: Sequence[str]) -> str:
    """The command that writes the network with this kernel to a file."""
    words = ["export", summary.name, "--kernel", row.hash or "", "--to", "onnx", "--network", *options]
    return f"python -m kas.study {shlex.join(words)}"


def _outcomes(summary: Summary) -> list[dict[str, Any]]:
    counts = summary.outcomes
    largest = max(counts.values(), default=1)
    return [
        {"name": name, "count": count, "share": 100 * count / largest, "tone": _TONES.get(name, "miss")}
        for name, count in counts.items()
    ]


def svg_url(svg: str) -> str:
    """An SVG text as the data URL of a picture: its names stay apart from the page's, and no script in it runs."""
    start = svg.find("<svg")  # matplotlib writes an XML declaration and a document type before it
    return "data:image/svg+xml;base64," + base64.b64encode(svg[max(start, 0) :].encode()).decode()


def program_lines(program: str | None) -> list[str]:
    """A kernel's canonical JSON as lines to read, one step each: `1  unfold(0)  over=hw k=3`. Not a kernel: no lines."""
    try:
        steps = json.loads(program or "")["steps"]
        return [_step_line(number, dict(step)) for number, step in enumerate(steps, start=1)]
    except (ValueError, TypeError, KeyError):
        return []


def _step_line(number: int, step: dict[str, Any]) -> str:
    op, ins = step.pop("op"), step.pop("ins")
    attributes = " ".join(f"{key}={_attribute(value)}" for key, value in step.items())
    return f"{number:>2}  {op}({', '.join(map(str, ins))})  {attributes}".rstrip()


def _attribute(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":")).replace('"', "")
