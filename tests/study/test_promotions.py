"""Promotions as records: what is stored is checked, which is deployed, error bars, the table; no network is trained."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import toy
from rich.console import Console
from scipy import stats

from kas import zoo
from kas.evaluation._lightning import pl
from kas.language.errors import KasError
from kas.reporting.errorbars import mean_and_sd, paired_difference
from kas.reporting.metric import Metric
from kas.study.config import StudyConfig
from kas.study.display.promotion import PromotionTerminal, promotion_table, standings
from kas.study.storage.claims import Claims
from kas.study.storage.files import StudyFolder
from kas.study.storage.promotions import ORIGINAL, Promotion, broken, chosen, promotions, store

KERNEL = zoo.get("fused_inverted_residual").hash
OTHER = "0123456789abcdef"


def promotion(kernel: str = KERNEL, seed: int = 0, test: float | None = 0.9, **changes: Any) -> Promotion:
    made = Promotion(
        kernel=kernel,
        seed=seed,
        epochs=2,
        validation=None if test is None else test + 0.01,
        test=test,
        seconds=1.5,
        device="cpu",
        shape=(1, 8, 8),
        groups=2,
        values={"conv": {"x0": 3}},
        macs=1_234_567,
        params=89_000,
        reason="the loss was nan" if test is None else None,
    )
    return replace(made, **changes)


def test_results_come_back_from_the_storage_as_they_were(tmp_path: Path) -> None:
    study = toy.make_queue(None, tmp_path).study
    assert promotions(study) == []
    kept = [promotion(ORIGINAL, 1), promotion(OTHER), promotion(), promotion(epochs=7), promotion(seed=3, test=None)]
    for one in reversed(kept):
        store(study, one)
    store(study, kept[0])
    assert promotions(study) == [kept[0], kept[1], kept[2], kept[4], kept[3]]
    assert StudyFolder(tmp_path).promoted(KERNEL, 7, 0) == tmp_path / "promoted" / KERNEL / "epochs7" / "seed0"


@pytest.mark.parametrize(
    "changes",
    [
        {"kernel": "../../etc/passwd0000"},
        {"kernel": "0123"},
        {"kernel": 3},
        {"seed": "../1"},
        {"seed": -1},
        {"seed": True},
        {"epochs": 1.5},
        {"shape": ["a"]},
        {"values": {"conv": {"x0": "3"}}},
        {"values": []},
        {"test": "0.9"},
    ],
)
def test_what_kas_did_not_write_is_named_and_left_out(tmp_path: Path, changes: dict[str, Any]) -> None:
    study = toy.make_queue(None, tmp_path).study
    store(study, promotion())
    study.set_user_attr("kas.promotion.x", json.dumps({**json.loads(promotion().to_json()), **changes}))
    assert promotions(study) == [promotion()]
    assert [line.partition(" is left out")[0] for line in broken(study)] == ["kas.promotion.x"]


def test_no_promotion_is_made_of_other_json() -> None:
    assert [Promotion.from_json(value) for value in ("", "[1]", "{}", 3, None)] == [None] * 5
    later = {**json.loads(promotion().to_json()), "of_a_later_kas": 1}
    assert Promotion.from_json(json.dumps(later)) == promotion()


def test_the_validation_score_chooses_what_is_deployed() -> None:
    found = [
        promotion(seed=0, test=0.99, validation=0.8),
        promotion(seed=1, test=0.7, validation=0.9),
        promotion(seed=2, test=0.7, validation=0.9),
        promotion(seed=3, test=None),
        promotion(OTHER, validation=0.95),
    ]
    assert chosen(found, KERNEL) == found[1]
    assert chosen(found, ORIGINAL) is None
    assert chosen([found[3]], KERNEL) is None
    longer = replace(found[2], epochs=9)
    assert chosen([*found, longer], KERNEL) == longer


def test_error_bars_are_those_of_scipy() -> None:
    first, second = [0.91, 0.94, 0.9, 0.95], [0.92, 0.93, 0.93, 0.96]
    mean, sd = mean_and_sd(first)
    assert (mean, sd) == (pytest.approx(np.mean(first)), pytest.approx(np.std(first, ddof=1)))
    difference = paired_difference(list(zip(first, second, strict=True)))
    assert difference is not None
    expected = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert (difference.low, difference.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    # by hand: differences 1 and 3 points, mean 2, sd √2, half 12.706 · √2 / √2
    by_hand = paired_difference([(0.91, 0.90), (0.93, 0.90)])
    assert by_hand is not None
    assert (by_hand.mean, by_hand.high) == (pytest.approx(0.02), pytest.approx(0.02 + 0.12706, abs=1e-5))


def test_error_bars_of_too_few() -> None:
    assert mean_and_sd([]) == (None, None)
    assert mean_and_sd([0.5]) == (0.5, None)
    assert paired_difference([]) is None
    one = paired_difference([(0.75, 0.5)])
    assert one is not None
    assert (one.mean, one.low, one.high) == (0.25, None, None)


def results() -> list[Promotion]:
    tests = {ORIGINAL: (0.98, 0.97, 0.99), KERNEL: (0.97, 0.97, None), OTHER: (0.95,)}
    found = [promotion(key, seed, test) for key, row in tests.items() for seed, test in enumerate(row)]
    return [*found, promotion(KERNEL, 0, 0.5, epochs=9)]


def test_standings_pair_the_seeds_and_keep_schedules_apart() -> None:
    original, kernel, other = standings(results(), [KERNEL, OTHER], 2, {KERNEL: {"eager": 1.5}})
    assert (original.kernel, original.mean, original.difference) == (ORIGINAL, pytest.approx(0.98), None)
    assert original.sd == pytest.approx(0.01)
    assert (kernel.name, kernel.seeds, kernel.test) == ("fused_inverted_residual", (0, 1), (0.97, 0.97))
    assert kernel.difference == pytest.approx(-0.005)
    assert kernel.difference_high == pytest.approx(-0.005 + 12.706 * math.sqrt(0.5) * 0.01 / math.sqrt(2), abs=1e-5)
    assert kernel.failed == ("seed 2: the loss was nan",)
    assert (other.name, other.sd, other.difference_low, other.speedup) == (None, None, None, {})
    assert [row.mean for row in standings(results(), [KERNEL], 9, {})] == [None, 0.5]
    assert json.loads(json.dumps(kernel.to_dict()))["speedup"] == {"eager": 1.5}


RUNTIMES = ("eager", "compile", "onnxruntime")


def shown(width: int) -> list[str]:
    speedups = {KERNEL: dict.fromkeys(RUNTIMES, 12.34), OTHER: {"eager": 0.5}}
    out = io.StringIO()
    console = Console(file=out, width=width)
    console.print(promotion_table(standings(results(), [KERNEL, OTHER], 2, speedups), Metric(), RUNTIMES, width))
    return out.getvalue().splitlines()


def test_the_table_fits_eighty_columns() -> None:
    lines = shown(80)
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    row = next(line for line in lines if line.startswith("fused_inverted_residual"))
    assert row.split() == ["fused_inverted_residual", "2", "97.0", "±", "0.0", "%", "−0.5", "±", "6.4", *["12.34×"] * 3]
    assert next(line for line in lines if line.startswith(OTHER)).split() == [
        *(OTHER, "1", "95.0", "%", "−3.0", "0.50×", "–", "–")
    ]
    assert "params" not in "".join(lines)


def test_a_wide_table_has_parameters_and_macs() -> None:
    text = "\n".join(shown(120))
    assert "89.0 k" in text
    assert "1.23 M" in text


def test_lines_of_a_promotion() -> None:
    out = io.StringIO()
    terminal = PromotionTerminal(Console(file=out, width=120))
    terminal.unit_started(KERNEL, 0)
    terminal.unit_epoch(KERNEL, 0, 1, 2, 0.5)
    terminal.unit_finished(promotion(ORIGINAL))
    terminal.unit_finished(promotion(seed=1, test=None))
    terminal.close()
    lines = out.getvalue().splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "original seed 0 validation 91.0 % test 90.0 % (1.5 s)",
        "fused_inverted_residual seed 1 failed: the loss was nan (1.5 s)",
    ]


def test_an_attempt_is_refused_while_somebody_else_is_at_it(tmp_path: Path) -> None:
    queue = toy.make_queue(None, tmp_path)
    claims, others = (Claims(queue.study, queue.mutex) for _ in range(2))
    done: list[str] = []

    def work() -> None:
        assert not others.attempt("it", lambda: done.append("others"))
        assert others.attempt("another", lambda: done.append("another"))
        done.append("own")

    assert claims.attempt("it", work)
    assert done == ["another", "own"]
    assert others.attempt("it", lambda: done.append("later"))


class _Own(pl.LightningDataModule):
    num_classes, input_shape = 3, (1, 8, 8)


class _Tested(_Own):
    def test_dataloader(self) -> list[Any]:
        return []


def own(tested: bool) -> Any:
    """A factory of this file, by its name."""
    return _Tested() if tested else _Own()


@pytest.mark.parametrize(
    ("tested", "size", "message"),
    [
        (False, None, "has no test split: give it a test_dataloader, over samples that neither train_dataloader nor"),
        (True, 16, r"cost\.size is 16, but the data module of .* gives \[1, 8, 8\]: let the function take `settings`"),
    ],
)
def test_data_that_cannot_be_promoted(tested: bool, size: int | None, message: str) -> None:
    import torch

    from kas.evaluation import make_data
    from kas.study.workers.promotion import deployed_data

    config = StudyConfig.from_dict(
        {
            "name": "own",
            "data": {"factory": f"{__name__}:own", "factory_args": {"tested": tested}},
            "cost": {"size": size},
        },
        where="here",
    )
    side = size or 8
    bench: Any = SimpleNamespace(
        config=config, data=make_data(config.data), deployed=SimpleNamespace(example=torch.zeros(2, 1, side, side))
    )
    with pytest.raises(KasError, match=message):
        deployed_data(bench)
