"""Lowering of scale and bias. Their parameters have the shape that broadcasts."""

from __future__ import annotations

from kas.lowering._site import Plain, Site

__all__ = ["PLAIN"]


def _scale(site: Site) -> str:
    return f"{site.ins[0]} * {site.weight}"


def _bias(site: Site) -> str:
    return f"{site.ins[0]} + {site.weight}"


PLAIN: dict[str, Plain] = {"scale": _scale, "bias": _bias}
