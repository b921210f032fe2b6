"""Exports for deployment: ONNX and exported program, equal to torch at several batches, or refused."""

import json
import sys

import pytest
import torch
from lowering_programs import PROGRAMS, SIZES
from torch import nn

from kas import zoo
from kas.language import KasError
from kas.lowering import build
from kas.lowering.dot import dot_text
from kas.lowering.export import BATCHES, FORMATS, METADATA_FILE, OnnxSession, export_module

SUFFIX = {"onnx": "onnx", "exported-program": "pt2"}
FAST = ["involution", "attention", "joint softmax of far axes", "average of a row", "grouped linear"]


def exported(kernel, form, folder):
    size = SIZES[kernel.rank][0]
    torch.manual_seed(0)
    module = build(kernel, channels=16, size=size, groups=4, values=dict.fromkeys(kernel.variables, 8))
    return export_module(module, (16, *size), folder / f"kernel.{SUFFIX[form]}", form)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", FAST)
def test_some_kernels(name, form, tmp_path):
    result = exported(PROGRAMS[name], form, tmp_path)
    assert result.difference < 1e-4
    assert [path.name for path in tmp_path.iterdir()] == [f"kernel.{SUFFIX[form]}"]


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", [*(name for name in PROGRAMS if name not in FAST), *zoo.names()])
def test_every_pattern_and_known_kernel(name, form, tmp_path):
    kernel = PROGRAMS[name] if name in PROGRAMS else zoo.get(name)
    assert exported(kernel, form, tmp_path).difference < 1e-4


def test_the_batch_is_dynamic(tmp_path):
    import onnxruntime

    exported(PROGRAMS["convolution"], "onnx", tmp_path)
    session = onnxruntime.InferenceSession(str(tmp_path / "kernel.onnx"))
    (given,) = session.get_inputs()
    assert (given.name, given.shape) == ("input", ["batch", 16, 6, 10])
    assert session.run(None, {"input": torch.zeros(7, 16, 6, 10).numpy()})[0].shape == (7, 16, 6, 10)


@pytest.mark.parametrize("wrong", BATCHES)
def test_what_differs_at_any_batch_is_refused(wrong, tmp_path, monkeypatch):
    module = nn.Linear(3, 2).requires_grad_(False)
    monkeypatch.setitem(FORMATS, "onnx", lambda *_: lambda inputs: module(inputs) + (len(inputs) == wrong))
    with pytest.raises(KasError, match="its output differs from torch's"):
        export_module(module, (3,), tmp_path / "a.onnx", "onnx")


@pytest.mark.parametrize("form", FORMATS)
def test_weights_with_channels_last(form, tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3)).to(memory_format=torch.channels_last)
    assert export_module(module, (3, 9, 9), tmp_path / f"a.{SUFFIX[form]}", form).difference < 1e-4
    assert not module[0].weight.is_contiguous()


METADATA = {"format": "a/1", "text": "é", "mean": [0.5], "no": None}


def test_metadata_of_onnx(tmp_path):
    export_module(nn.Linear(3, 2), (3,), tmp_path / "a.onnx", "onnx", METADATA)
    assert OnnxSession(tmp_path / "a.onnx").metadata == {
        "kas.format": "a/1",
        "kas.text": "é",
        "kas.mean": "[0.5]",
        "kas.no": "null",
    }


def test_metadata_of_an_exported_program(tmp_path):
    export_module(nn.Linear(3, 2), (3,), tmp_path / "a.pt2", "exported-program", METADATA)
    extra = {METADATA_FILE: ""}
    torch.export.load(tmp_path / "a.pt2", extra_files=extra)
    assert json.loads(extra[METADATA_FILE]) == METADATA


class Tokens(nn.Module):
    """Reads whole numbers below 7 and overwrites them."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(7, 4)

    def forward(self, tokens):
        return self.table(tokens.clamp_(max=6)).mean(1)


@pytest.mark.parametrize("form", FORMATS)
def test_samples_of_the_example_in_their_type(form, tmp_path):
    example = torch.tensor([[0, 1, 2, 9, 4], [6, 9, 4, 3, 2]])
    given = example.clone()
    assert export_module(Tokens(), example, tmp_path / f"a.{SUFFIX[form]}", form).difference < 1e-4
    assert torch.equal(example, given)


@pytest.mark.parametrize("shape", [(7,), (2, 9), (1, 6, 10)])
def test_a_single_sample_as_the_example(shape, tmp_path):
    module = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    module(torch.zeros(2, *shape))
    assert export_module(module, torch.randn(1, *shape), tmp_path / "a.onnx", "onnx").difference < 1e-4


def test_the_module_stays_as_it_is(tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).double().train()
    export_module(module, (3, 5, 5), tmp_path / "a.pt2", "exported-program")
    assert module.training
    assert module[0].weight.dtype == torch.double


def test_what_differs_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(FORMATS, "onnx", lambda program, *_: lambda x: program.module()(x) + 1e-2)
    with pytest.raises(KasError, match=r"its output differs from torch.s by 0\.0"):
        exported(PROGRAMS["convolution"], "onnx", tmp_path)


def test_other_shapes_are_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(FORMATS, "onnx", lambda *_: lambda x: x[:1])
    with pytest.raises(KasError, match="differs from torch's by inf"):
        exported(PROGRAMS["convolution"], "onnx", tmp_path)


def test_a_module_that_cannot_be_traced(tmp_path):
    class Branching(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(KasError, match=r"torch.export does not take this module at inputs of \[3\]"):
        export_module(Branching(), (3,), tmp_path / "a.onnx", "onnx")


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("kas.lowering.export.find_spec", lambda name: None if name == "onnxscript" else sys)
    with pytest.raises(KasError, match="ONNX needs what is not installed here: pip install onnxscript"):
        exported(PROGRAMS["convolution"], "onnx", tmp_path)


def test_unknown_format(tmp_path):
    with pytest.raises(KasError, match="a module is exported as onnx or exported-program, not 'tflite'"):
        export_module(nn.Identity(), (3,), tmp_path / "a", "tflite")


def test_dot():
    text = dot_text(zoo.get("ghost"))
    assert text.startswith("digraph kernel_")
    assert text.count(" -> ") == 6
    assert 't3 [label="3  conv → C 3×3 depthwise\\nC×1×3×3 weights, 9·C·H·W MACs"' in text
    assert 't4 -> t5 [label="C | H, W"]' in text
