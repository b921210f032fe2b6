"""A kernel's micro-DAG as Graphviz DOT text, for people's own layouts and tools; nothing here needs Graphviz."""

from __future__ import annotations

from kas.language.kernel import Kernel
from kas.lowering.labels import COLOURS, FAMILY_OF, cost_text, shape_text, step_text

__all__ = ["dot_text"]


def dot_text(kernel: Kernel) -> str:
    """A digraph: a box for each step in the colour of its family, with its cost; shapes on the edges."""
    lines = [
        f"digraph kernel_{kernel.hash} {{",
        '  node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=11];',
        '  edge [fontname="Helvetica", fontsize=9, color="#78909c"];',
        f"  t0 [label={_quoted('input')}, {_style('')}];",
    ]
    for number, (step, outcome) in enumerate(zip(kernel.steps, kernel.outcomes, strict=True), 1):
        cost = cost_text(step, outcome, kernel.shapes[step.ins[0]])
        label = f"{number}  {step_text(step)}" + (f"\n{cost}" if cost else "")
        lines.append(f"  t{number} [label={_quoted(label)}, {_style(FAMILY_OF[step.op])}];")
    output = len(kernel.steps) + 1
    lines.append(f"  t{output} [label={_quoted('output')}, {_style('')}];")
    read = {i for step in kernel.steps for i in step.ins}
    edges = [(i, number) for number, step in enumerate(kernel.steps, 1) for i in step.ins]
    edges += [(i, output) for i in range(output) if i not in read]
    lines += [f"  t{source} -> t{target} [label={_quoted(shape_text(kernel.shapes[source]))}];" for source, target in edges]
    return "\n".join([*lines, "}", ""])


def _style(family: str) -> str:
    fill, outline = COLOURS[family]
    return f'fillcolor="{fill}", color="{outline}"' + (', fontcolor="white"' if not family else "")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
