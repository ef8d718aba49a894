"""The colors of pictures: one for each op category, told apart by lightness and hue in every common kind of sight.

A fill is light enough for dark text; its line is the same hue, dark enough to stand on white. Color never carries
meaning alone: every box says in words what it is.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tone:
    """A fill and the line around it, as `#rrggbb`."""

    fill: str
    line: str


@dataclass(frozen=True, slots=True)
class Palette:
    """Everything that a picture paints, so that a dark one is another value of this class."""

    categories: dict[str, Tone]
    clusters: tuple[Tone, ...]  # by level of nesting; deeper ones repeat the last
    background: str
    text: str
    muted: str
    edges: dict[str, str]  # by kind of edge

    def cluster(self, level: int) -> Tone:
        return self.clusters[min(level, len(self.clusters) - 1)]


LIGHT = Palette(
    categories={
        "convolution": Tone("#d5e4f7", "#3a6db3"),
        "linear": Tone("#c9e8e4", "#1d7a74"),
        "attention": Tone("#f9d6d3", "#b0352d"),
        "recurrent": Tone("#f6d9e8", "#ab3a70"),
        "normalization": Tone("#fff2c4", "#9c7a00"),
        "activation": Tone("#fbdfc9", "#b95610"),
        "pooling": Tone("#dcefce", "#4a8428"),
        "resample": Tone("#d2f0f8", "#177f98"),
        "merge": Tone("#f3dcf1", "#8f3f8a"),
        "reshape": Tone("#e8ecf1", "#647181"),
        "regularization": Tone("#ebe7e1", "#80766a"),
        "state": Tone("#efe2cc", "#86652c"),
        "block": Tone("#e9e8fb", "#5550b0"),
        "terminal": Tone("#3f4d61", "#3f4d61"),
    },
    clusters=(Tone("#f5f7f9", "#b4bec9"), Tone("#ebeff3", "#a3aebb"), Tone("#e1e7ed", "#929fae")),
    background="#ffffff",
    text="#1b2430",
    muted="#57636f",
    edges={"main": "#4a5666", "shortcut": "#c2410c", "auxiliary": "#8a94a0"},
)
