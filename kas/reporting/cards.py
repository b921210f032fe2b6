"""The plots that optuna-dashboard shows of a study as cards: the front, and the learning curves of its kernels.

Cards are study attributes in the storage, which every page of the dashboard loads: they are kept short.
"""

from __future__ import annotations

import optuna

from kas.reporting.curves import curves_figure, learners
from kas.reporting.figures import CARD_COLOURS, Figure, front_figure
from kas.reporting.summary import summarize

__all__ = ["CARD", "CURVES", "save_curves_card", "save_front_card"]

CARD, CURVES = "kas-front", "kas-curves"  # the cards' identities: saved again, they replace themselves
_CARD_POINTS = 400


def save_front_card(study: optuna.Study) -> None:
    """Write or replace the card with the front. Of a large study the newest trials off the front are drawn."""
    summary = summarize(study)
    figure = front_figure(summary, CARD_COLOURS)
    for trace in figure["data"]:
        if trace["name"] == "trials":
            trace.update({key: trace[key][-_CARD_POINTS:] for key in ("x", "y", "text")})
    _save(study, figure, f"{summary.metric.name} against cost", CARD)


def save_curves_card(study: optuna.Study) -> None:
    """Write or replace the card with the learning curves, if there are any.

    The dashboard's own plot of intermediate values is for studies of one objective.
    """
    summary = summarize(study)
    if learners(summary):
        figure = curves_figure(summary, CARD_COLOURS)
        figure["layout"]["legend"] |= {"y": -0.25, "yanchor": "top"}  # several lines, clear of the title
        _save(study, figure, f"{summary.metric.name} after each epoch", CURVES)


def _save(study: optuna.Study, figure: Figure, title: str, identity: str) -> None:
    import plotly.graph_objects as go
    from optuna_dashboard import save_plotly_graph_object

    figure["layout"]["title"] = {"text": title, "font": {"size": 15}, "x": 0.03, "xanchor": "left"}
    figure["layout"]["margin"] |= {"t": 80}  # the title, then the legend
    save_plotly_graph_object(study, go.Figure(figure), graph_object_id=identity)
