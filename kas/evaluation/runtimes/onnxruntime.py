"""ONNX Runtime, in this process: the network is exported for the example's shape and never touches the disk."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from kas.evaluation.runtimes._base import Refusal, Runtime
from kas.replacement._torchvision import ensure_importable
from kas.replacement.example import arguments

__all__ = ["OnnxRuntime"]

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_LARGEST = 2**31 - 1  # bytes that one protobuf message can have


class OnnxRuntime(Runtime):
    """An `InferenceSession` on the CPU or on CUDA. Input and output stay on the device."""

    name = "onnxruntime"
    memory_formats = ("contiguous",)  # it arranges tensors by itself

    def missing(self) -> str | None:
        absent = [name for name in _PACKAGES if find_spec(name) is None]
        if absent:
            return f"onnxruntime needs {' '.join(absent)}: pip install {' '.join(absent)}"
        if self.device.type not in ("cpu", "cuda"):
            return f"onnxruntime runs on cpu and cuda here, not on {self.device.type}: use device: cpu"
        import onnxruntime

        if self._provider not in onnxruntime.get_available_providers():
            return "onnxruntime has no CUDA provider: pip uninstall onnxruntime, then pip install onnxruntime-gpu"
        return None

    def version(self) -> str:
        import onnxruntime

        return f"onnxruntime {onnxruntime.__version__} ({self.device.type.upper()})"

    @property
    def _provider(self) -> str:
        return "CUDAExecutionProvider" if self.device.type == "cuda" else "CPUExecutionProvider"

    def _prepare(self, network: nn.Module, example: Any) -> Callable[[], Any]:
        with self._refusing(network), torch.no_grad():
            ensure_importable()  # of torchvision, which the exporter looks at
            args, kwargs = arguments(example)
            program = torch.export.export(network, args, kwargs, strict=False)
            size = sum(tensor.nbytes for tensor in [*program.state_dict.values(), *program.constants.values()])
            if size > _LARGEST:
                raise Refusal(f"onnxruntime does not take {type(network).__name__}: its weights are over 2 GB")
            written = torch.onnx.export(program, args, kwargs=kwargs, dynamo=True, verbose=False)
            assert written is not None
            session = self._session(written.model_proto.SerializeToString())
            binding = self._bound(session, [*args, *kwargs.values()])

        def run() -> Any:
            session.run_with_iobinding(binding)
            return binding.get_outputs()

        return self._guarded(run, network)

    def _session(self, model: bytes) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # warnings are about its own optimisations
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        # By default its threads wait for the next pass at full load: a candidate's would take cores from the original.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        providers: list[Any] = ["CPUExecutionProvider"]
        if self.device.type == "cuda":
            onnxruntime.preload_dlls()  # of torch's packages
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": self.device.index or 0}))
        session = onnxruntime.InferenceSession(model, options, providers=providers)
        if self._provider not in session.get_providers():  # it falls back to the CPU in silence
            raise Refusal(f"onnxruntime cannot start its CUDA provider on {self.device}; is its CUDA version that of torch?")
        return session

    def _bound(self, session: Any, example: list[Tensor]) -> Any:
        """Inputs and outputs on the device, so that a run copies neither."""
        import onnxruntime

        binding = session.io_binding()
        place = (self.device.type, self.device.index or 0)
        for given, tensor in zip(session.get_inputs(), example, strict=True):
            value = onnxruntime.OrtValue.ortvalue_from_numpy(tensor.numpy(force=True), *place)
            binding.bind_ortvalue_input(given.name, value)
        for output in session.get_outputs():
            binding.bind_output(output.name, *place)
        return binding
