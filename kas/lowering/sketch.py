"""A kernel's micro-DAG in characters: a row for each step, a lane for each tensor that is still needed.

○      input            C | H, W
├─╮
│ ●    1  fc → C/4      C/4 | H, W
"""

from __future__ import annotations

from kas.language.kernel import Kernel
from kas.lowering.labels import shape_text, step_text

__all__ = ["sketch"]

_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_BOX = dict(zip(
    (_UP | _DOWN, _LEFT | _RIGHT, _UP | _RIGHT, _UP | _LEFT, _DOWN | _RIGHT, _DOWN | _LEFT, _UP | _DOWN | _RIGHT,
     _UP | _DOWN | _LEFT, _LEFT | _RIGHT | _UP, _LEFT | _RIGHT | _DOWN, _UP | _DOWN | _LEFT | _RIGHT),
    "│─╰╯╭╮├┤┴┬┼", strict=True,
))  # fmt: skip


def sketch(kernel: Kernel) -> list[str]:
    """The lines of the drawing, with the words of each step and the shape of its result."""
    rows = _rows(kernel)
    width = max(len(lanes) for lanes, _, _ in rows)
    words = max(len(text) for _, text, _ in rows)
    return [f"{lanes:<{width}}   {text:<{words}}   {shape}".rstrip() for lanes, text, shape in rows]


def _rows(kernel: Kernel) -> list[tuple[str, str, str]]:
    """Lanes, words and shape of each row; rows of joints have lanes alone."""
    last = {i: number for number, step in enumerate(kernel.steps, 1) for i in step.ins}
    lanes: list[int | None] = [0]
    rows = [("○", "input", shape_text(kernel.shapes[0]))]
    for number, step in enumerate(kernel.steps, 1):
        read = sorted({lanes.index(i) for i in step.ins})
        dying = [lane for lane in read if last[lanes[lane]] == number]  # type: ignore[index]
        own = dying[0] if dying else next((i for i, tensor in enumerate(lanes) if tensor is None), len(lanes))
        joints = _joints(lanes, read, dying, own)
        if joints:
            rows.append((joints, "", ""))
        for lane in dying:
            lanes[lane] = None
        lanes += [None] * (own + 1 - len(lanes))
        lanes[own] = number
        nodes = ["●" if i == own else " " if tensor is None else "│" for i, tensor in enumerate(lanes)]
        rows.append((" ".join(nodes).rstrip(), f"{number:<2} {step_text(step)}", shape_text(kernel.shapes[number])))
        while lanes and lanes[-1] is None:
            lanes.pop()
    return rows


def _joints(lanes: list[int | None], read: list[int], dying: list[int], own: int) -> str:
    """The row that leads from the lanes that are read to the lane of the result; empty if that is the only one."""
    if read == [own]:
        return ""
    count = max(len(lanes), own + 1)
    lines = [0] * (2 * count - 1)
    for lane, tensor in enumerate(lanes):
        if tensor is not None:
            lines[2 * lane] = _UP | (0 if lane in dying and lane != own else _DOWN)
    lines[2 * own] |= _DOWN
    first, final = min([own, *read]), max([own, *read])
    for at in range(2 * first, 2 * final):
        lines[at] |= _RIGHT
        lines[at + 1] |= _LEFT
    return "".join(_BOX.get(line, " ") for line in lines).rstrip()
