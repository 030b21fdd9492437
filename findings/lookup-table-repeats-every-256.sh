#!/usr/bin/env bash
# pydicom's apply_voi_lut looks up only the lowest 8 bits of a pixel if the entries of the lookup table have 8 bits, so a
# 12-bit X-ray image comes back as 16 repeated ramps.
#
# Versions: pydicom 3.0.2, numpy 2.4.6. Seen: 2026-11-27.
# A good guess: a table of 4,096 entries maps a 12-bit pixel to one of 4,096 values, whatever number of bits the entries
#   have. "Bits per entry" describes the output.
# What is true: the position in the table is stored in the data type of the entries. For 8 bits, position 256 becomes 0.
#   The same table declared with 10 bits per entry is applied correctly. This concerns tables with one entry per 16-bit
#   word. The standard now asks for two 8-bit entries per word and notes that both kinds of file exist (DICOM correction
#   CP-522). Two entries per word raise an error in pydicom.
# Why it matters: the table reproduces the display that the manufacturer intended, and many pipelines apply it before they
#   scale images to [0, 1]. After scaling, the range looks plausible, and only a look at the images shows the ramps.
#   Compare the result with `table[pixels]`.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q pydicom==3.0.2 numpy==2.4.6

"$work/venv/bin/python" - <<'EOF'
import sys

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels import apply_voi_lut
from pydicom.sequence import Sequence

pixels = np.arange(4096, dtype=np.uint16)  # all values of a 12-bit detector
table = pixels // 16  # the usual reduction to 8 bits


def apply(bits):
    item, image = Dataset(), Dataset()
    item.add_new("LUTDescriptor", "US", [len(table), 0, bits])
    item.add_new("LUTData", "US", table.tolist())
    image.VOILUTSequence = Sequence([item])
    return apply_voi_lut(pixels, image)


wrong = {}
for bits in (8, 10):
    seen = apply(bits)
    wrong[bits] = int((seen != table).sum())
    print(f"{bits} bits per entry: largest value expected {table.max()}, seen {seen.max()}; "
          f"wrong pixels expected 0, seen {wrong[bits]} of {len(pixels)}")
    print("  pixels 0, 255, 256, 2000, 4095: expected", table[[0, 255, 256, 2000, 4095]].tolist(),
          "seen", seen[[0, 255, 256, 2000, 4095]].tolist())
repeats = np.array_equal(apply(8), table[pixels % 256])
sys.exit(0 if repeats and wrong[8] > 0 and wrong[10] == 0 else "the behaviour has changed")
EOF
