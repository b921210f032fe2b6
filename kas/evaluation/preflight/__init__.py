"""Network and data looked at before anything is trained: what is wrong is one sentence, what was understood a few lines."""

from kas.evaluation.preflight.look import Findings, look
from kas.evaluation.preflight.modules import check_network

__all__ = ["Findings", "check_network", "look"]
