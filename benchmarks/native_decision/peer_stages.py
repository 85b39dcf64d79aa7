"""One window encoded and 224 tokens decoded by ONNX Runtime or OpenVINO. Run in the peers' environment:

    python peer_stages.py FOLDER onnxruntime:int8

Prints one line of JSON: processor milliseconds. Nothing is searched: the tokens are those that are known, so a peer has
neither candidates to sort nor beams to move, which the engines of `own_stages` do.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BATCH_TOKENS = 96
"""Decoded of eight windows at once: a usual window has no more."""


class OnnxRuntime:
    """`float32`, or `int8`: dynamic quantisation, weights per channel, by its own tool."""

    def __init__(self, places: dict[str, Path], kind: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        if kind == "int8":
            places = {name: self.quantised(place) for name, place in places.items()}
        self.encoder, self.step = (
            onnxruntime.InferenceSession(places[name], options, providers=["CPUExecutionProvider"])
            for name in ("encoder", "step")
        )
        self.names = [given.name for given in self.step.get_inputs()]
        self.memory = onnxruntime.OrtValue.ortvalue_from_numpy

    @staticmethod
    def quantised(place: Path) -> Path:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        target = place.with_suffix(".int8.onnx")
        if not target.exists():
            quantize_dynamic(
                place, target, per_channel=True, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm"]
            )
        return target

    def encode(self, mel: np.ndarray) -> list[np.ndarray]:
        return list(self.encoder.run(None, {"mel": mel}))

    def kept(self, arrays: Sequence[np.ndarray]) -> list[Any]:
        return [self.memory(array) for array in arrays]

    def follow(self, tokens: np.ndarray, place: int, audio: list[Any], past: list[Any]) -> tuple[np.ndarray, list[Any]]:
        values = [self.memory(tokens), self.memory(np.array([place])), *audio, *past]
        found = self.step.run_with_ort_values(None, dict(zip(self.names, values, strict=True)))
        return found[0].numpy(), found[1:]


class OpenVino:
    """`float32`; `bfloat16`: the plugin's inference precision; `int8`: weights by NNCF, activations by the plugin as it
    goes; `int8-static`: weights and activations of the encoder by NNCF, calibrated on the window itself.

    The decoder's step is compiled without the plugin's fused kernels ("snippets"): OpenVINO 2026.4.1 computes attention
    of one query to 16 keys or more wrongly where their number may change (seen with AVX-512), PyTorch's
    own `scaled_dot_product_attention` too. Without them it is right, and takes less time.
    """

    def __init__(self, places: dict[str, Path], kind: str) -> None:
        import openvino as ov

        core = ov.Core()
        config = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
        config["INFERENCE_PRECISION_HINT"] = "bf16" if kind == "bfloat16" else "f32"
        encoder, step = (core.read_model(places[name]) for name in ("encoder", "step"))
        if kind.startswith("int8"):
            import nncf

            mel = np.load(places["step"].with_name("window.npz"))["mel"][None]
            if kind == "int8-static":
                encoder = nncf.quantize(
                    encoder, nncf.Dataset([mel]), model_type=nncf.ModelType.TRANSFORMER, subset_size=1
                )
            else:
                encoder = nncf.compress_weights(encoder, mode=nncf.CompressWeightsMode.INT8_SYM)
            step = nncf.compress_weights(step, mode=nncf.CompressWeightsMode.INT8_SYM)
        self.names = [given.get_any_name() for given in step.inputs]
        self.encoder = core.compile_model(encoder, "CPU", config).create_infer_request()
        compiled = core.compile_model(step, "CPU", config | {"SNIPPETS_MODE": "DISABLE"})
        self.steps = [compiled.create_infer_request() for _ in range(2)]  # outputs of one are the inputs of the other
        self.tensor = ov.Tensor

    def encode(self, mel: np.ndarray) -> list[np.ndarray]:
        return [np.array(found) for found in self.encoder.infer({"mel": mel}).values()]

    def kept(self, arrays: Sequence[np.ndarray]) -> list[Any]:
        return [self.tensor(np.ascontiguousarray(array)) for array in arrays]

    def follow(self, tokens: np.ndarray, place: int, audio: list[Any], past: list[Any]) -> tuple[np.ndarray, list[Any]]:
        request = self.steps[place % 2]
        values = [self.tensor(tokens), self.tensor(np.array([place])), *audio, *past]
        request.infer(dict(zip(self.names, values, strict=True)), share_inputs=True)
        logits, *grown = (request.get_output_tensor(n) for n in range(1 + len(past)))
        return np.array(logits.data), grown


def spent_ms(call: Callable[[], Any], repeats: int) -> float:
    """Of the processor, by all threads of the process; the median."""
    found = []
    for _ in range(repeats):
        began = time.process_time()
        call()
        found.append(1000 * (time.process_time() - began))
    return statistics.median(found)


def decode(engine: Any, window: Any, encoded: list[np.ndarray], windows: int, beams: int) -> tuple[float, list[int]]:
    """Processor milliseconds of a token of a window, and the likeliest token in the place of each, of the first row."""
    wanted = window["tokens"].tolist()[: BATCH_TOKENS if windows > 1 else None]
    given = [*window["prompt"].tolist(), *wanted]
    heads, rows, first = int(window["heads"]), windows * beams, len(window["prompt"]) - 1
    audio = engine.kept([np.repeat(array, windows, 0) for array in encoded])
    past = engine.kept([np.zeros((rows, heads, 0, 64), np.float32) for _ in encoded])
    told = []
    began = time.process_time()
    for place, token in enumerate(given[:-1]):
        logits, past = engine.follow(np.full((rows, 1), token, np.int64), place, audio, past)
        if place >= first:
            told.append(int(logits[0].argmax()))
    return 1000 * (time.process_time() - began) / (windows * len(wanted)), told


def main() -> None:
    folder, (runtime, kind) = Path(sys.argv[1]), sys.argv[2].split(":")
    sys.path.insert(0, str(Path(__file__).parent))
    from peer_network import export

    window = np.load(folder / "window.npz")
    mel = window["mel"][None]
    engine = {"onnxruntime": OnnxRuntime, "openvino": OpenVino}[runtime](export(folder), kind)
    encoded = engine.encode(mel)  # the first is not counted
    found = {"encode_ms": spent_ms(lambda: engine.encode(mel), 3)}
    found["greedy_ms"], written = decode(engine, window, encoded, 1, 1)
    found["alike"] = float(np.mean(np.array(written) == window["tokens"]))
    for name, windows in (("beam_ms", 1), ("batch_ms", 8)):
        found[name], _ = decode(engine, window, encoded, windows, 5)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
