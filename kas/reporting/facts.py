"""What was searched, where and how: the words at the head of a report, from the study's configuration and reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kas.reporting import naming, wording
from kas.reporting.metric import Metric
from kas.reporting.parsing import listed, loads, number, text
from kas.reporting.rows import Row
from kas.reporting.summary import Summary

__all__ = ["facts", "headline", "sentence", "why_on_front"]


def sentence(summary: Summary) -> str:
    """The result in one sentence."""
    if not summary.is_kas:
        goals = ", ".join(f"{d} {name}" for d, name in zip(summary.directions, summary.metrics, strict=True))
        return f"An Optuna study: {goals}."
    if summary.original is None:
        return "The original network is not evaluated yet."
    if not summary.front:
        return "No kernel has been evaluated to the end yet."
    best = summary.best
    if best is None or not best.values:
        return f"No kernel is cheaper than the original at nearly its {summary.metric.name} yet."
    lead = best.values[0] - summary.original.accuracy
    gain = f"{best.values[1]:.2f} of the work"
    if summary.measured:
        gain = f"{wording.speedup(best.speedup or (1 / best.values[1] if best.values[1] else None))} as fast as the original"
    name = f"{best.label}, " if best.hash else ""
    spread = f" (spread {wording.spread(best.speedup_range)})" if best.speedup_range else ""
    elsewhere = "".join(f"; in {name} {wording.speedup(value)}" for name, value in best.speedups.items())
    said = f"{gain}{spread} at {wording.difference(lead, summary.share)} of {summary.metric.name}, trial {best.number}"
    return f"Best kernel: {name}{said}{elsewhere}."


def why_on_front(summary: Summary, row: Row) -> str:
    """Why a row is on the front of a kas study, in the numbers of its neighbours there; empty if it is not."""
    numbers = [one.number for one in summary.front]
    if row.number not in numbers:
        return ""
    place, metric, cheap = numbers.index(row.number), summary.metric, "fast" if summary.measured else "cheap"
    if len(numbers) == 1:
        return f"on the front: the {cheap}est, and the best {metric.name}"
    if place == 0:
        return f"on the front: the {cheap}est of all"
    before = summary.front[place - 1]
    lead = metric.difference((before.values or (0.0,))[0] - (row.values or (0.0,))[0])
    if place == len(numbers) - 1:
        return f"on the front: the best {metric.name} of all; the next {cheap}er one (trial {before.number}) has {lead}"
    return f"on the front: the next {cheap}er one (trial {before.number}) has {lead} of {metric.name}"


def headline(attributes: Mapping[str, Any], metric: Metric) -> str:
    """How a trial ended, in one line, from its user attributes: the kernel's name, its metric and speed-up."""
    outcome = text(attributes.get("outcome")) or ""
    name, value = naming.kernel_name(text(attributes.get("hash"))), number(attributes.get("accuracy"))
    if outcome != "ok" or value is None:
        words = outcome.replace("_", " ")
        return f"{name}: {words}" if words and name else words
    parts = [f"{metric.name} {metric.text(value)}"]
    speedup, values = number(attributes.get("speedup")), attributes.get("values")
    if speedup:
        parts.append(f"{wording.speedup(speedup)} as fast as the original")
    elif cost := listed(number, 2)(values):
        parts.append(f"{cost[1]:.2f} of the original's work")
    return f"{name}: {', '.join(parts)}"


def facts(summary: Summary) -> list[tuple[str, str]]:
    """Pairs of a label and a text: what was searched and on which device. Only what the study knows is listed."""
    if not summary.is_kas:
        return _plain_facts(summary)
    config = summary.config
    original = summary.original
    found = [
        ("Network", _network(loads(config.get("model")), loads(loads(config.get("cost")).get("model")))),
        ("Data", _named(loads(config.get("data")))),
        ("Task", _task(summary)),
        ("Replaced", naming.replaced(summary.attributes.get("kas.targets"))),
        ("Budget", ", ".join(f"{key} {value}" for key, value in loads(config.get("budget")).items())),
        ("Device", original.device if original else None),
        ("Cost", _cost(summary)),
        ("Runtimes", _runtimes(summary)),
        ("Training", _training(loads(config.get("training")))),
        ("Time", _period(summary)),
    ]
    return [(label, value) for label, value in found if value]


def _plain_facts(summary: Summary) -> list[tuple[str, str]]:
    parameters = {name for row in summary.rows for name in row.parameters}
    found = [("Parameters", str(len(parameters))), ("Time", _period(summary))]
    found += [(key, str(value)) for key, value in summary.attributes.items() if isinstance(value, (str, int, float))]
    return [(label, value if len(value) <= 200 else value[:199] + "…") for label, value in found if value]


def _network(model: Mapping[str, Any], deployed: Mapping[str, Any]) -> str:
    """The network with the arguments of its deployed version, where they differ."""
    arguments = {**loads(model.get("args")), **deployed}
    words = " ".join(f"{key} {value}" for key, value in arguments.items())
    return ", ".join(part for part in (_named(model), words) if part)


def _named(section: Mapping[str, Any]) -> str:
    return text(section.get("factory")) or text(section.get("name")) or ""


def _task(summary: Summary) -> str:
    metric = summary.metric
    if metric.task is None:
        return ""
    constant = "" if metric.constant is None else f", a constant answer gets {metric.text(metric.constant)}"
    return f"{metric.task}, {metric.name} ({'higher' if metric.direction == 'maximize' else 'lower'} is better{constant})"


def _cost(summary: Summary) -> str:
    cost = loads(summary.config.get("cost"))
    if loads(summary.config.get("objectives")).get("cost") == "work":
        return "analytic work, nothing measured"
    batch, runtime = number(cost.get("batch_size")), text(cost.get("runtime"))
    parts = ["latency", f"batch {batch:g}" if batch is not None else "", runtime or ""]
    return ", ".join(part for part in parts if part)


def _runtimes(summary: Summary) -> str:
    """The version of each runtime that the front was measured in, and the memory format that the original is faster in."""
    return "; ".join(_runtime(name, known) for name, known in summary.runtimes.items() if any(known.values()))


def _runtime(name: str, known: Mapping[str, Any]) -> str:
    if refused := text(known.get("refused")):
        return f"{name} does not take the original: {refused}"
    version, memory = text(known.get("version")) or name, (text(known.get("memory_format")) or "").replace("_", " ")
    return f"{version if name in version else f'{name}: {version}'}{f', original {memory}' if memory else ''}"


def _training(training: Mapping[str, Any]) -> str:
    epochs, optimizer = number(training.get("epochs")), text(training.get("optimizer"))
    parts = [f"{epochs:g} epoch{'' if epochs == 1 else 's'}" if epochs is not None else "", optimizer or ""]
    return ", ".join(part for part in parts if part)


def _period(summary: Summary) -> str:
    if summary.first is None or summary.last is None:
        return ""
    taken = wording.duration(max(0.0, (summary.last - summary.first).total_seconds()))
    return f"{summary.first:%Y-%m-%d %H:%M}, over {taken}"
