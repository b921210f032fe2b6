"""The first objective of a study, as people read it: its name, its direction, and when a kernel is near the original."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import optuna

from kas.reporting import stored, wording
from kas.reporting.parsing import loads, text

__all__ = ["CLOSE", "Metric"]

CLOSE = 0.02  # "nearly as good as the original": two points of a share, or 2 % of the original's value
_LEVEL = 0.1  # of that: no better than a constant answer
KEY = "kas.task"  # the attribute of a study


@dataclass(frozen=True)
class Metric:
    """name: for people. direction: `maximize` or `minimize`. share: a share of 1, shown in per cent. task: what is learned.
    constant: what a constant answer gets on the validation samples, if that is known.
    """

    name: str = "accuracy"
    direction: str = "maximize"
    share: bool = True
    task: str | None = None
    constant: float | None = None

    @classmethod
    def of(cls, study: optuna.Study) -> Metric:
        """That of a study of kas."""
        attributes, names = stored.attributes(study), study.metric_names
        direction = study.directions[0].name.lower()
        task = loads(attributes.get(KEY))
        if text(task.get("name")) is not None:
            known = {field.name: task[field.name] for field in fields(cls) if field.name in task}
            return cls(**{**known, "direction": direction})
        configured = text(loads(loads(attributes.get("kas.config")).get("training")).get("metric")) or "accuracy"
        return cls(names[0] if names else configured, direction, direction == "maximize" and "accuracy" in configured)

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)

    def text(self, value: float | None, digits: int = 1) -> str:
        """A value for people, with digits as `wording.accuracy` says."""
        return wording.accuracy(value, self.share, digits)

    def difference(self, value: float | None) -> str:
        """A difference of two values for people."""
        return wording.difference(value, self.share)

    def margin(self, original: float) -> float:
        """How much worse than the original is near it: two points of a share, else 2 % of the original's value."""
        return CLOSE if self.share else CLOSE * abs(original)

    def is_close(self, value: float, original: float) -> bool:
        """Whether a value is better than the original's, or near it."""
        return self.loss(value, original) <= self.margin(original) + 1e-9

    def loss(self, value: float, than: float) -> float:
        """How much worse a value is than another; negative if it is better."""
        return than - value if self.direction == "maximize" else value - than

    @property
    def within(self) -> str:
        """`is_close` in words: `within 2 points`, or `within 2 %`."""
        return f"within {100 * CLOSE:.0f} {'points' if self.share else '%'}"

    def is_constant(self, value: float | None) -> bool:
        """Whether a value is no better than what a constant answer gets."""
        if value is None or self.constant is None:
            return False
        return self.loss(value, self.constant) >= -_LEVEL * self.margin(self.constant)
