"""Rediscovery: counts that do not depend on workers, sound bounds, probabilities that agree with counts, the command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import optuna
import pytest

from kas import zoo
from kas.generation import GenerationSettings
from kas.generation.growth import Growth
from kas.generation.parallel import in_order
from kas.generation.rediscovery import Hit, Source, Tally, interval, rediscover, upper_bound
from kas.generation.splitting import _Known, estimates
from kas.language import KasError, Kernel
from kas.study.__main__ import main
from kas.study.config import StudyConfig
from kas.study.settings import SearchSettings
from kas.study.storage.create import create_or_join
from kas.study.storage.opening import open_mutex, open_storage

# A grammar that draws some known kernels often.
NARROWER = Source(
    settings=GenerationSettings(
        min_steps=3, max_steps=4, allowed=["conv", "fc", "relu"], kernel_sizes=[3], dilations=[1], free_widths=0.8, local=0.5
    )
)
NARROW = Source(settings=GenerationSettings(min_steps=3, max_steps=4, allowed=["conv", "fc", "relu", "gelu"], local=0.5))


def last(source: Source, samples: int, seed: int = 0, workers: int = 1) -> Tally:
    return list(rediscover(source, samples, seed, workers))[-1]


@pytest.fixture(scope="module")
def narrow() -> Tally:
    return last(NARROW, 6000)


def test_counts_are_those_of_the_draws(narrow: Tally) -> None:
    wanted: dict[str, Hit] = {}
    for number, drawn in enumerate(islice(NARROW.sampler().blind(0), 1500), 1):
        if (name := zoo.known_as(drawn.kernel)) is not None:
            hit = wanted.setdefault(name, Hit(number, 0, drawn.kernel.to_json()))
            hit.count += 1
    assert wanted
    found = last(NARROW, 1500)
    assert (found.samples, found.hits) == (1500, wanted)
    assert all(narrow.hits[name].first == hit.first for name, hit in wanted.items())  # a longer run begins with the shorter


def test_any_number_of_programs_is_counted_from_any_start() -> None:
    assert last(NARROW, 301).samples == 301
    ahead = [drawn.kernel for drawn in islice(NARROW.sampler().blind(3, first=40), 10)]
    assert ahead == [drawn.kernel for drawn in islice(NARROW.sampler().blind(3), 50)][40:]


def test_the_tally_does_not_depend_on_the_workers(narrow: Tally) -> None:
    assert last(NARROW, 6000, workers=3) == narrow
    assert last(NARROW, 6000, seed=1) != narrow


def test_bounds() -> None:
    low, high = interval(3, 1000)
    assert (low, high) == pytest.approx((0.000619, 0.008742), abs=1e-6)  # R: binom.test(3, 1000)
    assert upper_bound(1_000_000) == pytest.approx(3e-6, rel=0.01)
    assert upper_bound(1_000_000) == pytest.approx(interval(0, 1_000_000, 0.9)[1], rel=1e-6)


@pytest.mark.parametrize("name", ["feed_forward", "depthwise_separable"])
def test_splitting_agrees_with_counting(name: str) -> None:
    """The estimate is the rate at which the known kernel comes up in as many steps as it is listed with."""
    (estimate,) = estimates(NARROWER, [name], 1000)
    draws = 12_000
    count = sum(is_listed(name, drawn.kernel) for drawn in islice(NARROWER.sampler().blind(0), draws))
    assert count >= 5
    low, high = interval(count, draws, 0.99)
    assert low - 2 * estimate.error <= estimate.probability <= high + 2 * estimate.error
    assert 0 < estimate.error < 0.4 * estimate.probability
    assert list(estimates(NARROWER, ["bottleneck", name], 1000, workers=2))[1] == estimate


def is_listed(name: str, kernel: Kernel) -> bool:
    return len(kernel.steps) == len(zoo.get(name).steps) and zoo.known_as(kernel) == name


def test_splitting_knows_which_programs_are_the_start_of_a_known_one() -> None:
    grown: dict[str, Growth] = {}
    moves = Source(settings=GenerationSettings(fixed_size=True)).sampler().moves
    for name in zoo.names(2):
        grown[name], known = Growth(moves), _Known(name, set())
        for step in zoo.get(name).steps:
            if not grown[name].add(moves.of(step), step.ins, filtered=False):  # wider than the settings allow
                break
            assert known.contains(grown[name]), (name, len(grown[name].steps))
    assert [
        name for name in zoo.names(2) if len(grown[name].steps) > 1 and _Known("bottleneck", set()).contains(grown[name])
    ] == ["bottleneck"]


def test_an_estimate_of_what_cannot_be_drawn_is_zero() -> None:
    (estimate,) = estimates(NARROW, ["squeeze_excitation"], 50)
    assert (estimate.probability, estimate.error, estimate.of) == (0.0, 0.0, 8)


def failing(worker: int, workers: int) -> object:
    yield worker
    raise KasError("no kernel was found")


def killed(worker: int, workers: int) -> object:
    yield worker
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(("share", "message"), [(failing, "no kernel was found"), (killed, "worker process ended early")])
def test_errors_of_workers_are_raised_here(share: object, message: str) -> None:
    with pytest.raises(KasError, match=message):
        list(in_order(share, 2))  # type: ignore[arg-type]
    with pytest.raises(KasError, match="at least 1"):
        list(in_order(partial(failing), 0))


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(["rediscover", *arguments]) == code
    captured = capsys.readouterr()
    return captured.out if code == 0 else captured.err


def test_the_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    state = json.loads(said(capsys, "--samples", "2000", "--particles", "10", "--json"))
    assert list(state) == ["samples", "rank", "found", "missing"]
    assert (state["samples"], state["rank"]) == (2000, 2)
    assert {one["name"] for part in ("found", "missing") for one in state[part]} == set(zoo.names(2))
    for one in state["found"]:
        assert one["rate_low"] < one["rate"] == one["count"] / 2000 < one["rate_high"]
        assert 1 <= one["first"] <= 2000
    assert all(one["rate_high"] == pytest.approx(0.0015, rel=0.01) for one in state["missing"])
    estimated = [one["name"] for one in state["missing"] if "estimate" in one]
    assert "bottleneck" in estimated
    assert "conv1x1" not in estimated  # programs have three steps


def test_the_command_prints_tables(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "--samples", "500", "--rank", "0", "--particles", "10")
    assert "500 blind samples of rank 0, seed 0, default grammar" in text
    assert all(name in text for name in zoo.names(0))
    assert "conv3x3" not in text


def test_the_command_draws_for_a_study_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "narrow.yaml"
    file.write_text("{data: {name: digits}, search: {generation: {max_steps: 4, allowed: [conv, fc, relu]}}}")
    text = said(capsys, "--study", str(file), "--samples", "100", "--set", "budget={macs: 0.5}", "--dir", str(tmp_path))
    assert "layers of" in text
    assert "budget {'macs': 0.5}" in text
    assert "at least" not in text  # programs for a budget are not accepted as they are drawn
    assert not (tmp_path / "narrow").exists()
    message = said(capsys, "--study", str(file), "--rank", "1", code=2)
    assert "are of rank 2; leave --rank out" in message


def test_the_command_looks_through_a_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "demo"
    config = StudyConfig(name="demo", search=SearchSettings(seeds=["ghost"]))
    study = create_or_join(config, open_storage(None, folder), open_mutex(None, folder, "demo"))
    program = zoo.get("bottleneck").to_json()
    for text in (zoo.get("ghost").to_json(), program, program.replace("C/4", "x0"), zoo.get("conv3x3").to_json()):
        attributes = {"program": text, "outcome": "unhealthy"}
        study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL, user_attrs=attributes))
    found = {one["name"]: one for one in json.loads(said(capsys, "demo", "--dir", str(tmp_path), "--json"))["found"]}
    assert {name: (one["first"], one["count"]) for name, one in found.items()} == {
        "ghost": (1, 1), "bottleneck": (2, 2), "conv3x3": (4, 1),
    }  # fmt: skip
    text = said(capsys, "demo", "--dir", str(tmp_path))
    assert "4 trials, 3 known kernels among them" in text
    assert "ghost (seed)" in text
    assert text.count("(seed)") == 1  # the other two, spelled as in the zoo, were found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--samples", "0"], "--samples must be at least 1, not 0"),
        (["--workers", "0"], "--workers must be at least 1, not 0"),
        (["--rank", "3"], "rank must be 2, 1 or 0, not 3"),
        (["demo", "--study", "x.yaml"], "give one of them"),
        (["--set", "seed=1"], "name one with --study"),
        (["nobody", "--dir", "none"], "there is no study 'nobody'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in said(capsys, *arguments, code=2)


def test_an_interruption_keeps_what_was_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*arguments: object) -> Iterator[Tally]:
        for number, tally in enumerate(rediscover(*arguments)):  # type: ignore[arg-type]
            if number == 3:
                raise KeyboardInterrupt
            yield tally

    monkeypatch.setattr("kas.generation.rediscovery.rediscover", interrupted)
    assert main(["rediscover", "--samples", "5000"]) == 130
    assert capsys.readouterr().out.startswith("interrupted: 750 blind samples")


def test_ctrl_c_ends_workers_too() -> None:
    line = [sys.executable, "-m", "kas.study", "rediscover", "--samples", "100000000", "--json", "--workers", "2"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        time.sleep(6)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads(out)["samples"] >= 0
    assert err == ""
    for _ in range(100):  # nobody of the session is left; Python's resource tracker ends a little after its parent
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("a process of the command lives on")
