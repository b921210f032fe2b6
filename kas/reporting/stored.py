"""What a storage holds of a study, parsed into checked types: all that reads a storage reads it through here.

A storage is data from elsewhere: a crash, a hand or another program may have written it. An attribute of a trial or a study
is therefore parsed by the table below before anything uses it. A trial with an attribute that is not as kas writes it is
*broken*: it is named once (`broken`) and left out (`trials`), and so counts nowhere. The same goes for an attribute of the
study (`attributes`), which is then as if it had never been written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import optuna
from optuna.trial import FrozenTrial, TrialState

from kas.language import KasError
from kas.language.errors import shown
from kas.reporting.parsing import (
    Parse,
    count,
    counts,
    decoded,
    each,
    fields,
    identity,
    is_a,
    kernel_hash,
    listed,
    mapping,
    nullable,
    number,
    text,
    width,
)
from kas.solvers import Target

__all__ = [
    "OUTCOMES", "attribute", "attributes", "broken", "faults", "is_kas", "system_attribute", "trials",
]  # fmt: skip

OUTCOMES = (
    "ok", "infeasible", "unhealthy", "too_slow", "pruned", "duplicate", "out_of_memory", "timeout", "error",
)  # fmt: skip


def _program(value: Any) -> str | None:
    """A text in the form of a program. Whether it is legal is seen when its kernel is read, which takes far longer."""
    try:
        steps = json.loads(value)["steps"] if isinstance(value, str) else None
        sound = isinstance(steps, list) and all(isinstance(step["op"], str) and counts(step["ins"]) for step in steps)
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return value if sound and steps else None


def _targets(value: Any) -> Mapping[str, Any] | None:
    found = mapping(value)
    try:
        for targets in (found or {}).values():
            for target in targets:
                Target.from_dict(target)
    except (KasError, TypeError, ValueError, AttributeError):
        return None
    return found


def _shapes(value: Any) -> Any:
    """The shape of one input, or of several by name or in order."""
    several = list(value.values()) if isinstance(value, dict) else value
    if counts(several) is not None:
        return value
    sound = isinstance(several, list) and len(several) < 100 and all(counts(one) is not None for one in several)
    return value if sound else None


_NUMBERS = (
    "latency_ms", "original_latency_ms", "ratio", "ratio_low", "ratio_high", "speedup", "accuracy", "work",
)  # fmt: skip
_TEXTS = ("runtime", "runtime_version", "version", "original_format", "memory_format", "device", "error", "refused")
_COUNTS = ("macs", "params", "epochs", "measured", "retry_of", "duplicate_of", "deaths", "resumed_from_epoch")
_OWNER = fields("machine", "pid", machine=is_a(str), pid=count, start=count, host=is_a(str))
_MEASURED = fields(**dict.fromkeys(_NUMBERS, number), **dict.fromkeys(_TEXTS, is_a(str)), measured=count)
_HEX = "a hash of 16 hex digits"

# of a trial: what an attribute is parsed by, and what it must be in words
_TRIAL: dict[str, tuple[Parse, str]] = {
    **dict.fromkeys((*_NUMBERS, "train_seconds"), (number, "a number")),
    **dict.fromkeys((*_TEXTS, "reason"), (is_a(str), "a text")),
    **dict.fromkeys(_COUNTS, (count, "a whole number")),
    "outcome": (lambda value: value if value in OUTCOMES else None, f"one of {', '.join(OUTCOMES)}"),
    "values": (listed(number, 2), "two numbers"),
    "owner": (_OWNER, "a process"),
    "program": (_program, "a program"),
    "parents": (listed(count), "numbers of trials"),
    "hash": (kernel_hash, _HEX),
    "family": (kernel_hash, _HEX),
    "died": (is_a(bool), "true or false"),
    "first_latency": (fields(**dict.fromkeys(_NUMBERS, number)), "numbers by their names"),
    "health": (each(nullable(number)), "numbers by their names"),
    "sizes": (
        fields("groups", "values", groups=width, values=each(each(width)), use=each(number)),
        "groups, values and use of the budget",
    ),
}
_NEVER_NULL = ("outcome", "owner", "program", "hash", "family", "retry_of", "died", "deaths")  # others: not known

# of a study
_STUDY: dict[str, tuple[Parse, str]] = {
    "kas.id": (identity, "32 hex digits"),
    "kas.config": (mapping, "a configuration in JSON"),
    "kas.format": (text, "a text"),
    "kas.version": (text, "a text"),
    "kas.ops": (listed(text), "a list of primitives"),
    "kas.trials": (lambda value: count(value) or None, "a whole number of at least 1"),
    "kas.reference": (
        decoded(
            fields(
                "accuracy",
                "macs",
                "params",
                "work",
                "device",
                "epochs",
                **dict.fromkeys((*_NUMBERS, "seconds"), number),
                **dict.fromkeys(_TEXTS, is_a(str)),
                macs=count,
                params=count,
                epochs=count,
                curve=listed(nullable(number)),
            )
        ),
        "the numbers of the original",
    ),
    "kas.targets": (_targets, "the targets of the networks"),
    "kas.front": (
        each(lambda value: _MEASURED(value) and fields(runtimes=each(_MEASURED))(value), kernel_hash),
        "measurements by the kernel's hash",
    ),
    "kas.runtimes": (each(each(nullable(is_a(str)))), "what is known of the runtimes"),
    "kas.input": (fields("shape", shape=_shapes, classes=count, dtype=is_a(str)), "shapes of inputs and a number of classes"),
    "kas.task": (
        fields("name", name=text, direction=is_a(str), share=is_a(bool), task=is_a(str), constant=number),
        "the metric and its task",
    ),
}
_CLAIM = (fields("owner", "beat", owner=_OWNER, beat=count), "a process and its beats")


# The trials of a study that have ended and are known not to be broken, by their numbers.
_SOUND: WeakKeyDictionary[optuna.Study, set[int]] = WeakKeyDictionary()


def trials(study: optuna.Study) -> list[FrozenTrial]:
    """The trials of a study that are not broken. Raises KasError if the storage does not give them."""
    return [trial for trial, wrong in _judged(study) if not wrong]


def _judged(study: optuna.Study) -> list[tuple[FrozenTrial, list[str]]]:
    """All trials of a study, each with its faults; one that has ended without is looked at once."""
    known = _SOUND.setdefault(study, set())
    found = [(trial, [] if trial.number in known else faults(trial)) for trial in _trials(study)]
    known.update(trial.number for trial, wrong in found if not wrong and trial.state.is_finished())
    return found


def attribute(study: optuna.Study, key: str) -> Any:
    """An attribute of a study, decoded if it is kept as JSON; None if there is none or it is broken. Raises as `trials`."""
    return _of_study(key)[0](_attributes(study).get(key))


def attributes(study: optuna.Study) -> dict[str, Any]:
    """All attributes of a study that are neither None nor broken, as `attribute` gives them. Raises as `trials`."""
    parsed = {key: _of_study(key)[0](value) for key, value in _attributes(study).items()}
    return {key: value for key, value in parsed.items() if value is not None}


def system_attribute(study: optuna.Study, key: str, parse: Parse) -> Any:
    """What Optuna keeps of a study under a key, as `parse` gives it; None if there is none or it is broken."""
    try:
        return parse(study._storage.get_study_system_attrs(study._study_id).get(key))
    except _DAMAGE as error:
        raise _unreadable(study, error) from None


def broken(study: optuna.Study) -> list[str]:
    """A line for each trial, and for each attribute of the study, that is left out: which, and why. Raises as `trials`."""
    found = [f"trial {trial.number} is left out: {'; '.join(wrong)}" for trial, wrong in _judged(study) if wrong]
    for key, value in _attributes(study).items():
        parse, right = _of_study(key)
        if value is not None and parse(value) is None:
            found.append(f"{key} is left out: it is {shown(value)}, not {right}")
    return found


def faults(trial: FrozenTrial) -> list[str]:
    """What of a trial is not as kas writes it, in words."""
    wrong = []
    for name, value in trial.user_attrs.items():
        known = _TRIAL.get(name)
        if known is not None and (value is not None or name in _NEVER_NULL) and known[0](value) is None:
            wrong.append(f"{name} is {shown(value)}, not {known[1]}")
    for name, value in trial.system_attrs.items():
        if name.startswith("constraints") and (listed(number) if name == "constraints" else number)(value) is None:
            wrong.append(f"{name} is {shown(value)}, not a number")
        elif name.endswith(":generation") and count(value) is None:
            wrong.append(f"{name} is {shown(value)}, not a whole number")
    done = trial.state == TrialState.COMPLETE and trial.user_attrs.get("outcome") == "ok"
    if done and not wrong and listed(number, 2)(trial.values) is None:
        wrong.append(f"its objectives are {shown(trial.values)}, not two numbers")
    return wrong


def _of_study(key: str) -> tuple[Parse, str]:
    """What an attribute of a study is parsed by, and what it must be in words; others than kas's are taken as they are."""
    return _CLAIM if key.startswith("kas.claim.") else _STUDY.get(key, (lambda value: value, ""))


def is_kas(study: optuna.Study) -> bool:
    """Whether a study is one of kas: it has an attribute of kas, two objectives, and the second is a cost."""
    directions = [direction.name for direction in study.directions]
    return len(directions) == 2 and directions[1] == "MINIMIZE" and any(key.startswith("kas.") for key in _attributes(study))


def _trials(study: optuna.Study) -> Sequence[FrozenTrial]:
    try:
        return study.get_trials(deepcopy=False)
    except _DAMAGE as error:
        raise _unreadable(study, error) from None


def _attributes(study: optuna.Study) -> Mapping[str, Any]:
    try:  # not study.user_attrs: a deep copy of what is nested deeply ends in a RecursionError
        return study._storage.get_study_user_attrs(study._study_id)
    except _DAMAGE as error:
        raise _unreadable(study, error) from None


_DAMAGE = (AttributeError, LookupError, RecursionError, TypeError, ValueError)  # what Optuna meets in damaged rows


def _unreadable(study: optuna.Study, error: BaseException) -> KasError:
    return KasError(f"study {study.study_name} cannot be read from its storage: {type(error).__name__}: {error}")
