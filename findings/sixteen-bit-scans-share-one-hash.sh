#!/usr/bin/env bash
# ImageHash gives different 16-bit scans one and the same hash, so that all of them count as copies.
#
# Versions: imagehash 4.3.2, pillow 13.0.0, numpy 2.4.6, scipy 1.17.1. Seen: 2026-11-28.
# A good guess: the hash of a 16-bit image is that of its 8-bit version, since a perceptual hash looks only at coarse
#   brightness.
# What is true: ImageHash converts to 8 bits with Pillow's convert("L"), which does not scale 16-bit values but cuts them off
#   at 255. A scan whose darkest pixel is above that is white all over, whatever it shows, and its average, difference and
#   perceptual hashes are constant.
# Why it matters: a search for near duplicates in radiographs or microscope images removes all but one, or puts all of them
#   into one group and so into one part of a split. Scale to 8 bits before hashing.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q imagehash==4.3.2 pillow==13.0.0 numpy==2.4.6 scipy==1.17.1

"$work/venv/bin/python" - <<'EOF'
import io
import sys

import imagehash
import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

SCANS = 20
HASHES = (imagehash.average_hash, imagehash.dhash, imagehash.phash)


def scan(number):
    smooth = gaussian_filter(np.random.default_rng(number).normal(size=(128, 128)), 12)
    return (1000 + 60_000 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint16)


def stored(values):
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    return Image.open(stream)


seen = {}
for bits, convert in ((8, lambda values: (values >> 8).astype(np.uint8)), (16, lambda values: values)):
    for make in HASHES:
        different = {str(make(stored(convert(scan(number))))) for number in range(SCANS)}
        seen[bits, make.__name__] = len(different)
        print(f"{make.__name__} of {SCANS} different scans, {bits} bits: different hashes expected {SCANS}, seen "
              f"{len(different)}")
same = all(count == (1 if bits == 16 else SCANS) for (bits, _), count in seen.items())
sys.exit(0 if same else "the behaviour has changed")
EOF
