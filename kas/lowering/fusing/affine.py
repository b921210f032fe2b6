"""Affine functions of earlier tensors: what one linear step, or several that became one, does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from kas.lowering.fusing.maps import HERE, ConvMap, Floats, Offset

__all__ = ["Affine", "Source"]


class Source(NamedTuple):
    """What is read: a tensor of the program, rolled by `roll` positions along h and w (circularly)."""

    tensor: int
    roll: Offset = HERE


class Affine:
    """`bias [rows]` plus the sum over sources of their maps; the same at every position; immutable."""

    def __init__(self, terms: Mapping[Source, ConvMap], bias: Floats):
        self.terms = {source: map_ for source, map_ in terms.items() if map_.taps}
        self.bias = bias

    @classmethod
    def of(cls, *terms: tuple[int, ConvMap]) -> Affine:
        """Maps of tensors, added; one may occur twice."""
        found: dict[Source, ConvMap] = {}
        for tensor, map_ in terms:
            source = Source(tensor)
            found[source] = found[source] + map_ if source in found else map_
        return cls(found, np.zeros(terms[0][1].rows))

    def inlined(self, source: Source, inner: Affine) -> Affine | None:
        """This function with one of its sources replaced by what that is; None where the two are not one function.

        A roll is circular and a convolution is padded with zeros: they change places only where the convolution
        reads single positions. A constant stays one only through what treats the borders like any position.
        """
        outer = self.terms[source]
        constant = outer.of_constant(inner.bias)
        if constant is None:
            return None
        terms = {key: map_ for key, map_ in self.terms.items() if key != source}
        for (tensor, roll), map_ in inner.terms.items():
            if source.roll != HERE and (roll != HERE or not map_.pointwise):
                return None
            composed = outer.after(map_)
            if composed is None:
                return None
            key = Source(tensor, roll if source.roll == HERE else source.roll)
            terms[key] = terms[key] + composed if key in terms else composed
        return Affine(terms, self.bias + constant)
