"""Trials that are read at once are those that Optuna reads one by one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from kas.study.storage.bulk import BulkStorage


def told(trial: FrozenTrial) -> tuple[Any, ...]:
    """All of a trial; NaN, which equals nothing, as text."""
    steps = {step: repr(value) for step, value in trial.intermediate_values.items()}
    own = trial.number, trial._trial_id, trial.state, trial.values, trial.datetime_start, trial.datetime_complete
    return (*own, steps, trial.params, trial.distributions, trial.user_attrs, trial.system_attrs)


def test_the_trials_are_as_optuna_reads_them(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    study = optuna.create_study(directions=["maximize", "minimize"], storage=url, study_name="one")
    other = optuna.create_study(storage=url, study_name="other")
    space = {
        "k0.s00": CategoricalDistribution(["fc", "end"]),
        "lr": FloatDistribution(1e-5, 1.0, log=True),
        "n": IntDistribution(1, 9),
    }
    for number in range(6):
        state = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.WAITING)[number % 3]
        study.add_trial(
            create_trial(
                state=state,
                values=[math.inf, number] if state == TrialState.COMPLETE else None,
                params={"n": 3, "lr": 0.5, "k0.s00": "end"} if number else {},
                distributions=space if number else {},
                user_attrs={"name": "a text", "sizes": {"a": [1, None, True]}, "number": number, "long": "x" * 200},
                system_attrs={"beat": number},
                intermediate_values={3: 0.5, 1: math.nan, 2: -math.inf},
            )
        )
        other.add_trial(create_trial(value=1.0, user_attrs={"name": "another"}))
    study.ask()
    plain, bulk = RDBStorage(url), BulkStorage(url)
    expected = plain.get_all_trials(study._study_id)
    found = bulk.get_all_trials(study._study_id)
    assert len(found) == 6
    assert list(map(told, found)) == list(map(told, expected))
    assert [list(trial.params) for trial in found] == [list(trial.params) for trial in expected]
    assert bulk.get_all_trials(study._study_id, states=(TrialState.PRUNED,))[0].number == 1
    assert len(optuna.load_study(study_name="other", storage=optuna.storages.get_storage(bulk)).trials) == 6
    for storage in (plain, bulk):
        storage.engine.dispose()
