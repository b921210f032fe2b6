"""What a network is run in where it is deployed. Everything that times a network goes through one of these."""

from __future__ import annotations

from kas.evaluation.runtimes._base import Refusal, Runtime

__all__ = ["Refusal", "Runtime"]
