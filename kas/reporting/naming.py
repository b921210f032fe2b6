"""Names of kernels and layers as people read them, programs as formulas, and what a study replaces, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kas.language.errors import InvalidKernel
from kas.language.kernel import Kernel
from kas.language.primitives import Step
from kas.solvers import Target
from kas.solvers.describing import describe_targets
from kas.zoo.matching import name_of

__all__ = ["formula", "kernel_name", "names_text", "program_formula", "replaced"]

_SIGNS = {"add": "+", "mul": "*", "sub": "-", "matmul": "@", "bmm": "@"}
_LETTERS = "abcdefghijklmnopqrstuvwyz"  # of tensors that have several readers; x is the input


def kernel_name(kernel_hash: str | None, digits: int = 16) -> str:
    """What a kernel is called: the name of a known kernel, else the first `digits` of its hash ; empty for None.

    Known means the very hash: a variant of another inner width is another kernel with other costs, and has no name.

    >>> from kas import zoo
    >>> kernel_name(zoo.get("bottleneck").hash), kernel_name("3f2a90c1d4e5b6a7")
    ('bottleneck', '3f2a90c1d4e5b6a7')
    """
    return "" if kernel_hash is None else name_of(kernel_hash) or kernel_hash[:digits]


def formula(kernel: Kernel, width: int | None = None) -> str:
    """A program in one line: steps after one another joined by `->`, `x` the input, letters for tensors used several times.

    Behind `fc` and `conv` stand the channels where they are not C; a `'` is a transposed operand. width: characters that
    the text has at most, `...` included; None: all.

    >>> from kas import zoo
    >>> formula(zoo.get("depthwise_separable"))
    'conv3x3 depthwise -> relu -> fc'
    >>> formula(zoo.get("inverted_residual"))
    'x + (fc(x0) -> relu -> conv3x3(x0) depthwise -> relu -> fc)'
    >>> formula(zoo.get("ghost"), width=24)
    'a = fc -> relu; a + (...'
    """
    uses = Counter(number for step in kernel.steps for number in step.ins)
    texts, definitions = {0: "x"}, list[str]()
    for number, step in enumerate(kernel.steps, 1):
        texts[number] = _step_text(kernel.rank, step, [texts[source] for source in step.ins])
        if uses[number] > 1:
            letter = _letter(len(definitions))
            definitions.append(f"{letter} = {texts[number]}")
            texts[number] = letter
    text = "; ".join([*definitions, texts[len(kernel.steps)]])
    return text if width is None or len(text) <= width else f"{text[: max(0, width - 3)]}..."


def program_formula(program: str | None, width: int | None = None) -> str:
    """The formula of a program as it is stored; empty if it is no legal one."""
    try:
        return formula(Kernel.from_json(program or ""), width)
    except InvalidKernel:
        return ""


def _step_text(rank: int, step: Step, operands: Sequence[str]) -> str:
    """A step with what it reads in front of it; the input is left out at the start of a chain."""
    attributes = {key: value for key, value in step.to_dict().items() if key not in ("op", "ins", "side")}
    if len(operands) == 1:
        source, words = operands[0], _words(rank, step.op, attributes)
        return words if source == "x" else f"{_grouped(source, _SIGNS.values())} -> {words}"
    transposed = attributes.get("t", [False] * len(operands))
    parts = [_grouped(text) + ("'" if turned else "") for text, turned in zip(operands, transposed, strict=True)]
    if attributes.get("swap"):
        parts.reverse()
    sign = _SIGNS.get(step.op)
    text = f" {sign} ".join(parts) if sign else f"{step.op}({', '.join(operands)})"
    return f"softmax({text})" if attributes.get("softmax") else text


def _words(rank: int, op: str, attributes: Mapping[str, Any]) -> str:
    """A step of one operand, without it: `conv3x3(x0) depthwise`, `mean h,w`, `group G`."""
    to = attributes.get("to", "C")
    channels = "" if to == "C" else f"({to if isinstance(to, str) else ', '.join(to)})"
    if op == "conv":
        sides, dilation = attributes["k"][: max(rank, 1)], max(attributes["d"])
        more = (" depthwise" if attributes["depthwise"] else "") + (f" dilated {dilation}" if dilation > 1 else "")
        return f"conv{'x'.join(map(str, sides))}{channels}{more}"
    name = str(attributes["how"]) if op in ("fold", "pool") else op
    rest = [_value(key, value) for key, value in attributes.items() if key != "to" and (key, value) != ("how", name)]
    return " ".join([name + channels, *(text for text in rest if text)])


def _value(key: str, value: Any) -> str:
    """An attribute's value: axes without the number of their side, lists in one word, for a flag its name or nothing."""
    if isinstance(value, bool):
        return key if value else ""
    if isinstance(value, list):
        return ",".join(_value(key, one) for one in value)
    return str(value).split(".")[-1]


def _grouped(text: str, signs: Iterable[str] = ("->", *_SIGNS.values())) -> str:
    """In brackets, if one of the signs stands outside of all brackets."""
    outside, depth = "", 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        outside += letter if depth == 0 else ""
    return f"({text})" if any(f" {sign} " in outside for sign in signs) else text


def _letter(number: int) -> str:
    """a, b ... z without x, then a1, b1 ..."""
    turn, place = divmod(number, len(_LETTERS))
    return _LETTERS[place] + (str(turn) if turn else "")


def replaced(targets: Mapping[str, Any] | None) -> str:
    """What a study replaces, from its attribute `kas.targets` (`kas.reporting.stored`); empty if there is none.

    >>> replaced({"deployed": [Target(f"layer1.{i}.conv", 64, 64, (8, 8)).to_dict() for i in (0, 1)]})
    'layer1.{0,1}.conv: 2 layers; adapters: 2 none'
    """
    deployed = [Target.from_dict(target) for target in (targets or {}).get("deployed", ())]
    if not deployed:
        return ""
    return f"{names_text([target.name for target in deployed])}: {describe_targets(deployed).removeprefix('replaces ')}"


def names_text(names: Sequence[str]) -> str:
    """Names in one text: `layer1.{0,1}.conv{1,2}` where they are all combinations of such parts, else the first of them."""
    rows = [name.split(".") for name in names]
    if len({len(row) for row in rows}) == 1:
        parts = [list(dict.fromkeys(column)) for column in zip(*rows, strict=True)]
        combinations = 1
        for part in parts:
            combinations *= len(part)
        if combinations == len(set(names)):
            return ".".join(map(_part, parts))
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _part(texts: Sequence[str]) -> str:
    """Alternatives with what they have in common at the start written once."""
    if len(texts) == 1:
        return texts[0]
    common = 0
    while all(len(text) > common and text[: common + 1] == texts[0][: common + 1] for text in texts):
        common += 1
    return f"{texts[0][:common]}{{{','.join(text[common:] for text in texts)}}}"
