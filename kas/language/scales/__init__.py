"""Scales: what is expected of every tensor of a program before it is trained, and initial weights that keep it sane."""

from kas.language.scales.analysis import Analysis, analyse, is_sane

__all__ = ["Analysis", "analyse", "is_sane"]
