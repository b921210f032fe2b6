"""Reading a study into rows: kas studies, other people's studies, attributes that are not what they seem."""

from __future__ import annotations

import json
import re

import optuna
import pytest
from optuna.trial import TrialState, create_trial
from reporting_studies import REFERENCE, kas_study, kas_trial, plain_study

from kas.reporting.facts import facts, sentence
from kas.reporting.figures import CARD_COLOURS, front_figure
from kas.reporting.metric import Metric
from kas.reporting.rows import Row
from kas.reporting.summary import summarize

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def test_a_kas_study() -> None:
    study = kas_study()
    summary = summarize(study)
    assert summary.is_kas
    assert summary.share
    assert summary.metrics == ("accuracy", "latency (x original)")
    assert len(summary.rows) == 40
    assert sum(summary.outcomes.values()) == summary.wanted == 40
    assert summary.measured
    assert summary.finished == 40 - summary.outcomes["duplicate"] - summary.outcomes.get("error", 0)
    assert {row.number for row in summary.front} == {trial.number for trial in study.best_trials}
    assert [row.values[1] for row in summary.front] == sorted(row.values[1] for row in summary.front)
    assert summary.original is not None
    assert summary.original_hypervolume == pytest.approx(0.913)
    assert summary.hypervolume[-1][1] == max(volume for _, volume in summary.hypervolume) > 0.913


def test_what_beats_the_original() -> None:
    summary = summarize(kas_study(1))

    def row(accuracy: float, ratio: float, high: float | None) -> Row:
        return Row(0, "ok", values=(accuracy, ratio), ratio_high=high)

    assert summary.beats(row(0.90, 0.8, 0.9))
    assert summary.beats(row(0.893, 0.8, None))
    assert not summary.beats(row(0.892, 0.8, 0.9)), "more than two points below"
    assert not summary.beats(row(0.99, 0.95, 1.02)), "within the measured spread"
    assert row(0.9, 0.5, None).speedup_range is None
    assert Row(0, "ok", ratio_low=0.5, ratio_high=0.8).speedup_range == (1.25, 2.0)


def test_words_at_the_head() -> None:
    summary = summarize(kas_study())
    assert re.match(r"Best kernel: [0-9a-f]{16}, \d\.\d\d× as fast as the original \(spread ", sentence(summary))
    assert dict(facts(summary)) == {
        "Network": "small_resnet, width 64 blocks 1",
        "Data": "digits",
        "Replaced": "layer{0,1,2,3,4,5,6,7,8}: 9 layers; adapters: 9 none",
        "Budget": "macs 0.3",
        "Device": "AMD EPYC 7B13, 2 threads",
        "Cost": "latency, batch 32, eager",
        "Training": "6 epochs, adamw",
        "Time": "2026-03-02 09:30, over 13 min",
    }


def test_runtimes_of_a_study_and_what_is_wrong_with_them() -> None:
    study = kas_study(6)
    best = summarize(study).best
    assert best is not None
    reference = {**REFERENCE, "runtime_version": "torch 2", "memory_format": "channels_last"}
    study.set_user_attr("kas.reference", json.dumps(reference))
    study.set_user_attr("kas.runtimes", {"compile": {"version": None}, "onnxruntime": {"version": "1"}})
    study.set_user_attr("kas.front", {best.hash: {"runtimes": {"compile": {"speedup": 1.5}, "onnxruntime": {"speedup": None}}}})
    summary = summarize(study)
    assert list(summary.runtimes) == ["eager", "compile", "onnxruntime"]
    assert summary.rows[best.number].speedups == {"compile": 1.5}
    assert sentence(summary).endswith(f"trial {best.number}; in compile 1.50×.")
    assert dict(facts(summary))["Runtimes"] == "eager: torch 2, original channels last; onnxruntime: 1"


def test_a_study_without_results() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    study.set_user_attr("kas.format", "kas.study/1")
    study.enqueue_trial({"x": 1.0})
    summary = summarize(study)
    assert summary.outcomes == {"waiting": 1}
    assert summary.finished == 0
    assert summary.front == ()
    assert summary.best is None
    assert sentence(summary) == "The original network is not evaluated yet."


def test_a_plain_study() -> None:
    study = plain_study(3)
    summary = summarize(study)
    assert not summary.is_kas
    assert summary.original is None
    assert summary.metrics == ("objective 0", "objective 1", "objective 2")
    assert {row.number for row in summary.front} == {trial.number for trial in study.best_trials}
    assert summary.outcomes == {"complete": 20, "pruned": 5}


def test_infinite_values_and_broken_constraints_stay_off_the_front() -> None:
    study = optuna.create_study(directions=["minimize", "minimize"])
    for values, constraints in (([1.0, 2.0], {}), ([0.0, float("inf")], {}), ([0.5, 0.5], {"size": 1.0})):
        study.add_trial(create_trial(values=values, constraints=constraints))
    summary = summarize(study)
    assert [row.number for row in summary.front] == [0]
    assert summary.rows[1].values is None


def test_attributes_of_other_types_are_left_out() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    study.set_user_attr("kas.reference", "not json {")
    study.set_user_attr("kas.config", ["a", "list"])
    study.set_user_attr("kas.targets", 7)
    odd = {"accuracy": "high", "hash": 12, "latency_ms": True, "ratio": [1], "reason": {"a": 1}, "outcome": 3, "program": 1}
    study.add_trial(create_trial(values=[0.5, 0.5], user_attrs=odd))
    study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"died": True}))
    summary = summarize(study)
    assert (summary.original, dict(summary.config)) == (None, {})
    assert summary.outcomes == {"died": 1}
    said = "\n".join(summary.broken)
    assert "trial 0 is left out: accuracy is 'high', not a number; hash is 12, not a hash of 16 hex digits; " in said
    for key in ("kas.reference", "kas.config", "kas.targets"):
        assert f"{key} is left out: it is " in said


def test_a_study_of_another_program_with_attributes_of_such_names() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    study.add_trial(create_trial(values=[0.5, 0.5], user_attrs={"accuracy": "high", "hash": 12, "outcome": 3}))
    assert summarize(study).rows[0] == Row(0, "complete", (0.5, 0.5))


def test_work_instead_of_latency() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    study.set_user_attr("kas.config", json.dumps({"objectives": {"cost": "work"}}))
    study.set_user_attr("kas.reference", json.dumps({**REFERENCE, "accuracy": 0.9, "latency_ms": None}))
    study.add_trial(create_trial(values=[0.91, 0.4], user_attrs={"outcome": "ok", "accuracy": 0.91}))
    summary = summarize(study)
    assert not summary.measured
    assert sentence(summary) == "Best kernel: 0.40 of the work at +1.0 points of accuracy, trial 0."
    assert ("Cost", "analytic work, nothing measured") in facts(summary)


def test_another_metric_than_accuracy_is_no_share() -> None:
    study = kas_study(0)
    study.set_user_attr("kas.config", json.dumps({"training": {"metric": "psnr"}}))
    study.set_user_attr("kas.reference", {**REFERENCE, "accuracy": 31.5})
    for value in (30.8, 30.9, 31.6):  # within 2 % is from 30.87 on
        study.add_trial(create_trial(values=[value, 0.5], user_attrs={"outcome": "ok"}))
    summary = summarize(study)
    assert not summary.share
    assert [summary.beats(row) for row in summary.rows] == [False, True, True]


def test_of_an_error_the_least_is_best() -> None:
    study = optuna.create_study(directions=["minimize", "minimize"])
    study.set_user_attr("kas.task", Metric("MeanSquaredError", "minimize", False, "regression", 0.4).to_dict())
    study.set_user_attr("kas.reference", {**REFERENCE, "accuracy": 0.2})
    for values in ((0.1, 0.9), (0.203, 0.5), (0.21, 0.4), (0.3, 0.6)):
        study.add_trial(create_trial(values=list(values), user_attrs={"outcome": "ok"}))
    summary = summarize(study)
    assert [row.values for row in summary.front] == [(0.21, 0.4), (0.203, 0.5), (0.1, 0.9)]
    assert summary.best is not None
    assert summary.best.values == (0.203, 0.5)
    assert "+0.003 of MeanSquaredError" in sentence(summary)
    assert ("Task", "regression, MeanSquaredError (lower is better, a constant answer gets 0.4)") in facts(summary)
    region = front_figure(summary, CARD_COLOURS)["layout"]["shapes"][0]
    assert (region["type"], region["y1"]) == ("rect", pytest.approx(0.204))


def test_three_thousand_trials_are_read() -> None:
    import random

    rng = random.Random(0)
    study = optuna.create_study(directions=["maximize", "minimize"])
    study.set_user_attr("kas.format", "kas.study/1")
    study.add_trials([kas_trial(number, rng) for number in range(3000)])
    assert len(summarize(study).rows) == 3000
