"""The sections of a study file: defaults, refusals, and that none of it loads torch."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from kas.evaluation.settings import CostSettings, DataSettings, HealthSettings, ModelSettings, TrainingSettings
from kas.language.errors import KasError


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        (DataSettings, {"batch_size": 0}, "data.batch_size is 0; it must be a whole number of at least 1"),
        (DataSettings, {"size": 1.5}, "data.size is 1.5; it must be a whole number of at least 1"),
        (DataSettings, {"factory": "mine"}, "data.factory is 'mine'; it must have the form package.module:function"),
        (
            ModelSettings,
            {"factory": "a:b c"},
            "model.factory is 'a:b c'; it must have the form package.module:function",
        ),
        (TrainingSettings, {"epochs": 0}, "training.epochs is 0; it must be a whole number of at least 1"),
        (TrainingSettings, {"optimizer": "adam"}, "must be one of adamw, sgd; did you mean 'adamw'?"),
        (TrainingSettings, {"lr": 0}, "training.lr is 0; it must be a number above 0"),
        (TrainingSettings, {"lr": float("nan")}, "training.lr is nan; it must be a number above 0"),
        (TrainingSettings, {"warmup": 1.2}, "training.warmup is 1.2; it must be a number from 0 to 1"),
        (TrainingSettings, {"init": "orignal"}, "one of scratch, original; did you mean 'original'?"),
        (TrainingSettings, {"precision": "32"}, "training.precision is '32'; it must be one of 32-true"),
        (CostSettings, {"runtime": "jit"}, "cost.runtime is 'jit'; it must be one of eager, compile, onnxruntime"),
        (CostSettings, {"repeats": 2}, "cost.repeats is 2; it must be a whole number of at least 3"),
        (HealthSettings, {"batch_size": 1}, "health.batch_size is 1; it must be a whole number of at least 2"),
    ],
)
def test_refuses_with_the_key_the_value_and_what_is_right(section: Any, values: dict[str, Any], message: str) -> None:
    with pytest.raises(KasError) as error:
        section(**values)
    assert message in str(error.value)


def test_importing_evaluation_and_its_settings_does_not_load_torch() -> None:
    code = "import sys, kas.evaluation, kas.evaluation.settings, kas.evaluation.outcomes; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_loads_and_unknown_ones_do_not() -> None:
    import kas.evaluation

    for name in kas.evaluation.__all__:
        assert getattr(kas.evaluation, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = kas.evaluation.nothing


def test_every_field_is_documented() -> None:
    for section in (DataSettings, ModelSettings, TrainingSettings, CostSettings, HealthSettings):
        for name in section.__dataclass_fields__:
            assert f"\n        {name}: " in str(section.__doc__), f"{section.__name__}.{name}"
