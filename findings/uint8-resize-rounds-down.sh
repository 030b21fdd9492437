#!/usr/bin/env bash
# ONNX Runtime's linear Resize makes uint8 images darker by half a level each time, but not if antialiasing is on.
#
# Versions: onnx 1.23.2, onnxruntime 1.31.1, numpy 2.4.6. Seen: 2026-11-28.
# A good guess: a resized uint8 image is the resized float image, rounded to the nearest level.
# What is true: without antialiasing the fraction is cut off, so the mean falls by about 0.5 of 255. With antialias=1 the
#   same operation rounds. Both agree with the float result apart from that.
# Why it matters: preprocessing inside a model is often moved to uint8 to send fewer bytes. The shift is small for one image,
#   yet it goes in one direction in every pixel, adds up when sizes are changed step by step, and differs between the two
#   forms. Resize in float, or round by adding 0.5 before.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6

"$work/venv/bin/python" - <<'EOF'
import sys

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

SIDES = (64, 50, 40, 32, 24)


def resized(image, side, antialias):
    kind = helper.np_dtype_to_tensor_dtype(image.dtype)
    sizes = numpy_helper.from_array(np.array([1, 1, side, side], np.int64), "sizes")
    node = helper.make_node("Resize", ["image", "", "", "sizes"], ["out"], mode="linear", antialias=antialias)
    ends = [helper.make_tensor_value_info(name, kind, None) for name in ("image", "out")]
    graph = helper.make_graph([node], "resizing", ends[:1], ends[1:], [sizes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image})[0]


image = np.random.default_rng(0).integers(0, 256, (1, 1, SIDES[0], SIDES[0]), dtype=np.uint8)
once, often = {}, {}
for antialias in (0, 1):
    exact = resized(image.astype(np.float32), SIDES[1], antialias)
    once[antialias] = float((resized(image, SIDES[1], antialias) - exact).mean())
    levels, floats = image, image.astype(np.float32)
    for side in SIDES[1:]:
        levels, floats = resized(levels, side, antialias), resized(floats, side, antialias)
    often[antialias] = float(levels.mean() - floats.mean())
    print(f"antialias={antialias}: mean of uint8 less that of float, expected 0.0: once {once[antialias]:+.2f}, "
          f"in {len(SIDES) - 1} steps {often[antialias]:+.2f} levels")
same = -0.7 < once[0] < -0.3 and often[0] < -1 and abs(once[1]) < 0.1 and abs(often[1]) < 0.3
sys.exit(0 if same else "the behaviour has changed")
EOF
