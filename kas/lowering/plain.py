"""The plain lowering: one torch call a step, every tensor with one torch axis for each non-empty axis.

It is the reference that the optimized lowering is tested against, and what `kas.cost` counts: do not improve it.
"""

from __future__ import annotations

from collections.abc import Mapping

from kas.language.kernel import Kernel
from kas.lowering import binary, linear, matmul, pointwise, products, reductions, scaling, spatial, views, windows
from kas.lowering._site import Plain, Site
from kas.lowering.code import Code, form_of
from kas.lowering.output import arranged

__all__ = ["plain"]

_PLAIN: dict[str, Plain] = {}
for _family in (views, spatial, linear, scaling, reductions, pointwise, binary, matmul, windows, products):
    _PLAIN.update(_family.PLAIN)


def plain(kernel: Kernel, env: Mapping[str, int], code: Code | None = None) -> Code:
    """The forward of a kernel, step by step."""
    code = Code(kernel, env) if code is None else code
    names = ["x", *(f"t{number}" for number in range(1, len(kernel.steps) + 1))]
    for number, step in enumerate(kernel.steps, 1):
        site = Site(
            code=code,
            step=step,
            weight=f"self.w{number}",
            ins=tuple(names[i] for i in step.ins),
            shapes=tuple(kernel.shapes[i] for i in step.ins),
            result=kernel.shapes[number],
        )
        code.add(names[number], _PLAIN[step.op](site), f"{step.op} {kernel.shapes[number]}")
    read = {i for step in kernel.steps for i in step.ins}
    output = next(i for i in range(len(names)) if i not in read)
    shape = kernel.shapes[output]
    code.add("return", arranged(code, names[output], form_of(shape), shape), "")
    return code
