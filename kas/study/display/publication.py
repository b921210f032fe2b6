"""What optuna-dashboard shows: of a trial a note and a drawing, of the study a note and its front.

Nothing here may fail a trial.
"""

from __future__ import annotations

import logging
from pathlib import Path

import optuna

from kas.evaluation import EpochReport
from kas.language import Kernel
from kas.lowering.drawing import png_bytes, svg_text
from kas.reporting import cards, notes
from kas.reporting.metric import Metric
from kas.study.attributes import OUTCOME, REASON, VALUES, Outcome, finite

__all__ = ["Publication"]

_log = logging.getLogger("kas.study")


_EVERY = 5  # trials after which the study's own note and front are written again


class Publication:
    """Attaches drawings and notes to trials. `folder`: of the artifacts, made if it is not there."""

    def __init__(self, folder: Path) -> None:
        self._store = notes.artifact_store(folder)

    def kernel(self, trial: optuna.Trial, kernel: Kernel) -> None:
        """Attach the drawing of a trial's kernel; a retry has its own."""
        try:
            svg, png = svg_text(kernel), png_bytes(kernel)
            notes.upload_drawings(trial, self._store, name=f"kernel-{kernel.hash[:12]}", svg=svg, png=png)
        except Exception:
            _log.exception("the drawing of trial %d could not be attached", trial.number)

    def epoch(self, trial: optuna.Trial, report: EpochReport) -> None:
        """Write an epoch's metric as an intermediate value: the learning curve of a trial, its epochs counted from 1.

        Straight to the storage, as `trial.report` refuses studies of two objectives.
        """
        try:
            trial.storage.set_trial_intermediate_value(trial._trial_id, report.epoch + 1, report.accuracy)
        except Exception:
            _log.exception("epoch %d of trial %d could not be written", report.epoch + 1, trial.number)

    def outcome(self, trial: optuna.Trial, outcome: Outcome) -> None:
        """Write the note of a trial that is about to end so."""
        from optuna_dashboard import save_note

        attributes = {**trial.user_attrs, **outcome.attributes, OUTCOME: outcome.name, VALUES: outcome.values}
        if outcome.reason:
            attributes[REASON] = outcome.reason
        try:
            save_note(trial, notes.trial_note(finite(attributes), Metric.of(trial.study)))
        except Exception:
            _log.exception("the note of trial %d could not be written", trial.number)
        if trial.number % _EVERY == 0:
            self.study(trial.study)

    def study(self, study: optuna.Study) -> None:
        """Write the note of the study, those of its front, and the cards with the front and its learning curves."""
        try:
            notes.save_study_note(study)
            notes.save_front_notes(study)
            cards.save_front_card(study)
            cards.save_curves_card(study)
        except Exception:
            _log.exception("the note of the study could not be written")
