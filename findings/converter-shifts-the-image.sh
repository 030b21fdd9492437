#!/usr/bin/env bash
# onnx.version_converter moves linearly resized images when it converts a model from opset 10 to a newer one.
#
# Versions: onnx 1.23.2, onnxruntime 1.31.1, numpy 2.4.6. Seen: 2026-11-28.
# A good guess: the converter rewrites each operation so that the result stays the same, or it refuses the model. It does so
#   for Softmax, whose meaning changed in opset 13.
# What is true: in opset 10, Resize maps output pixel j to input place j / scale. From opset 11 on, the default is the centre
#   of the pixel, (j + 0.5) / scale - 0.5. The converter adds no coordinate_transformation_mode="asymmetric", so the new
#   model reads each pixel up to half an input pixel further to the left. Nearest neighbours by a factor of 2 hide it.
# Why it matters: an old detector or segmenter is converted for a new runtime, passes the checker, and its boxes and masks
#   are shifted. Compare the outputs of both models on an image before replacing one by the other.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6

"$work/venv/bin/python" - <<'EOF'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper, version_converter

SIDE = 8


def resizing(mode, factor):
    scales = numpy_helper.from_array(np.array([1, 1, 1, factor], np.float32), "scales")
    node = helper.make_node("Resize", ["image", "scales"], ["resized"], mode=mode)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 1, SIDE])
    resized = helper.make_tensor_value_info("resized", TensorProto.FLOAT, [1, 1, 1, factor * SIDE])
    graph = helper.make_graph([node], "resizing", [image], [resized], [scales])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 10)], ir_version=8)


def row(model):
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    ramp = np.arange(SIDE, dtype=np.float32).reshape(1, 1, 1, SIDE)
    return session.run(None, {"image": ramp})[0].ravel()


moved = {}
for mode, factor in (("linear", 2), ("linear", 4), ("nearest", 2)):
    before = resizing(mode, factor)
    old, new = row(before), row(version_converter.convert_version(before, 13))
    inner = slice(factor, -factor)  # the borders are clamped
    moved[mode, factor] = float((old - new)[inner].mean())
    print(f"{mode}, factor {factor}: a ramp 0, 1, 2, ... moves by 0 pixels expected, {moved[mode, factor]:.3f} seen")
same = moved["linear", 2] == 0.25 and moved["linear", 4] == 0.375 and moved["nearest", 2] == 0
sys.exit(0 if same else "the behaviour has changed")
EOF
