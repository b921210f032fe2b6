"""`rediscover`: which known kernels blind sampling, or a study's search, comes up with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser

from kas.language.errors import KasError
from kas.study.commands._base import Command, Place, add_place, whole
from kas.study.shipped import study_path

if TYPE_CHECKING:
    from rich.progress import Progress

    from kas.generation.rediscovery import Source, Tally
    from kas.generation.splitting import Estimate

__all__ = ["command"]

RANK = 2


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", type=str, nargs="?", help="look through the trials of this study instead")
    parser.add_argument("--samples", type=whole, default=100_000, metavar="N", help="programs to draw (default: 100000)")
    parser.add_argument("--seed", type=whole, default=0, metavar="N", help="of the draws (default: 0)")
    parser.add_argument("--rank", type=whole, default=None, metavar="N", help="of the kernels: 2, 1 or 0 (default: 2)")
    parser.add_argument("--workers", type=whole, default=1, metavar="N", help="processes; the result is the same (default: 1)")
    parser.add_argument(
        "--particles",
        type=whole,
        default=2000,
        metavar="N",
        help="programs per step that estimate how likely a known kernel is that did not come up; 0: none (default: 2000)",
    )
    parser.add_argument(
        "--study", type=str, metavar="STUDY.yaml", help="draw for the layers, the budget and the search.generation of this file"
    )
    parser.add_argument(
        "--set", type=str, action="append", default=[], metavar="KEY=VALUE", help="one key of that file; may be repeated"
    )
    parser.add_argument("--json", action="store_true", help="print everything as one JSON object, for scripts")
    add_place(parser)


def _execute(args: Any) -> int:
    _check(args)
    return _of_study(args) if args.name else _blind(args)


def _check(args: Any) -> None:
    for key, least in (("samples", 1), ("workers", 1), ("particles", 0), ("seed", 0)):
        if getattr(args, key) < least:
            raise KasError(f"--{key} must be at least {least}, not {getattr(args, key)}")
    if args.name and args.study:
        raise KasError("NAME looks through a study's trials, --study draws blindly: give one of them")
    if args.set and not args.study:
        raise KasError("--set changes a key of a study file: name one with --study")


def _blind(args: Any) -> int:
    """Draw, count, estimate, print. Returns the exit code."""
    from kas.generation.rediscovery import Tally
    from kas.study.commands._rediscovery import hits_table, misses_table, progress_bar, to_dict
    from kas.study.display.lines import make_console
    from kas.study.workers.interruption import Interruption

    source = _source(args)
    tally, estimates, code = Tally(), dict[str, "Estimate"](), 0
    with Interruption(), progress_bar() as progress:
        try:
            _count(tally, source, args, progress)
            _estimate(estimates, tally, source, args, progress)
        except KeyboardInterrupt:
            code = 130
    if args.json:
        print(json.dumps(to_dict(tally, source.rank, estimates), indent=2))
        return code
    console = make_console()
    console.print(("interrupted: " if code else "") + _heading(tally, source, args))
    if tally.hits:
        console.print("", hits_table(tally), "", sep="\n")
    if tally.samples:
        console.print(_about_misses(tally, source.rank, bool(estimates)))
        console.print("", misses_table(tally, source, estimates), sep="\n")
    return code


def _count(tally: Tally, source: Source, args: Any, progress: Progress) -> None:
    """Draw all programs; the given tally grows, so that it is there after an interruption."""
    from kas.generation.rediscovery import rediscover

    task = progress.add_task("drawing", total=args.samples, note="nothing yet")
    for now in rediscover(source, args.samples, args.seed, args.workers):
        tally.samples, tally.hits = now.samples, now.hits
        progress.update(task, completed=tally.samples, note=f"{len(tally.hits)} known kernels")


def _estimate(estimates: dict[str, Estimate], tally: Tally, source: Source, args: Any, progress: Progress) -> None:
    """Estimate the probability of each known kernel that did not come up."""
    from kas.generation.splitting import estimates as estimate
    from kas.study.commands._rediscovery import estimable

    names = estimable(tally, source)
    if source.targets or not args.particles or not names:
        return
    task = progress.add_task("estimating", total=len(names), note="")
    for one in estimate(source, names, args.particles, args.seed, args.workers):
        estimates[one.name] = one
        progress.update(task, advance=1, note=one.name)


def _source(args: Any) -> Source:
    """What is drawn from: the default grammar without targets, or what the blind samples of a study file are drawn from."""
    from kas.generation.rediscovery import Source

    if args.study is None:
        source = Source(RANK if args.rank is None else args.rank)
        source.sampler()
        return source
    from kas.study.config import load_config
    from kas.study.storage.files import StudyFolder
    from kas.study.workers.bench import Bench
    from kas.study.workers.origin import allow_imports_beside

    file = study_path(args.study)
    config = load_config(file, args.set)
    allow_imports_beside(file)
    bench = Bench(config, StudyFolder(Place.of(args).folder(config.name)))
    if args.rank not in (None, bench.rank):
        raise KasError(f"--rank {args.rank}: the layers that {file} replaces are of rank {bench.rank}; leave --rank out")
    return Source(bench.rank, bench.deployed.targets, bench.budget, config.search.generation, bench.trained.targets)


def _heading(tally: Tally, source: Source, args: Any) -> str:
    from kas import zoo

    of = f"for {len(source.targets)} layers of {args.study}, budget {source.budget}" if source.targets else "default grammar"
    said = f"{tally.samples:,} blind samples of rank {source.rank}, seed {args.seed}, {of}"
    longer = sum(len(zoo.get(name).steps) > 1 for name in tally.hits)
    return f"{said}: {len(tally.hits)} known kernels found, {longer} of them of two or more steps"


def _about_misses(tally: Tally, rank: int, estimated: bool) -> str:
    from kas import zoo
    from kas.generation.rediscovery import upper_bound

    count = sum(name not in tally.hits for name in zoo.names(rank))
    text = f"{count} known kernels not found: less likely than one in {1 / upper_bound(tally.samples):,.0f} each (95 %)"
    return text + ("; at least: to be drawn step by step as listed in kas.zoo" if estimated else "")


def _of_study(args: Any) -> int:
    """Which known kernels the trials of a study were, counted from 1 in their order. Returns the exit code."""
    from kas import zoo
    from kas.generation.rediscovery import Tally
    from kas.language.kernel import Kernel
    from kas.study.commands._rediscovery import hits_table, to_dict
    from kas.study.commands._studies import open_study
    from kas.study.display.lines import make_console
    from kas.study.sampler import DEFAULT_SEEDS
    from kas.study.storage import records
    from kas.study.storage.create import stored_config

    study, tally = open_study(Place.of(args), args.name), Tally()
    kernels = [Kernel.from_json(record.program) for record in records.read(study) if record.program and record.is_finished]
    for number, kernel in enumerate(kernels, 1):
        if (name := zoo.known_as(kernel)) is not None:
            tally.add(name, number, kernel.to_json())
    tally.samples = len(kernels)
    rank = kernels[0].rank if kernels else RANK
    if args.json:
        print(json.dumps(to_dict(tally, rank, {}, independent=False), indent=2))
        return 0
    console = make_console()
    console.print(f"study {args.name}: {len(kernels)} trials, {len(tally.hits)} known kernels among them")
    if tally.hits:
        seeds = stored_config(study).search.seeds
        given = DEFAULT_SEEDS[rank] if seeds is None else seeds
        console.print("", hits_table(tally, independent=False, given=given), sep="\n")
    return 0


command = Command(
    summary="which known kernels a search comes up with by itself",
    description="""\
Sample kernels blindly and say which of the known ones (kas.zoo) come up, after how many programs and how often. A program
is a known kernel if their canonical hashes are equal, whatever its inner widths. Rates have exact 95 % bounds. For a known
kernel that did not come up, there is an upper bound, and what its probability is at least: that of drawing it step by step,
estimated by splitting. With NAME, look through the trials of a study instead. Ctrl-C shows what was found so far.""",
    add_arguments=_add_arguments,
    execute=_execute,
    epilog="""\
examples:
  python -m kas.study rediscover
  python -m kas.study rediscover --samples 1000000 --workers 8 --particles 4000
  python -m kas.study rediscover --study studies/digits.yaml --samples 20000
  python -m kas.study rediscover digits                    the trials of a study, evolved ones included

keys of --json:
  samples, rank, found [{name, steps, first, count, rate, rate_low, rate_high, program}],
  missing [{name, steps, rate_high, estimate {probability, error, steps}}]""",
)
