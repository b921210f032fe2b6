"""`check STUDY.yaml`: network and data looked at, nothing trained and nothing written."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from kas.study.commands._base import Command
from kas.study.commands.run import add_study_file
from kas.study.shipped import study_path

__all__ = ["command"]


def _execute(args: Any) -> int:
    from kas.reporting.naming import replaced
    from kas.study.config import load_config
    from kas.study.storage.files import StudyFolder
    from kas.study.workers.bench import Bench
    from kas.study.workers.origin import allow_imports_beside
    from kas.study.workers.preflight import check_budget, look_first

    file = study_path(args.study)
    config = load_config(file, args.set)
    allow_imports_beside(file)
    with tempfile.TemporaryDirectory(prefix="kas-check-") as folder:
        bench = Bench(config, StudyFolder(Path(folder)))
        bench.check_runtime()
        check_budget(bench.deployed.targets, bench.budget)
        lines = look_first(bench).lines
    print(f"study {config.name}: nothing is wrong")
    targets = {"deployed": [target.to_dict() for target in bench.deployed.targets]}
    for line in [*lines, f"replaces {replaced(targets)}"]:
        print(line)
    return 0


def _add_arguments(parser: ArgumentParser) -> None:
    add_study_file(parser)


command = Command(
    summary="look at network and data, train nothing",
    description="""\
Run one real batch through the network as it is and with a kernel in it, forward and backward, loss and metric, and say what
was understood: inputs, targets, splits, what a constant answer gets, what is replaced. What is wrong is one sentence, and the
exit code is 2. `run` does the same before it trains the original.""",
    add_arguments=_add_arguments,
    execute=_execute,
    epilog="""\
examples:
  python -m kas.study check studies/digits.yaml
  python -m kas.study check my.yaml --set task=regression""",
)
