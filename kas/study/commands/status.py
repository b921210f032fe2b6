"""`status NAME`: how far a study is, and its Pareto front."""

from __future__ import annotations

import json
from typing import Any

from jsonargparse import ArgumentParser

from kas.study.commands._base import Command, Place, add_place
from kas.study.commands._studies import open_study

__all__ = ["command"]


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", type=str, help="the study")
    parser.add_argument("--json", action="store_true", help="print everything as one JSON object, for scripts")
    add_place(parser)


def _execute(args: Any) -> int:
    from kas.study.storage import records
    from kas.study.storage.status import replaced, runtimes, status

    place = Place.of(args)
    study = open_study(place, args.name)
    state = status(study, place.folder(args.name))
    if args.json:
        print(json.dumps(state, indent=2, ensure_ascii=False))
        return 0
    from kas.study.display.lines import make_console, say
    from kas.study.display.overview import front_table, notes

    console = make_console()
    wanted = "" if state["trials"] is None else f" of {state['trials']}"
    outcomes = ", ".join(f"{count} {name}" for name, count in state["outcomes"].items())
    say(f"study {args.name}: {state['finished']}{wanted} trials finished, {state['running']} running")
    say(f"files {place.folder(args.name)}")
    if words := replaced(study):
        say(f"replaces {words}")
    for line in state["broken"]:
        say(line)
    if outcomes:
        say(f"outcomes: {outcomes}")
    original = records.reference(study)
    if original is None:
        say("the original network is not trained and timed yet")
        return 0
    print()
    cost, measured, metric = records.cost_name(study), runtimes(study), records.metric(study)
    front = records.front(records.read(study), metric.direction)
    console.print(front_table(original, front, cost, list(measured), console.width, metric))
    for line in notes(original, front, cost, measured, console.width, metric):
        say(line)
    return 0


command = Command(
    summary="how far a study is, and the best kernels so far",
    description="Show how far a study is: trials finished and running, outcomes, and the Pareto front with the original first.",
    add_arguments=_add_arguments,
    execute=_execute,
    epilog="""\
keys of --json:
  name, finished, running, trials (wanted), outcomes {outcome: rows},
  metric {name, direction, share, task, constant (what a constant answer gets)}, original {accuracy, latency_ms},
  broken [what is left out, as it is not as kas writes it],
  front [{hash, name (of a known kernel, else null), formula, accuracy, latency_ms, macs, params, speedup, json,
  runtimes {name: speedup}}]
  accuracy is the metric, a fraction from 0 to 1 where it is a share; speedup is original over kernel, from the
  same paired measurement; in runtimes, null is a runtime that does not take the network.""",
)
