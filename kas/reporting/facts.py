"""What was searched, where and how: the words at the head of a report, from the study's configuration and reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kas.reporting import wording
from kas.reporting.rows import loads, number, text
from kas.reporting.summary import Summary

__all__ = ["facts", "sentence", "target_count"]


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
        return "No kernel is cheaper than the original at nearly its accuracy yet."
    lead = best.values[0] - summary.original.accuracy
    gain = f"{wording.speedup(best.speedup or 1 / best.values[1])} as fast as the original"
    if not summary.measured:
        gain = f"{best.values[1]:.2f} of the work"
    spread = f" (spread {wording.spread(best.speedup_range)})" if best.speedup_range else ""
    return f"Best kernel: {gain}{spread} at {wording.difference(lead, summary.share)} of accuracy, trial {best.number}."


def facts(summary: Summary) -> list[tuple[str, str]]:
    """Pairs of a label and a text: what was searched and on which device. Only what the study knows is listed."""
    if not summary.is_kas:
        return _plain_facts(summary)
    config = summary.config
    original = summary.original
    found = [
        ("Network", _network(loads(config.get("model")), loads(loads(config.get("cost")).get("model")))),
        ("Data", _named(loads(config.get("data")))),
        ("Replaced", _replaced(summary)),
        ("Budget", ", ".join(f"{key} {value}" for key, value in loads(config.get("budget")).items())),
        ("Device", original.device if original else None),
        ("Cost", _cost(summary)),
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


def target_count(summary: Summary) -> int | None:
    """How many layers are replaced: the targets of the deployed network, or of the only list there is."""
    stored = summary.attributes.get("kas.targets")
    mapping = loads(stored)
    if mapping:
        lists = [mapping.get("deployed"), *mapping.values()]
        return next((len(targets) for targets in lists if isinstance(targets, list)), None)
    listed = loads(f'{{"targets": {stored}}}') if isinstance(stored, str) else {"targets": stored}
    targets = listed.get("targets")
    return len(targets) if isinstance(targets, list) else None


def _replaced(summary: Summary) -> str:
    count = target_count(summary)
    return "" if count is None else f"{count} layer{'' if count == 1 else 's'}"


def _cost(summary: Summary) -> str:
    cost = loads(summary.config.get("cost"))
    if loads(summary.config.get("objectives")).get("cost") == "work":
        return "analytic work, nothing measured"
    batch, runtime = number(cost.get("batch_size")), text(cost.get("runtime"))
    parts = ["latency", f"batch {batch:g}" if batch is not None else "", runtime or ""]
    return ", ".join(part for part in parts if part)


def _training(training: Mapping[str, Any]) -> str:
    epochs, optimizer = number(training.get("epochs")), text(training.get("optimizer"))
    parts = [f"{epochs:g} epoch{'' if epochs == 1 else 's'}" if epochs is not None else "", optimizer or ""]
    return ", ".join(part for part in parts if part)


def _period(summary: Summary) -> str:
    if summary.first is None or summary.last is None:
        return ""
    taken = wording.duration(max(0.0, (summary.last - summary.first).total_seconds()))
    return f"{summary.first:%Y-%m-%d %H:%M}, over {taken}"
