"""`promote NAME`: train what is deployed, with the best kernels and without, several times, and test it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser

from kas.language.errors import KasError
from kas.study.commands import report
from kas.study.commands._base import Command, Place, add_place, whole
from kas.study.commands._studies import open_study

if TYPE_CHECKING:
    import optuna

    from kas.language.kernel import Kernel
    from kas.reporting.metric import Metric
    from kas.study.config import StudyConfig

__all__ = ["command"]


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", type=str, help="the study")
    parser.add_argument(
        "--kernel",
        type=str,
        action="append",
        default=[],
        metavar="HASH",
        help="a kernel's hash, or its start, or the name of a known kernel; may be repeated (default: the front near the "
        "original, within two points of a share)",
    )
    parser.add_argument("--seeds", type=whole, default=3, metavar="N", help="trainings of each network (default: 3)")
    parser.add_argument("--epochs", type=whole, metavar="N", help="passes over the training data (default: training.epochs)")
    parser.add_argument("--workers", type=whole, default=1, metavar="N", help="processes that train here (default: 1)")
    parser.add_argument("--json", action="store_true", help="print the table as one JSON object, for scripts")
    add_place(parser)


def _execute(args: Any) -> int:
    from kas.study.storage import records
    from kas.study.workers.origin import study_config

    for key in ("seeds", "epochs", "workers"):
        value = getattr(args, key)
        if value is not None and value < 1:
            raise KasError(f"--{key} must be at least 1, not {value}")
    place = Place.of(args)
    study = open_study(place, args.name)
    if records.reference(study) is None:
        raise KasError(
            f"study {args.name} has no original to compare with yet; run it first: python -m kas.study resume {args.name}"
        )
    kernels, metric = _chosen(study, args.kernel), records.metric(study)
    config = study_config(study, place.folder(args.name))
    return _promote(args, place, config, kernels, metric, args.epochs or config.training.epochs)


def _chosen(study: optuna.Study, names: Sequence[str]) -> dict[str, Kernel]:
    """The kernels to promote, by hash: those named, or the front near the original."""
    from kas.language.kernel import Kernel
    from kas.study.commands._kernels import find_trial
    from kas.study.storage import records

    if names:
        programs = [find_trial(study, name).user_attrs["program"] for name in names]
    else:
        metric, original = records.metric(study), records.reference(study)
        front = records.front(records.read(study), metric.direction)
        if not front:
            raise KasError(f"study {study.study_name} has no kernel on its front yet; search on, or name kernels with --kernel")
        programs = [
            record.program
            for record in front
            if record.program
            and original
            and record.accuracy is not None
            and metric.is_close(record.accuracy, original.accuracy)
        ]
        if not programs:
            raise KasError(
                f"no kernel on the front of study {study.study_name} is {metric.within} of the original's {metric.name}; "
                f"name those to promote with --kernel"
            )
    kernels = [Kernel.from_json(program) for program in programs]
    return {kernel.hash: kernel for kernel in kernels}


def _promote(args: Any, place: Place, config: StudyConfig, kernels: dict[str, Kernel], metric: Metric, epochs: int) -> int:
    from kas.study.display.lines import make_console
    from kas.study.display.promotion import PromotionTerminal
    from kas.study.workers.promoting import work_on
    from kas.study.workers.supervisor import Supervisor

    terminal = PromotionTerminal(make_console(stderr=args.json), metric)
    folder = place.folder(config.name)
    work = partial(work_on, config, folder, place.storage, kernels, args.seeds, epochs, args.workers)
    try:
        code = Supervisor(work, terminal, args.workers, device=config.device).run()
    finally:
        terminal.close()
    if code == 0:
        _show(args, place, metric, list(kernels), epochs)
    if code == 130:
        words = ["promote", args.name, f"--seeds={args.seeds}", f"--epochs={epochs}", *(f"--kernel={key}" for key in kernels)]
        print(f"interrupted; go on with: {' '.join(['python -m kas.study', *words, *place.shown()])}", file=sys.stderr)
    return code


def _show(args: Any, place: Place, metric: Metric, kernels: list[str], epochs: int) -> None:
    from kas.reporting.naming import kernel_name
    from kas.study.display.lines import make_console, say
    from kas.study.display.promotion import promotion_table, speedups, standings
    from kas.study.storage.promotions import promotions

    study = open_study(place, args.name)
    found = speedups(study, kernels)
    rows = standings(promotions(study), kernels, epochs, found)
    runtimes = list(dict.fromkeys(name for one in found.values() for name in one))
    if args.json:
        print(json.dumps({"name": args.name, "epochs": epochs, "networks": [row.to_dict() for row in rows]}, indent=2))
        return
    console = make_console()
    console.print()
    console.print(promotion_table(rows, metric, runtimes, console.width))
    say("n: seeds; ±: standard deviation, and the 95 % interval of the difference, of a share in points; then how much faster")
    for row in rows:
        for reason in row.failed:
            say(f"{kernel_name(row.kernel)}, {reason}")
    say(f"report   {report.write(place, args.name)}")


command = Command(
    summary="train what is deployed with the best kernels, and test it",
    description="""\
Train the network as it is deployed (cost.model, cost.size) with each kernel and as it was, from several seeds on the same
schedule, and test each on a split that neither the search nor the training has seen. Then a table: the test score with its
standard deviation, the difference to the original (paired by seed) with its 95 % confidence interval over seeds, and how
much faster the network is. Nothing finished is done again: run it again for more seeds or kernels, after Ctrl-C or kill -9,
or on several machines at once, which share the trainings. Results of another --epochs are kept beside.""",
    add_arguments=_add_arguments,
    execute=_execute,
    loads=True,
    epilog="""\
examples:
  python -m kas.study promote digits
  python -m kas.study promote digits --kernel 3f2a --kernel ghost --seeds 5 --epochs 30 --workers 2

keys of --json:
  name, epochs, networks [{kernel (a hash, or original), name (of a known kernel), epochs, seeds, validation, test (a score
  for each seed), mean, sd, difference, difference_low, difference_high, macs, params, speedup {runtime: factor}, failed}]

The weights are kept in DIR/NAME/promoted; `export NAME --kernel HASH --network` writes the network as a file.""",
)
