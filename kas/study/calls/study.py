"""`kas.Study`: what a study has found, read from Python. Nothing of the study is changed, locked or created."""

from __future__ import annotations

import os
import weakref
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna

from kas import zoo
from kas.language import KasError, Kernel
from kas.reporting.metric import Metric
from kas.study.commands._base import STORAGE, Place
from kas.study.commands._kernels import find_trial
from kas.study.commands._studies import missing, study_names
from kas.study.storage import promotions, records
from kas.study.storage.files import StudyFolder
from kas.study.storage.opening import close_storage, open_storage
from kas.study.storage.records import Reference, TrialRecord
from kas.study.storage.status import runtimes

if TYPE_CHECKING:
    import pandas
    from torch import nn

__all__ = ["Study"]

_WIDTH = 140  # of the table in a notebook, in characters


class Study:
    """A study as it stood when it was loaded; `load` it again to see more of one that runs. Made by `load` and `kas.search`.

    Attributes:
        name: of the study. folder: where its files are.
        broken: what of it is left out, as it is not as kas writes it; a line for each.

    >>> import kas
    >>> kas.Study.load("digits", dir="nowhere")
    Traceback (most recent call last):
    kas.language.errors.KasError: there is no study 'digits' in nowhere/: there are none at all; --dir and --storage say ...
    """

    def __init__(self, study: optuna.Study, folder: Path, model: Any = None) -> None:
        """model: what was given to `kas.search`, for `network`."""
        self.name, self.folder = study.study_name, folder
        self._study, self._model = study, model
        self.broken = promotions.broken(study)

    @classmethod
    def load(cls, path: str | Path, *, dir: str | Path | None = None, storage: str | None = None) -> Study:
        """Read a study: its folder (also a copy, or one that cannot be written), or its name.

        dir: the folder of all studies, for a name; "runs" by default. storage: the URL of its storage, where that is not
        `study.db` in its folder; by default that of the environment's KAS_STORAGE. Raises KasError, with the names that there
        are, if there is no such study, and for a storage that cannot be opened.
        """
        folder = Path(path)
        if dir is not None or (folder.name == str(path) and not StudyFolder(folder).database.exists()):
            folder = Path(dir or "runs") / path
        own = StudyFolder(folder).database.exists()
        place = Place(folder.parent, storage or (None if own else os.environ.get(STORAGE) or None))
        name = folder.absolute().name
        if place.storage is None and not own:
            raise KasError(missing(place, name, study_names(place)))
        opened = open_storage(place.storage, folder, create=False, snapshot=True)
        with ExitStack() as stack:
            stack.callback(close_storage, opened)
            names = sorted(optuna.get_all_study_names(opened))
            if place.storage is None and len(names) == 1:  # the folder of a study may be renamed
                name = names[0]
            if name not in names:
                raise KasError(missing(place, name, names))
            found = cls(optuna.load_study(study_name=name, storage=opened), folder)
            stack.pop_all()
        weakref.finalize(found, close_storage, opened)
        return found

    @cached_property
    def metric(self) -> Metric:
        """The first objective: its name, its direction, and what a constant answer gets."""
        return records.metric(self._study)

    @cached_property
    def original(self) -> Reference | None:
        """The original network's accuracy, latency in ms, MACs and parameters; None before it is trained."""
        return records.reference(self._study)

    @cached_property
    def trials(self) -> list[TrialRecord]:
        """Every trial that was begun, by number: kernel, outcome, accuracy, latency in ms, speed-up, reason ..."""
        return records.read(self._study)

    @cached_property
    def front(self) -> list[TrialRecord]:
        """The trials of the Pareto front, the cheapest first: what `status` shows. The original is not among them."""
        return records.front(self.trials, self.metric.direction)

    def to_pandas(self) -> pandas.DataFrame:
        """A `DataFrame` with a row for each trial, by its number; the columns are the fields of `trials`.

        Raises KasError if pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise KasError("to_pandas needs pandas, which is not installed: pip install pandas") from None
        names = [name for name in TrialRecord.__dataclass_fields__ if name not in ("sizes", "runtimes")]
        rows = [{name: asdict(trial)[name] for name in names} for trial in self.trials]
        return pandas.DataFrame(rows, columns=names).set_index("number")

    def kernel(self, name: str) -> Kernel:
        """The kernel with that hash, or the start of one, in this study; or the known kernel of that name.

        Raises KasError if there is none, or more than one.
        """
        if name in zoo.names():
            return zoo.get(name)
        return Kernel.from_json(find_trial(self._study, name).user_attrs["program"])

    def network(self, name: str, model: Any = None) -> nn.Module:
        """The trained network with a kernel (its hash or name; "original": without), on the CPU, in eval mode.

        As `export --network` takes it: the promoted one of the seed that validates best, or else the one that the search
        trained. It is built again by what the study's `study.yaml` names, and has the weights in the study's folder.
        model: the network, or the function, that was given to `kas.search`, where the study was made by another process.
        Raises KasError for a kernel that the study has not, and if its weights are not on this machine.
        """
        import torch

        from kas.study.given import given, model_section
        from kas.study.workers.measuring import make_bench
        from kas.study.workers.origin import study_config
        from kas.study.workers.trained import trained_network

        trial = kernel = None
        if name != promotions.ORIGINAL:
            trial = find_trial(self._study, self.kernel(name).hash)
            kernel = Kernel.from_json(trial.user_attrs["program"])
        config = replace(study_config(self._study, self.folder), device="cpu")
        source = self._model if model is None else model
        objects = {} if source is None else model_section(source)[1]
        with given(objects), torch.random.fork_rng(devices=[]):
            bench = make_bench(self._study, config, StudyFolder(self.folder))
            return trained_network(self._study, bench, kernel, trial)

    def __repr__(self) -> str:
        wanted, finished = records.wanted(self._study), sum(trial.is_finished for trial in self.trials)
        best = max((trial.speedup or 0 for trial in self.front), default=0)
        front = f"{len(self.front)} kernel{'s' * (len(self.front) != 1)} on the front"
        fastest = f", up to {best:.2f}x as fast as the original" if best else ""
        return f"<Study {self.name}: {finished} of {wanted} trials finished, {front}{fastest}>"

    def _repr_html_(self) -> str:
        """The front as a table, as `status` prints it."""
        from rich.console import Console

        from kas.study.display.overview import front_table, legend

        measured, cost = runtimes(self._study), records.cost_name(self._study)
        console = Console(record=True, file=StringIO(), width=_WIDTH, highlight=False)
        console.print(repr(self)[1:-1], markup=False)
        console.print(front_table(self.original, self.front, cost, list(measured), _WIDTH, self.metric))
        for line in legend(cost, measured) if self.front else ():
            console.print(line, markup=False)
        return console.export_html(inline_styles=True, code_format='<pre style="line-height: 1.3">{code}</pre>')
