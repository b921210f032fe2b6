"""`measure NAME`: the latencies of a study's kernels again, here, in every runtime."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser

from kas.language.errors import KasError
from kas.study.commands._base import Command, Place, add_place, whole
from kas.study.commands._studies import open_study

if TYPE_CHECKING:
    import optuna

    from kas.study.storage.records import TrialRecord
    from kas.study.workers.bench import Bench

__all__ = ["command"]


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", type=str, help="the study")
    parser.add_argument(
        "--kernel",
        type=str,
        action="append",
        default=[],
        metavar="HASH",
        help="a kernel's hash, or its start, or the name of a known kernel; may be repeated (default: the front)",
    )
    parser.add_argument(
        "--runtime",
        type=str,
        action="append",
        default=[],
        metavar="RUNTIME",
        help="eager, compile or onnxruntime; may be repeated (default: all that are installed)",
    )
    parser.add_argument("--batch", type=whole, default=None, metavar="N", help="samples in a batch (default: cost.batch_size)")
    parser.add_argument("--threads", type=whole, default=None, metavar="N", help="threads (default: cost.threads or torch's)")
    parser.add_argument("--device", type=str, default=None, help="auto, cpu, cuda or cuda:N (default: the study's)")
    add_place(parser)


def _execute(args: Any) -> int:
    from kas.evaluation.runtimes import RUNTIMES
    from kas.study.storage.files import StudyFolder

    for key in ("batch", "threads"):
        value = getattr(args, key)
        if value is not None and value < 1:
            raise KasError(f"--{key} must be at least 1, not {value}")
    _check_names(args.runtime, RUNTIMES)
    place = Place.of(args)
    study = open_study(place, args.name)
    kernels = _kernels(study, args.kernel)

    from kas.study.workers.measuring import make_bench
    from kas.study.workers.origin import study_config

    folder = StudyFolder(place.folder(args.name))
    config = study_config(study, folder.root)
    cost = replace(config.cost, batch_size=args.batch or config.cost.batch_size, threads=args.threads or config.cost.threads)
    config = replace(config, cost=cost, device=args.device or config.device)
    chosen = _working(config.device, list(dict.fromkeys(args.runtime)) or list(RUNTIMES), asked=bool(args.runtime))
    bench = make_bench(study, config, folder)
    try:
        return _measure(bench, chosen, kernels, place, asked=bool(args.runtime))
    except OSError as error:
        raise KasError(f"{error.filename or folder.root} cannot be written: {error.strerror}") from None


def _measure(bench: Bench, runtimes: list[str], kernels: list[TrialRecord], place: Place, *, asked: bool) -> int:
    """Measure, print a table for each runtime, and write the report anew. Returns the exit code."""
    from kas.evaluation.runtimes import Refusal
    from kas.reporting.measurements import read_measurement
    from kas.study.commands import report
    from kas.study.display.lines import make_console
    from kas.study.display.tables import measurement_table
    from kas.study.storage.measurements import path_of
    from kas.study.workers.measuring import measure_here

    console, written = make_console(), []
    for runtime in runtimes:
        try:
            with console.status("") as shown:
                measurement = measure_here(bench, runtime, kernels, shown.update)
        except Refusal as error:
            if asked:
                raise
            print(f"{runtime} does not take the original network: {error}\n")
            continue
        found = read_measurement(measurement)
        assert found is not None
        print(f"{found.conditions}, on {found.device}\n")
        console.print(measurement_table(found, console.width))
        print()
        written.append(path_of(bench.folder, measurement))
    for path in written:
        print(f"measured {path}")
    if not written:
        return 1
    print(f"report   {report.write(place, bench.config.name)}")
    return 0


def _check_names(names: list[str], known: tuple[str, ...]) -> None:
    from kas.study.schema import nearest

    for name in names:
        if name not in known:
            near = nearest(name, list(known))
            raise KasError(f"--runtime {name}: the runtimes are {', '.join(known)}{f'; did you mean {near}?' if near else ''}")


def _working(device: str, names: list[str], *, asked: bool) -> list[str]:
    """The runtimes that work here for networks on a device; one that was asked for must."""
    from kas.evaluation import resolve_device
    from kas.evaluation.runtimes import make_runtime

    resolved = resolve_device(device)
    missing = {name: reason for name in names if (reason := make_runtime(name, resolved).missing())}
    if missing and asked:
        raise KasError(f"--runtime {next(iter(missing))}: {next(iter(missing.values()))}")
    for name, reason in missing.items():
        print(f"not measured in {name}: {reason}")
    return [name for name in names if name not in missing]


def _kernels(study: optuna.Study, starts: list[str]) -> list[TrialRecord]:
    """The kernels that are asked for, or the front. Raises KasError if there is none, or one without sizes."""
    from kas.study.commands._kernels import find_trial
    from kas.study.storage import records

    read = records.read(study)
    if not starts:
        front = [record for record in records.front(read, records.metric(study).direction) if record.program]
        if not front:
            raise KasError(f"study {study.study_name} has no kernel on its front yet; go on with `resume {study.study_name}`")
        return front
    numbers = [find_trial(study, start).number for start in starts]
    found = {record.hash: record for record in read if record.number in numbers}
    for record in found.values():
        if record.sizes is None:
            reason = record.reason or "it was not solved"
            raise KasError(f"kernel {record.hash} has no sizes in study {study.study_name}: {reason}")
    return list(found.values())


command = Command(
    summary="the latencies of a study's kernels again, here, in every runtime",
    description="""\
Measure kernels of a study (by default its front) against the original again on this machine: in pairs, in turns, as the
search does, in each runtime that is installed. On another machine a copy of the study's folder is enough: neither its data
nor trained weights are needed. What is found is written to DIR/NAME/measurements and shown in the report; the search's own
numbers stay.""",
    add_arguments=_add_arguments,
    execute=_execute,
    epilog="""\
examples:
  python -m kas.study measure digits
  python -m kas.study measure digits --runtime onnxruntime --batch 1 --threads 1
  python -m kas.study measure digits --kernel 3f2a --runtime eager --runtime compile --dir copied""",
)
