"""Lowering of group, ungroup and transpose."""

from __future__ import annotations

from kas.language.primitives._base import channel_side
from kas.language.primitives.views import Transpose
from kas.lowering._site import Plain, Site
from kas.lowering.code import form_of

__all__ = ["PLAIN"]


def _reshape(site: Site) -> str:
    return site.output(site.ins[0], form_of(site.shapes[0]))


def _transpose(site: Site) -> str:
    assert isinstance(site.step, Transpose)
    side = channel_side(site.shapes[0], site.step.side)
    g, c = site.positions((f"{side}.g", f"{side}.c"))
    return f"{site.ins[0]}.transpose({g}, {c})"


PLAIN: dict[str, Plain] = {"group": _reshape, "ungroup": _reshape, "transpose": _transpose}
