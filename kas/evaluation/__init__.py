"""Judging a network: data, models, training, latency, health. Names load on first use: importing this is cheap."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kas.evaluation.data import make_data
    from kas.evaluation.devices import describe_device, resolve_device
    from kas.evaluation.health import HealthReport, check
    from kas.evaluation.latency import Paired, Prepared, compare, prepare
    from kas.evaluation.locks import DeviceLock
    from kas.evaluation.models import make_model
    from kas.evaluation.outcomes import OutOfMemory, TimeLimit, TrainingDiverged
    from kas.evaluation.training import EpochReport, TrainResult, train

__all__ = [
    "DeviceLock",
    "EpochReport",
    "HealthReport",
    "OutOfMemory",
    "Paired",
    "Prepared",
    "TimeLimit",
    "TrainResult",
    "TrainingDiverged",
    "check",
    "compare",
    "describe_device",
    "make_data",
    "make_model",
    "prepare",
    "resolve_device",
    "train",
]

_HOMES = {
    "data": ["make_data"],
    "devices": ["describe_device", "resolve_device"],
    "health": ["HealthReport", "check"],
    "latency": ["Paired", "Prepared", "compare", "prepare"],
    "locks": ["DeviceLock"],
    "models": ["make_model"],
    "outcomes": ["OutOfMemory", "TimeLimit", "TrainingDiverged"],
    "training": ["EpochReport", "TrainResult", "train"],
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'kas.evaluation' has no attribute {name!r}")
    return getattr(import_module(f"kas.evaluation.{_MODULE_OF[name]}"), name)
