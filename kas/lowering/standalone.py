"""The file that a kernel leaves the house in: one module in torch alone, written for people, that checks itself when it is run.

Sizes are constructor arguments with the solved values as defaults, tensors have names, and the docstring has the formula, a
drawing and the cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import indent

from kas.language.costs import cost, environment
from kas.language.kernel import Kernel
from kas.language.primitives.scaling import Scale
from kas.lowering.calls import brought_along
from kas.lowering.labels import step_text
from kas.lowering.mathematics import mathematics
from kas.lowering.module_source import ZERO, class_name, forward_text, lowering_of, quoted
from kas.lowering.naming import named
from kas.lowering.parameters import parameters, weight_dims
from kas.lowering.sketch import sketch
from kas.lowering.symbolic import SymbolicCode, expression
from kas.solvers.formulas import text as formulas

__all__ = ["source"]

_SIGNS = {
    "⊙": "⊙ is element-wise", "⊘": "⊘ divides element-wise, by nothing smaller than 0.001",
    "∗ ": "∗ is a convolution", "∗[": "∗[c] slides one filter along c",
    "taps": "taps are the neighbours of each position", "/√d": "d is what a product sums over",
    "each[": "each is a product for each index of these axes", "reassemble": "reassemble multiplies taps by a matrix",
    "unit": "unit divides by the norm", "standardize": "standardize takes mean 0 and variance 1",
}  # fmt: skip


def source(
    kernel: Kernel,
    *,
    channels: int,
    size: tuple[int, ...],
    groups: int = 1,
    values: Mapping[str, int] | None = None,
    lowering: str = "optimized",
    check: bool = True,
) -> str:
    """The source of a module `[N, channels, *size] -> [N, channels, *size]`; its class is `class_name(kernel)`.

    `lowering` is "optimized" or "plain" (one torch call a step, the reference); both have the same parameters. The sizes
    are the defaults of the constructor's arguments. With `check` the file has stored outputs, for which torch is loaded
    here, and run as a script it says `ok` or, with exit code 1, what differs.
    Raises Infeasible with the step, the dim and the value if the kernel does not exist at these sizes.

    >>> import kas
    >>> text = source(kas.zoo.get("depthwise_separable"), channels=16, size=(8, 8), check=False)
    >>> "class Kernel63da457741(nn.Module):" in text
    True
    """
    values = dict(values or {})
    env = environment(kernel, channels, size, groups, values)
    code = SymbolicCode(kernel, env)
    lowering_of(lowering)(kernel, env, code)
    code.channel_check = True
    code.lines = [(name, text, _shape(comment)) for name, text, comment in named(code.lines)]
    body = forward_text(code, "self.channels")
    functional = "import torch.nn.functional as F\n" if "F." in body else ""
    imports = f"import torch\n{functional}from torch import Tensor, nn\n{brought_along(body)}"
    title = f"Kernel {kernel.hash}: a torch module of its own, found by kernel architecture search (kas)."
    name = class_name(kernel)
    docstring = _docstring(kernel, env, channels, size, groups, values)
    text = f"class {name}(nn.Module):\n{indent(docstring, '    ')}\n{_constructor(kernel, code, 'self.zero' in body)}\n{body}"
    if not check:
        return f'"""{title}"""\n\n{imports}\n\n{text}'
    from kas.lowering.checking import RECIPE, TOLERANCE, stored_check

    stored = stored_check(kernel, channels, size, groups, values, f"{imports}\n\n{text}", name)
    outputs = ",\n".join(f"    {value!r}" for value in stored.outputs)
    x = f"numbers({stored.shape}, 0)" + (f" * {stored.scale}" if stored.scale != 1 else "")
    return (
        f'"""{title}\n\nRun this file to check it: `ok`, or what differs from the outputs that are stored here.\n"""\n\n'
        f"{imports}\n\n{text}\n\n# What the module gives for the numbers below: `outputs` of the kernel's definition.\n"
        f"EXPECTED = [\n{outputs},\n]\n\n\n{RECIPE}\n\n"
        f"def check() -> None:\n"
        f'    """Raise SystemExit with what differs from EXPECTED, if anything does."""\n'
        f"    found, expected = outputs({name}(), {x}), torch.tensor(EXPECTED, dtype=torch.double)\n"
        f"    difference = float((found - expected).abs().max() / expected.abs().max())\n"
        f"    if not difference <= {TOLERANCE}:\n"
        f'        raise SystemExit(f"failed: the outputs {{found.tolist()}} differ from {{EXPECTED}} by {{difference:.2g}}")\n'
        f'\n\nif __name__ == "__main__":\n    check()\n    print("ok")\n'
    )


def _shape(comment: str) -> str:
    """The shape of a line's comment as people write it: `[C/4 | H, W]`, names only where they say more."""
    if not comment.startswith("["):
        return comment
    sides = [[axis.strip() for axis in side.split(",")] for side in comment.strip("[]").split("|")]
    short = []
    for side in sides:
        short.append(", ".join(axis.partition("=")[2] if len(side) == 1 or _own(axis) else axis for axis in side if axis))
    return f"[N, {' | '.join(side for side in short if side)}]" if any(short) else "[N]"


def _own(axis: str) -> bool:
    name, _, dim = axis.partition("=")
    return dim == name.upper()


def _docstring(
    kernel: Kernel, env: Mapping[str, int], channels: int, size: tuple[int, ...], groups: int, values: Mapping[str, int]
) -> str:
    """Shapes, formula, drawing, cost, arguments."""
    axes = ", ".join(["N", "channels", *"HW"[: kernel.rank]])
    where = "at one size" if kernel.fixed_size else "at every size at which its dims are integers" if kernel.rank else ""
    formula, price, costs = mathematics(kernel), cost(kernel, channels, size, groups, values), formulas(kernel)
    signs = [meaning for sign, meaning in _SIGNS.items() if any(sign in line for line in formula)]
    at = "x".join(map(str, size))
    rows = [
        ("MACs", costs["macs"], price.macs),
        ("parameters", costs["params"], price.params),
        ("element-wise", costs["elementwise"], price.elementwise),
    ]
    words, longest = max(len(name) for name, _, _ in rows), max(len(formula) for _, formula, _ in rows)
    return "\n".join(
        [
            f'"""`[{axes}]` to `[{axes}]`{", " if where else ""}{where}.',
            "",
            *(f"    {line}" for line in formula),
            "",
            f"W₁ is the weight of step 1, `w1`, and so on{''.join(f'; {sign}' for sign in signs)}.",
            "",
            *(f"    {line}" for line in sketch(kernel)),
            "",
            f"Cost of one sample, and at the defaults{f' with {at} positions' if size else ''} "
            f"(peak memory {price.memory:,} bytes in float32):",
            *(f"    {name:<{words}}  {formula:<{longest}}  {number:,}" for name, formula, number in rows),
            "",
            "Args:",
            *(f"    {line}" for line in _arguments(kernel)),
            '"""',
            "",
        ]
    )


def _arguments(kernel: Kernel) -> list[str]:
    lines = ["channels: C, of the input and the output."]
    if kernel.uses_groups:
        lines.append("groups: G; divides the channels.")
    free = kernel.variables
    lines += [f"width{'' if len(free) == 1 else name[1:]}: {name}, an inner width." for name in free]
    if kernel.fixed_size:
        lines.append(f"size: {', '.join('HW'[: kernel.rank])}, to which the weights over positions belong.")
    return lines


def _constructor(kernel: Kernel, code: SymbolicCode, zero: bool) -> str:
    """The constructor with its checks, parameters and perhaps the buffer `zero`, and their initial values."""
    env = code.env
    arguments = [f"{name}: int = {env[symbol]}" for symbol, name in code.arguments.items()]
    size = tuple(env[symbol] for symbol in "HW"[: kernel.rank])
    if kernel.fixed_size:
        arguments.append(f"size: tuple[{', '.join(['int'] * kernel.rank)}] = {size}")
    lines = [f"def __init__(self, {', '.join(arguments)}) -> None:", "    super().__init__()"]
    for condition, message in code.construction_checks():
        lines += [f"    if {condition}:", f"        raise ValueError({quoted(message)})"]
    lines += [f"    self.{name} = {name}" for name in [*code.arguments.values(), *(["size"] if kernel.fixed_size else [])]]
    params = parameters(kernel, env)
    for param in params:
        number = int(param.name[1:])
        step = kernel.steps[number - 1]
        dims = weight_dims(step, kernel.shapes[step.ins[0]])
        shape = ", ".join(expression(dim, code.constructor_names) for dim in dims)
        lines.append(f"    {code.empty(param.name, shape)}  # {step_text(step)}")
    lines += [f"    {ZERO}"] * zero
    if params:
        lines += ["    self.reset_parameters()", "", "def reset_parameters(self) -> None:"]
        lines += ['    """Weights that keep the scale of what passes (fan-in), drawn from torch\'s generator."""']
    for param in params:
        weight = f"self.{param.name}"
        if not param.std:
            start = {0.0: "zeros_({})", 1.0: "ones_({})"}.get(param.start, f"constant_({{}}, {param.start:.6g})")
            lines.append(f"    nn.init.{start.format(weight)}")
        elif isinstance(kernel.steps[int(param.name[1:]) - 1], Scale):
            lines.append(f"    nn.init.normal_({weight}, std={param.std:.6g})")
        else:
            fan_in = 1
            for count in param.shape[1:]:
                fan_in *= count
            gain = f"{param.std * fan_in**0.5:.6g}"
            lines.append(f"    nn.init.normal_({weight}, std={gain} / {weight}[0].numel() ** 0.5)")
    return indent("\n".join(lines), "    ") + "\n"
