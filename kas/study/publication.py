"""What a trial shows in optuna-dashboard: a drawing of its kernel and a note. Nothing here may fail a trial."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import optuna

from kas.language import Kernel
from kas.reporting import notes
from kas.study.attributes import OUTCOME, REASON, Outcome, finite

__all__ = ["Publication", "drawing"]

_log = logging.getLogger("kas.study")


def drawing(kernel: Kernel, suffix: str) -> bytes:
    """A kernel drawn as `.svg` or `.png`."""
    import tempfile

    from kas.lowering import draw

    with tempfile.TemporaryDirectory(prefix="kas-") as folder:
        path = Path(folder, f"kernel{suffix}")
        draw(kernel, path)
        return io.BytesIO(path.read_bytes()).getvalue()


class Publication:
    """Attaches drawings and notes to trials. `folder`: of the artifacts, made if it is not there."""

    def __init__(self, folder: Path) -> None:
        self._store = notes.artifact_store(folder)

    def kernel(self, trial: optuna.Trial, kernel: Kernel) -> None:
        """Attach the drawing of a trial's kernel; a retry has its own."""
        try:
            svg = drawing(kernel, ".svg").decode("utf-8")
            notes.upload_drawings(trial, self._store, name=f"kernel-{kernel.hash[:12]}", svg=svg, png=drawing(kernel, ".png"))
        except Exception:
            _log.exception("the drawing of trial %d could not be attached", trial.number)

    def outcome(self, trial: optuna.Trial, outcome: Outcome) -> None:
        """Write the note of a trial that is about to end so."""
        from optuna_dashboard import save_note

        attributes = {**trial.user_attrs, **outcome.attributes, OUTCOME: outcome.name}
        if outcome.reason:
            attributes[REASON] = outcome.reason
        try:
            save_note(trial, notes.trial_note(finite(attributes)))
        except Exception:
            _log.exception("the note of trial %d could not be written", trial.number)
