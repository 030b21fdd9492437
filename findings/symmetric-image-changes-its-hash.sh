#!/usr/bin/env bash
# ImageHash's phash of a mirror-symmetric drawing changes by up to 21 of 64 bits when the drawing is saved as a JPEG, while
# the hash of the same drawing moved two pixels to the side hardly changes.
#
# Versions: ImageHash 4.3.2, Pillow 13.0.0, numpy 2.4.6, scipy 1.17.1. Seen: 2026-11-27.
# A good guess: a good JPEG changes few bits of a perceptual hash, and symmetry does not matter.
# What is true: each bit says whether a coefficient of the cosine transform is above the median. In an image that equals its
#   mirror image, every second column of coefficients is zero. The median is then often zero as well, and half of the bits
#   depend on rounding errors, which a JPEG replaces by others. With the axis two pixels off the centre, the coefficients
#   are not zero.
# Why it matters: many logos, icons, sprites and rendered objects are exactly symmetric. The usual threshold of about 10
#   bits misses most of their JPEG copies, so they get into both the training and the test images. Crop one edge by a few
#   pixels before hashing, or use dhash.
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
from PIL import Image, ImageDraw

SIZE, DRAWINGS, THRESHOLD = 256, 200, 10


def draw(seed, symmetric, offset):
    rng = np.random.default_rng(seed)
    image = Image.new("L", (SIZE, SIZE), 255)
    brush = ImageDraw.Draw(image)
    for _ in range(12):
        x, y, width, height = rng.integers(0, SIZE, 4)
        box = [x - width // 3, y - height // 3, x + width // 3, y + height // 3]
        brush.ellipse(box, fill=int(rng.integers(0, 200)))
    pixels = np.array(image)
    if symmetric:
        pixels[:, SIZE // 2:] = pixels[:, :SIZE // 2][:, ::-1]
    return Image.fromarray(np.roll(pixels, offset, axis=1))


def as_jpeg(image):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95)
    return Image.open(file)


missed = {}
for hash_ in (imagehash.phash, imagehash.dhash):
    for name, symmetric, offset in (("without symmetry", False, 0), ("symmetric", True, 0),
                                    ("symmetric, moved by 2 pixels", True, 2)):
        drawings = [draw(seed, symmetric, offset) for seed in range(DRAWINGS)]
        changed = np.array([hash_(drawing) - hash_(as_jpeg(drawing)) for drawing in drawings])
        missed[hash_.__name__, name] = (changed > THRESHOLD).mean()
        print(f"{hash_.__name__}, {name}: changed bits expected 0 to 4, seen mean {changed.mean():.1f}, "
              f"most {changed.max()}; copies missed at {THRESHOLD} bits expected 0%, "
              f"seen {missed[hash_.__name__, name]:.0%}")
others = [value for key, value in missed.items() if key != ("phash", "symmetric")]
sys.exit(0 if missed["phash", "symmetric"] > 0.2 and max(others) < 0.02 else "the behaviour has changed")
EOF
