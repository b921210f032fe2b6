"""Modules in the formats that people deploy: ONNX and torch's exported program, with a dynamic batch, checked when written.

Whatever is written is loaded again and run beside the module, at batches of 1, 2 and 5. A kernel that divides by what is
nearly zero can make torch's own float32 differ from float64 by more than the tolerance; what is written may then differ as
much.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from kas.language.errors import KasError

__all__ = [
    "BATCHES",
    "FORMATS",
    "METADATA_FILE",
    "ONNX_PREFIX",
    "TOLERANCE",
    "Exported",
    "OnnxSession",
    "export_module",
    "reason",
]

BATCHES = (1, 2, 5)
TOLERANCE = 1e-4  # of the largest element of the output
_ROUNDINGS = 4  # times the rounding of torch itself
_TRACED = 2  # a batch of one would be taken for a constant
_ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")

METADATA_FILE = "kas.json"
ONNX_PREFIX = "kas."

Run = Callable[..., Tensor]


class Exported(NamedTuple):
    """What was written against torch: both relative to the largest element of the output.

    Attributes:
        difference: the largest difference of its outputs from the module's.
        rounding: that of the module's own outputs in float32 from those in float64.
    """

    difference: float
    rounding: float

    @property
    def equal(self) -> bool:
        """Whether the difference is within TOLERANCE, or no larger than such numbers come out in float32 anyway."""
        return self.difference <= max(TOLERANCE, _ROUNDINGS * self.rounding)


def export_module(
    module: nn.Module,
    example: Tensor | tuple[Tensor, ...] | tuple[int, ...],
    path: Path,
    form: str,
    metadata: Mapping[str, Any] | None = None,
) -> Exported:
    """Write a module `[N, ...] -> [N, ...]` for inference, for any batch, as `onnx` or `exported-program`.

    The module stays as it is; a copy is exported, in float32, on the CPU, in evaluation mode.

    example: a batch of inputs, whose samples the check uses (a tuple: of a module that takes `*inputs`), or the shape of one
        sample, for normal inputs.
    metadata: JSON types by name. ONNX has `kas.NAME` among its metadata properties, texts as they are and all else as JSON;
        an exported program the extra file `kas.json` with all of it.

    Raises KasError if a package is missing, the module has no such form, or what was written is not equal to it.
    """
    if form not in FORMATS:
        raise KasError(f"a module is exported as {' or '.join(FORMATS)}, not {form!r}")
    if form == "onnx":
        _need_onnx()
    module = copy.deepcopy(module).to("cpu", torch.float32).eval()
    for parameter in module.parameters():  # what runs it elsewhere has its own order; torch warns of any other in an archive
        parameter.data = parameter.data.contiguous()
    inputs = _inputs(example)
    with torch.no_grad(), _quiet():
        expected = [module(*_clones(batch)) for batch in inputs]
        run = FORMATS[form](_program(module, inputs[BATCHES.index(_TRACED)]), path, metadata or {})
        found = [run(*_clones(batch)) for batch in inputs]
        exact = [module.double()(*_clones(batch, torch.float64)) for batch in inputs]
    result = Exported(_difference(expected, found), _difference(exact, expected))
    if not result.equal:
        raise KasError(f"{path}: its output differs from torch's by {result.difference:.2g} of the largest element")
    return result


def _inputs(example: Tensor | tuple[Tensor, ...] | tuple[int, ...]) -> list[tuple[Tensor, ...]]:
    """The same inputs every time, for each batch size: samples of the example in turn, or normal ones."""
    tensors = [example] if isinstance(example, Tensor) else [one for one in example if isinstance(one, Tensor)]
    if not tensors:
        generator = torch.Generator().manual_seed(0)
        return [(torch.randn(batch, *example, generator=generator),) for batch in BATCHES]
    given = _clones([tensor.detach().cpu() for tensor in tensors], torch.float32)
    return [tuple(samples[torch.arange(batch) % len(samples)] for samples in given) for batch in BATCHES]


def _clones(inputs: Sequence[Tensor], dtype: torch.dtype | None = None) -> list[Tensor]:
    """Copies of inputs, floating ones in a type."""
    return [one.to(dtype, copy=True) if dtype and one.is_floating_point() else one.clone() for one in inputs]


def _difference(expected: list[Tensor], found: list[Tensor]) -> float:
    """Largest difference over all batches, relative to the largest element; infinity where shapes or non-numbers differ."""
    worst = 0.0
    for one, other in zip(expected, found, strict=True):
        if one.shape != other.shape or not torch.equal(one.isfinite(), other.isfinite()):
            return float("inf")
        finite = one.isfinite()
        a, b = one[finite].double(), other[finite].double()
        if a.numel():
            worst = max(worst, float((a - b).abs().max() / a.abs().max().clamp(min=1e-12)))
    return worst


def _program(module: nn.Module, example: tuple[Tensor, ...]) -> torch.export.ExportedProgram:
    try:
        return torch.export.export(module, example, dynamic_shapes=_any_batch(len(example)), strict=False)
    except Exception as error:  # of many kinds: whatever tracing meets
        shapes = " and ".join(str(list(one.shape[1:])) for one in example)
        raise KasError(f"torch.export does not take this module at inputs of {shapes}: {reason(error)}") from error


def _any_batch(inputs: int) -> Any:
    """The batch axis of each input as the exporter takes it: of a module of one input, or of `*inputs`."""
    each = ({0: torch.export.Dim("batch")},) * inputs
    return each if inputs == 1 else (each,)


def _to_program(program: torch.export.ExportedProgram, path: Path, metadata: Mapping[str, Any]) -> Run:
    torch.export.save(program, path, extra_files={METADATA_FILE: json.dumps(metadata, ensure_ascii=False)})
    loaded: Run = torch.export.load(path).module()
    return loaded


def _to_onnx(program: torch.export.ExportedProgram, path: Path, metadata: Mapping[str, Any]) -> Run:
    try:
        example = tuple(program.example_inputs[0])
        names = [one["name"] for one in metadata.get("inputs", ({"name": "input"},))]
        options: dict[str, Any] = {"input_names": names, "output_names": ["output"], "dynamic_shapes": _any_batch(len(example))}
        written = torch.onnx.export(program, example, dynamo=True, verbose=False, **options)
    except Exception as error:  # ConversionError and whatever a conversion meets
        raise KasError(f"ONNX does not take this module: {reason(error)}") from error
    assert written is not None
    for key, value in metadata.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        written.model.metadata_props[f"{ONNX_PREFIX}{key}"] = text
    written.save(path)
    return OnnxSession(path)


class OnnxSession:
    """An ONNX file of one output, in onnxruntime, on the CPU, with torch's thread count.

    metadata: the properties of the file. takes: the shape and type of its (first) input, for people.
    """

    def __init__(self, path: Path) -> None:
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 3  # warnings are about its own optimisations
        settings.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        self._inputs = [given.name for given in self._session.get_inputs()]
        given = self._session.get_inputs()[0]
        self.takes = f"[{', '.join(map(str, given.shape))}] {given.type}"

    def __call__(self, *inputs: Tensor) -> Tensor:
        """`[N, ...] -> [N, ...]`, all on the CPU."""
        given = {name: tensor.numpy() for name, tensor in zip(self._inputs, inputs, strict=True)}
        return torch.from_numpy(self._session.run(None, given)[0])


FORMATS: dict[str, Callable[[torch.export.ExportedProgram, Path, Mapping[str, Any]], Run]] = {
    "onnx": _to_onnx,
    "exported-program": _to_program,
}


def _need_onnx() -> None:
    missing = [name for name in _ONNX_PACKAGES if find_spec(name) is None]
    if missing:
        raise KasError(f"ONNX needs what is not installed here: pip install {' '.join(missing)}")


def reason(error: BaseException) -> str:
    """The innermost reason, in one line."""
    while inner := error.__cause__ or getattr(error, "inner_exception", None):  # a compiler's own way to say the cause
        error = inner
    lines: list[str] = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Torch warns of its own use of its own deprecated names while it exports and loads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*The axis name: batch will not be used.*")  # of further inputs: it is one
        yield
