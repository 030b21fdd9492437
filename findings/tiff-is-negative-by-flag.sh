#!/usr/bin/env bash
# OpenCV reads one 16-bit TIFF file as an image or as its negative depending on the flag of imread, and Pillow depending on
# the number of bits.
#
# Versions: opencv-python-headless 5.0.0.93, Pillow 13.0.0, tifffile 2026.3.3, numpy 2.4.6. Seen: 2026-11-27.
# A good guess: the TIFF tag PhotometricInterpretation says whether zero is white or black. A library either applies it or
#   leaves the stored numbers alone, and does the same for every file.
# What is true: both libraries invert 8-bit files in which zero is white. For 16-bit files they return the stored numbers,
#   but OpenCV inverts these as well if it is asked for 8-bit grey with IMREAD_GRAYSCALE. tifffile never inverts.
# Why it matters: some scanners and X-ray readers write such files. If a data set has 8-bit and 16-bit exports, or training
#   and serving use different flags, some images are negatives of the others. There is no error, and shapes and ranges are
#   correct. Check the tag, and read all files with one function that inverts where the tag is 0.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q opencv-python-headless==5.0.0.93 pillow==13.0.0 tifffile==2026.3.3 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'EOF'
import sys

import cv2
import numpy as np
import tifffile
from PIL import Image

READERS = {
    "Pillow": lambda path: np.asarray(Image.open(path)),
    "OpenCV, IMREAD_UNCHANGED": lambda path: cv2.imread(path, cv2.IMREAD_UNCHANGED),
    "OpenCV, IMREAD_GRAYSCALE": lambda path: cv2.imread(path, cv2.IMREAD_GRAYSCALE),
    "tifffile": tifffile.imread,
}


def ramp(dtype):  # stored numbers grow from left to right
    return np.tile(np.linspace(0, np.iinfo(dtype).max, 64), (64, 1)).astype(dtype)


def direction(image):
    return "darker" if float(image[0, 0]) > float(image[0, -1]) else "brighter"


seen = {}
for meaning, expected in (("minisblack", "brighter"), ("miniswhite", "darker")):
    for dtype in (np.uint8, np.uint16):
        path = f"{meaning}-{dtype.__name__}.tif"
        tifffile.imwrite(path, ramp(dtype), photometric=meaning)
        for reader, read in READERS.items():
            seen[meaning, dtype.__name__, reader] = side = direction(read(path))
            print(f"{meaning}, {dtype.__name__}, {reader}: to the right expected {expected}, seen {side}")
white = {key[1:]: value for key, value in seen.items() if key[0] == "miniswhite"}
inverted = {("uint8", "Pillow"), ("uint8", "OpenCV, IMREAD_UNCHANGED"), ("uint8", "OpenCV, IMREAD_GRAYSCALE"),
            ("uint16", "OpenCV, IMREAD_GRAYSCALE")}
same = {key for key, value in white.items() if value == "darker"} == inverted
sys.exit(0 if same else "the behaviour has changed")
EOF
