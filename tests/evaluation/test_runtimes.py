"""Runtimes: the same outputs everywhere, what they refuse, the threads that they use, what they leave behind."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import kas
from kas.evaluation import OutOfMemory, make_model
from kas.evaluation.devices import cpu_threads
from kas.evaluation.runtimes import RUNTIMES, Refusal, installed, make_runtime
from kas.evaluation.runtimes import onnxruntime as onnxruntime_file
from kas.evaluation.settings import ModelSettings


class Block(nn.Module):
    """Small, with a convolution and a norm that a compiler can make one."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.norm(self.conv(x)).relu().mean((2, 3))
        return self.head(pooled)  # type: ignore[no-any-return]


class Undecided(nn.Module):
    """Its way depends on values: no exporter can follow."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1 if x.sum() > 0 else x


def numbers(output: Any) -> np.ndarray[Any, Any]:
    """Of a pass, whatever the runtime returns."""
    return output.numpy() if isinstance(output, Tensor) else output[0].numpy()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def replaced() -> nn.Module:
    torch.manual_seed(0)
    network = make_model(ModelSettings(), 10, (3, 8, 8), {"width": 8, "blocks": 1, "stages": 1})
    return kas.replace(network, kas.zoo.get("ghost"), torch.randn(2, 3, 8, 8), budget={"macs": 0.6})


@pytest.fixture
def example() -> Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def test_names_and_versions() -> None:
    names = [runtime.name for runtime in installed()]
    assert names == [name for name in RUNTIMES if name in names]
    assert {"eager", "onnxruntime"} <= set(names)
    import onnxruntime

    assert make_runtime("onnxruntime").version() == f"onnxruntime {onnxruntime.__version__} (CPU)"
    assert make_runtime("onnxruntime", "cuda:1").version().endswith("(CUDA)")
    assert make_runtime("eager").version() == f"torch {torch.__version__}"
    assert make_runtime("compile").version() == f"inductor of torch {torch.__version__}"
    with pytest.raises(kas.KasError, match="runtime is 'onnx'; it must be one of eager, compile, onnxruntime"):
        make_runtime("onnx")


@pytest.mark.parametrize("name", RUNTIMES)
def test_every_runtime_gives_the_outputs_of_torch(name: str, replaced: nn.Module, example: Tensor) -> None:
    training = replaced.train().training
    before = {key: value.clone() for key, value in replaced.state_dict().items()}
    runtime = make_runtime(name)
    for memory_format in runtime.memory_formats[: 1 if runtime.costly else None]:
        found = numbers(runtime.prepare(replaced, example, memory_format)())
        assert replaced.training is training
        with torch.no_grad():
            expected = replaced.eval()(example).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
        replaced.train()
    assert all(torch.equal(value, before[key]) for key, value in replaced.state_dict().items())
    assert all(parameter.requires_grad for parameter in replaced.parameters())


@pytest.mark.parametrize("name", RUNTIMES)
def test_another_device_than_the_example_is_said(name: str, example: Tensor) -> None:
    with pytest.raises(kas.KasError, match=f"{name} runs on cuda here, but the example is on cpu"):
        make_runtime(name, "cuda").prepare(Block(), example)


def test_memory_formats_of_the_copy(example: Tensor) -> None:
    seen: list[tuple[bool, bool]] = []

    class Watched(Block):
        def forward(self, x: Tensor) -> Tensor:
            last = {"memory_format": torch.channels_last}
            seen.append((x.is_contiguous(**last), self.conv.weight.is_contiguous(**last)))
            return super().forward(x)

    for network in (Watched(), Watched().to(memory_format=torch.channels_last)):  # type: ignore[call-overload]
        for memory_format in ("contiguous", "channels_last"):
            make_runtime("eager").prepare(network, example, memory_format)()
    assert seen == [(False, False), (True, True)] * 2


def test_onnxruntime_refuses_in_one_line(example: Tensor) -> None:
    with pytest.raises(Refusal, match=r"\Aonnxruntime does not take Undecided: \w+: .+\Z") as refused:
        make_runtime("onnxruntime").prepare(Undecided(), example)
    assert refused.value.__cause__ is not None


def test_onnxruntime_refuses_what_one_message_cannot_hold(example: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime_file, "_LARGEST", 100)
    with pytest.raises(Refusal, match="onnxruntime does not take Block: its weights are over 2 GB"):
        make_runtime("onnxruntime").prepare(Block(), example)


def test_onnxruntime_leaves_no_files(example: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    make_runtime("onnxruntime").prepare(Block(), example)()
    assert list(tmp_path.iterdir()) == []


def test_the_thread_count_reaches_onnxruntime(example: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    given: list[tuple[int, int]] = []
    real = onnxruntime.InferenceSession

    def session(model: bytes, options: Any, **others: Any) -> Any:
        given.append((options.intra_op_num_threads, options.inter_op_num_threads))
        return real(model, options, **others)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    for threads in (1, 2):
        with cpu_threads(threads):
            make_runtime("onnxruntime").prepare(Block(), example)
    assert given == [(1, 1), (2, 1)]


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "use device: cpu" in str(make_runtime("onnxruntime", "mps").missing())
    assert "onnxruntime-gpu" in str(make_runtime("onnxruntime", "cuda").missing())
    monkeypatch.setattr(onnxruntime_file, "find_spec", lambda name: None if name == "onnxscript" else object())
    assert make_runtime("onnxruntime").missing() == "onnxruntime needs onnxscript: pip install onnxscript"
    assert [runtime.name for runtime in installed() if runtime.name != "compile"] == ["eager"]
    monkeypatch.setattr("kas.evaluation.runtimes.compile.find_spec", lambda name: None)
    assert "needs triton" in str(make_runtime("compile", "cuda").missing())


def test_compile_without_a_compiler() -> None:
    code = "from kas.evaluation.runtimes import make_runtime; print(make_runtime('compile').missing())"
    script = f"import os; os.environ.update(CXX='/none', PATH='/none'); {code}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert "needs a C++ compiler: install g++" in done.stdout


def test_compile_is_one_frozen_graph_that_uses_the_threads(example: Tensor) -> None:
    from torch._inductor.utils import run_and_get_code

    larger = torch.randn(8, 3, 64, 64)
    for threads in (1, 2):
        with cpu_threads(threads):
            run, (code,) = run_and_get_code(make_runtime("compile").prepare, Block(16), larger)
        assert ("num_threads(2)" in code) is (threads == 2)
        assert re.search(r"\n +\w+, = args\n", code)  # the input alone: weights are constants
        assert numbers(run()).shape == (8, 5)


def test_many_networks_of_a_class_are_all_compiled_and_freed(example: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    real, compiled = torch.compile, []

    def counting(graph: Any, inputs: Any) -> Any:
        compiled.append(weakref.ref(graph))
        return graph.forward

    monkeypatch.setattr(torch, "compile", lambda call, **options: real(call, backend=counting, **options))
    runtime = make_runtime("compile")
    first_network = Block().eval()
    first = runtime.prepare(first_network, example)
    for _ in range(12):  # more than torch keeps of one code
        runtime.prepare(Block(), example)
    assert len(compiled) == 13
    torch.testing.assert_close(first(), first_network(example).detach())
    assert len(compiled) == 13
    gc.collect()
    assert sum(graph() is not None for graph in compiled) <= 2  # the first, and perhaps the last


def test_compile_refuses_in_one_line(example: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(graph: Any, inputs: Any) -> Any:
        raise NotImplementedError("no such op\nmore lines")

    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda call, **options: real(call, backend=broken, **options))
    with pytest.raises(Refusal, match=r"\Acompile does not take Block: NotImplementedError: no such op\Z"):
        make_runtime("compile").prepare(Block(), example)


@pytest.mark.parametrize("name", ["compile", "onnxruntime"])
def test_too_little_memory_is_no_refusal(name: str, example: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(*_: Any, **__: Any) -> Any:
        return torch.empty(2**56, dtype=torch.uint8)

    monkeypatch.setattr(torch, "compile", greedy)
    monkeypatch.setattr(torch.export, "export", greedy)
    with pytest.raises(OutOfMemory, match=f"out of memory while preparing the network for {name}"):
        make_runtime(name).prepare(Block(), example)


def test_what_fails_only_when_it_runs_is_a_refusal(example: Tensor) -> None:
    class Gathers(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1)[:, (x.mean() * 0 + 10**6).long()]

    with pytest.raises(Refusal, match=r"\Aonnxruntime does not take Gathers: .*indices element out of data bounds[^\n]*\Z"):
        make_runtime("onnxruntime").prepare(Gathers(), example)()


def test_an_error_of_the_network_in_eager_is_its_own(example: Tensor) -> None:
    with pytest.raises(RuntimeError, match="shape"):
        make_runtime("eager").prepare(nn.Linear(7, 7), example)()
