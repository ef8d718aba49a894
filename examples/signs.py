"""Draw a small set of pictures to try `finetune.py` on: four traffic signs of any size, place, angle and light.

python examples/signs.py PICTURES
"""

from __future__ import annotations

import argparse
from math import cos, pi, sin
from pathlib import Path
from random import Random
from typing import NamedTuple

from PIL import Image, ImageDraw

SIZE = 96  # pixels of a side


class Sign(NamedTuple):
    """A regular polygon in one color."""

    corners: int
    color: tuple[int, int, int]


SIGNS = {
    "keep_right": Sign(40, (30, 90, 200)),
    "no_entry": Sign(40, (200, 30, 40)),
    "stop": Sign(8, (200, 30, 40)),
    "warning": Sign(3, (240, 190, 20)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw a small set of pictures of traffic signs.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=40, metavar="N", help="training pictures of each sign")
    parser.add_argument("--val", type=int, default=15, metavar="N", help="validation pictures of each sign")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    options = parser.parse_args()
    random = Random(options.seed)
    for part, count in (("train", options.train), ("val", options.val)):
        for name, sign in SIGNS.items():
            folder = options.folder / part / name
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                picture(sign, random).save(folder / f"{number:03}.png")


def picture(sign: Sign, random: Random) -> Image.Image:
    """The sign before a plain background."""
    light = random.uniform(0.6, 1.2)
    background = (random.randrange(90, 170), random.randrange(90, 170), random.randrange(90, 170))
    image = Image.new("RGB", (SIZE, SIZE), background)
    radius = random.uniform(0.22, 0.42) * SIZE
    x, y = (random.uniform(radius, SIZE - radius) for _ in range(2))
    turn = random.uniform(-0.15, 0.15) - pi / 2 + (pi / 8 if sign.corners == 8 else 0)
    angles = [turn + 2 * pi * corner / sign.corners for corner in range(sign.corners)]
    outline = [(x + radius * cos(angle), y + radius * sin(angle)) for angle in angles]
    red, green, blue = (min(255, int(light * value)) for value in sign.color)
    ImageDraw.Draw(image).polygon(outline, fill=(red, green, blue), outline="white", width=3)
    return image


if __name__ == "__main__":
    main()
