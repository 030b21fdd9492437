"""Pictures to be framed: drawings, photographs of one thing, noise, and odd sizes; no two alike."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def drawing(random: np.random.Generator) -> Image.Image:
    """Return strokes on paper of any size and polarity, sometimes transparent, blurred or coloured."""
    width, height = (int(length) for length in random.integers(5, 400, 2))
    paper, ink = (255, 0) if random.random() < 0.5 else (0, 255)
    mode = str(random.choice(["L", "RGB", "RGBA"]))
    clear = mode == "RGBA" and random.random() < 0.5
    background = {"L": paper, "RGB": (paper,) * 3, "RGBA": (paper, paper, paper, 0 if clear else 255)}[mode]
    image = Image.new(mode, (width, height), background)
    draw = ImageDraw.Draw(image)
    for _ in range(int(random.integers(1, 5))):
        points = [(float(x), float(y)) for x, y in random.uniform((0, 0), (width, height), (4, 2))]
        tint = int(random.integers(0, 60))
        colour = {
            "L": abs(ink - tint),
            "RGB": (ink, abs(ink - tint), ink),
            "RGBA": (ink, ink, abs(ink - tint), 255),
        }
        draw.line(points, fill=colour[mode], width=int(random.integers(1, 25)), joint="curve")
    if random.random() < 0.3 and mode != "RGBA":
        image = image.filter(ImageFilter.GaussianBlur(float(random.uniform(0.5, 3.0))))
    return image


def photograph(random: np.random.Generator) -> Image.Image:
    """Return noise around a bright or dark thing, in colour."""
    width, height = (int(length) for length in random.integers(10, 300, 2))
    pixels = random.normal(random.uniform(30, 225), random.uniform(1, 20), (height, width, 3))
    top, left = int(random.integers(0, height // 2 + 1)), int(random.integers(0, width // 2 + 1))
    pixels[top : top + height // 2, left : left + width // 2] += random.uniform(-200, 200)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def pictures(count: int, seed: int) -> list[Image.Image]:
    """Return a number of images, two drawings for each photograph."""
    random = np.random.default_rng(seed)
    return [photograph(random) if number % 3 == 2 else drawing(random) for number in range(count)]
