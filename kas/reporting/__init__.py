"""What a study found, for people: Pareto fronts and hypervolume, the HTML report, notes for optuna-dashboard.

Works on any Optuna study and imports no torch; jinja2, plotly and optuna-dashboard load on first use.
"""

from kas.reporting.cards import save_front_card
from kas.reporting.notes import artifact_store, save_study_note, save_trial_note, upload_drawings
from kas.reporting.report import render_report, write_report
from kas.reporting.summary import Summary, summarize

__all__ = [
    "Summary",
    "artifact_store",
    "render_report",
    "save_front_card",
    "save_study_note",
    "save_trial_note",
    "summarize",
    "upload_drawings",
    "write_report",
]
