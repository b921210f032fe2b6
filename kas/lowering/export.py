"""Modules in the formats that people deploy: ONNX and torch's exported program, with a dynamic batch, checked when written.

Whatever is written is loaded again and run beside the module, at batches of 1, 2 and 5.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from kas.language.errors import KasError

__all__ = ["BATCHES", "FORMATS", "TOLERANCE", "export_module"]

BATCHES = (1, 2, 5)
TOLERANCE = 1e-4  # of the largest element of the output
_TRACED = 2  # a batch of one would be taken for a constant
_ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")

Run = Callable[[Tensor], Tensor]


def export_module(module: nn.Module, shape: tuple[int, ...], path: Path, form: str) -> float:
    """Write a module `[N, *shape] -> [N, ...]` for inference, for any batch, as `onnx` or `exported-program`.

    The module stays as it is; a copy is exported, in float32, on the CPU, in evaluation mode. Returns the largest
    difference of what was written from the module, relative to the largest element of its output.
    Raises KasError if a package is missing, the module has no such form, or the difference is over TOLERANCE.
    """
    if form not in FORMATS:
        raise KasError(f"a module is exported as {' or '.join(FORMATS)}, not {form!r}")
    if form == "onnx":
        _need_onnx()
    module = copy.deepcopy(module).to("cpu", torch.float32).eval()
    inputs = _inputs(shape)
    with torch.no_grad(), _quiet():
        expected = [module(x) for x in inputs]
        run = FORMATS[form](_program(module, shape), path)
        found = [run(x) for x in inputs]
    difference = max(_difference(a, b) for a, b in zip(expected, found, strict=True))
    if not difference <= TOLERANCE:
        raise KasError(f"{path}: its output differs from torch's by {difference:.2g} of the largest element")
    return difference


def _inputs(shape: tuple[int, ...]) -> list[Tensor]:
    """The same normal inputs every time, one for each batch size."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(batch, *shape, generator=generator) for batch in BATCHES]


def _difference(expected: Tensor, found: Tensor) -> float:
    """Largest difference, relative to the largest element; infinity where shapes or what is not finite differ."""
    if expected.shape != found.shape or not torch.equal(expected.isfinite(), found.isfinite()):
        return float("inf")
    finite = expected.isfinite()
    expected, found = expected[finite].double(), found[finite].double()
    if not expected.numel():
        return 0.0
    return float((expected - found).abs().max() / expected.abs().max().clamp(min=1e-12))


def _program(module: nn.Module, shape: tuple[int, ...]) -> torch.export.ExportedProgram:
    example = _inputs(shape)[BATCHES.index(_TRACED)]
    try:
        return torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},), strict=False)
    except Exception as error:  # of many kinds: whatever tracing meets
        raise KasError(f"torch.export does not take this module at inputs of {list(shape)}: {_first_line(error)}") from error


def _to_program(program: torch.export.ExportedProgram, path: Path) -> Run:
    torch.export.save(program, path)
    loaded: Run = torch.export.load(path).module()
    return loaded


def _to_onnx(program: torch.export.ExportedProgram, path: Path) -> Run:
    try:
        written = torch.onnx.export(program, input_names=["input"], output_names=["output"], dynamo=True, verbose=False)
    except Exception as error:  # ConversionError and whatever a conversion meets
        raise KasError(f"ONNX does not take this module: {_first_line(error)}") from error
    assert written is not None
    written.save(path)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # warnings are about its own optimisations
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"input": x.numpy()})[0])


FORMATS: dict[str, Callable[[torch.export.ExportedProgram, Path], Run]] = {
    "onnx": _to_onnx,
    "exported-program": _to_program,
}


def _need_onnx() -> None:
    missing = [name for name in _ONNX_PACKAGES if find_spec(name) is None]
    if missing:
        raise KasError(f"ONNX needs {', '.join(missing)}: pip install 'kas[export]'")


def _first_line(error: BaseException) -> str:
    """The innermost reason, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines: list[str] = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Torch warns of its own use of its own deprecated names while it exports and loads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        yield

