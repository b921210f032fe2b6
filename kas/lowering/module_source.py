"""From a kernel with sizes to the text of the module that `build` loads: numbers for sizes, nothing to read twice.

The file for people is that of `kas.lowering.standalone`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from textwrap import indent

from kas.language.costs import Cost, cost, environment
from kas.language.errors import KasError
from kas.language.kernel import Kernel
from kas.lowering.calls import within_kas
from kas.lowering.code import Code
from kas.lowering.optimized import optimized
from kas.lowering.parameters import Parameter, parameters
from kas.lowering.plain import plain
from kas.lowering.rules import ALTERNATIVES
from kas.lowering.wrapping import wrapped

__all__ = ["LOWERINGS", "ZERO", "class_name", "forward_text", "lowering_of", "quoted", "source"]

Lowering = Callable[[Kernel, Mapping[str, int], Code | None], Code]
LOWERINGS: dict[str, Lowering] = {"plain": plain, "optimized": optimized}

_LONGEST = 112  # characters of a line of a method
ZERO = 'self.register_buffer("zero", torch.zeros(()), persistent=False)  # for products to which nothing is added'
_FUNCTIONAL = "import torch.nn.functional as F\n"
_FUNCTIONS = "\nfrom kas.lowering import functions\n"


def source(
    kernel: Kernel,
    *,
    channels: int,
    size: tuple[int, ...],
    groups: int = 1,
    values: Mapping[str, int] | None = None,
    lowering: str = "optimized",
) -> str:
    """The source of a module `[N, channels, *size] -> [N, channels, *size]`; its class is `class_name(kernel)`.

    `lowering` is "optimized" or "plain" (one torch call a step, the reference); both have the same parameters.
    Raises Infeasible with the step, the dim and the value if the kernel does not exist at these sizes.
    """
    env = environment(kernel, channels, size, groups, values or {})
    code = lowering_of(lowering)(kernel, env, None)
    price = cost(kernel, channels, size, groups, values)
    body = within_kas(forward_text(code, str(channels)))
    text = f"import torch\n{_FUNCTIONAL * ('F.' in body)}from torch import Tensor, nn\n"
    text += _FUNCTIONS * ("functions." in body)
    name = class_name(kernel)
    title = f"A kernel of {price.macs:,} MACs and {price.params:,} parameters."
    module = _init(code, parameters(kernel, env), "self.zero" in body) + body
    return f'"""{title}"""\n\n{text}\n\nclass {name}(nn.Module):\n{indent(_docstring(kernel, env, price), "    ")}\n{module}'


def lowering_of(name: str) -> Lowering:
    """The lowering of that name; "optimized, no X" leaves out one of its alternatives. Raises KasError for another."""
    usual, _, without = name.partition(", no ")
    if usual == "optimized" and without in ALTERNATIVES:
        return partial(optimized, without=without)
    if name not in LOWERINGS:
        raise KasError(f"lowering must be one of {', '.join(LOWERINGS)}, not {name!r}")
    return LOWERINGS[name]


def class_name(kernel: Kernel) -> str:
    """The name of a kernel's module class: `Kernel` and the start of its hash."""
    return f"Kernel{kernel.hash[:10]}"


def _docstring(kernel: Kernel, env: Mapping[str, int], price: Cost) -> str:
    """What the module is: shapes, the values of the symbols, cost, the program."""
    axes = ", ".join(["N", str(env["C"]), *"HW"[: kernel.rank]])
    symbols = ", ".join(f"{name} = {value}" for name, value in env.items() if name != "G" or kernel.uses_groups)
    fixed = "built for this size only" if kernel.fixed_size else "for any size at which its dims are integers"
    program = [_program_line(number, step.to_dict()) for number, step in enumerate(kernel.steps, 1)]
    return "\n".join(
        [
            f'"""Maps [{axes}] to [{axes}], {fixed}. Written for {symbols}.'.replace(", built for", "; built for"),
            "",
            f"Cost for one sample at that size: {price.macs:,} MACs, {price.params:,} parameters, "
            f"{price.elementwise:,} element-wise,",
            f"{price.memory:,} bytes of activations at the peak. Tensor 0 is the input; the program:",
            "",
            *(f"    {line}" for line in program),
            '"""',
            "",
        ]
    )


def _program_line(number: int, entry: dict[str, object]) -> str:
    attributes = ", ".join(f"{key}={_plainly(value)}" for key, value in entry.items() if key not in ("op", "ins"))
    ins = entry["ins"]
    assert isinstance(ins, list)
    read = ", ".join(map(str, ins))
    return f"{number}: {entry['op']} of {read}" + (f" ({attributes})" if attributes else "")


def _plainly(value: object) -> str:
    return f"[{', '.join(map(_plainly, value))}]" if isinstance(value, list) else str(value)


def _init(code: Code, params: list[Parameter], zero: bool) -> str:
    """The constructor and, where there are parameters, their initial values; `zero`: with the buffer of that name."""
    if not params and not zero:
        return ""
    lines = ["def __init__(self) -> None:", "    super().__init__()"]
    lines += [f"    {code.empty(p.name, ', '.join(map(str, p.shape)))}" for p in params]
    lines += [f"    {ZERO}"] * zero
    if not params:
        return indent("\n".join(lines), "    ") + "\n\n"
    lines += ["    self.reset_parameters()", "", "def reset_parameters(self) -> None:"]
    lines += ['    """Weights that keep the scale (fan-in, over that of their input), drawn from torch\'s generator."""']
    for p in params:
        lines.append(f"    nn.init.{_initial(p)}")
    return indent("\n".join(lines), "    ") + "\n\n"


def _initial(p: Parameter) -> str:
    """How a parameter is filled: the end of a line."""
    if p.std:
        return f"normal_(self.{p.name}, std={p.std:.8g})"
    if p.start in (0.0, 1.0):
        return f"{'ones' if p.start else 'zeros'}_(self.{p.name})"
    return f"constant_(self.{p.name}, {p.start:.8g})"


def forward_text(code: Code, channels: str) -> str:
    """The forward, indented as in a class: sizes, checks, the lines. `channels`: an expression of the channels built for."""
    checks = code.checks()
    lines = []
    if code.channel_check:
        checks.insert(0, (f"c == {channels}", "this kernel was built for {} channels, not {}", (channels, "c")))
        code.names.add("c")
    if code.names:
        read = ["n", "c", "h", "w"][: code.kernel.rank + 2]
        named = ", ".join(name if name in code.names else "_" for name in read)
        lines.append("n = x.shape[0]" if code.names == {"n"} else f"{named} = x.shape")
    for condition, message, sizes in checks:
        lines += wrapped(f"require({', '.join([condition, string(message), *sizes])})")
    for name, expression, comment in code.lines:
        line = {"": expression, "return": f"return {expression}"}.get(name, f"{name} = {expression}")
        lines += _commented(line, comment)
    return indent("\n".join(["def forward(self, x: Tensor) -> Tensor:", *(f"    {line}" for line in lines)]), "    ") + "\n"


def _commented(line: str, comment: str) -> list[str]:
    """A line with its comment beside it, or above it where that is too long."""
    first, *others = wrapped(line) if "\n" not in line else line.split("\n")
    if not comment:
        return [first, *others]
    beside = f"{first}  # {comment}"
    return [beside, *others] if len(beside) <= _LONGEST else [f"# {comment}", first, *others]


def quoted(text: str) -> str:
    """A message that names values, as the source of an f-string."""
    return f"f{string(text)}"


def string(text: str) -> str:
    """A text as the source of a string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
