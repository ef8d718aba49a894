"""The colors of pictures: one for each op category, told apart by lightness and hue in every common kind of sight.

A fill is light enough for dark text; its line is the same hue, dark enough to stand on white. Color never carries
meaning alone: every box says in words what it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Tone:
    """A fill and the line around it, as `#rrggbb`."""

    fill: str
    line: str


Stroke = Literal["solid", "bold", "dotted"]
"""How the line around a box is drawn; dashes are for what exists in training alone."""


@dataclass(frozen=True, slots=True)
class Palette:
    """Everything that a picture paints, so that a dark one is another value of this class."""

    categories: dict[str, Tone]
    clusters: tuple[Tone, ...]  # by level of nesting; deeper ones repeat the last
    background: str
    text: str
    muted: str
    edges: dict[str, str]  # by kind of edge
    marks: dict[str, Tone]  # of what differs from another network, and of what does not
    accent: str  # of what is selected
    costs: tuple[str, str]  # of no cost, and of the greatest
    strokes: dict[str, Stroke]  # by category, where lightness alone does not tell them apart

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
        "failed": Tone("#fde0de", "#c8102e"),
    },
    clusters=(Tone("#f5f7f9", "#b4bec9"), Tone("#ebeff3", "#a3aebb"), Tone("#e1e7ed", "#929fae")),
    background="#ffffff",
    text="#1b2430",
    muted="#57636f",
    edges={"main": "#4a5666", "shortcut": "#c2410c", "auxiliary": "#8a94a0", "failed": "#c8102e"},
    marks={
        "added": Tone("#d8f0d6", "#2e7d32"),
        "removed": Tone("#fbdcd9", "#c62828"),
        "changed": Tone("#fdeec4", "#b7791f"),
        "same": Tone("#ffffff", "#b4bec9"),
    },
    accent="#1d5fd1",
    costs=("#f6f8fa", "#f0a35e"),
    strokes={},
)

DARK = Palette(
    categories={
        "convolution": Tone("#1f3656", "#6ea3e6"),
        "linear": Tone("#173f3d", "#4fb8ae"),
        "attention": Tone("#54292a", "#ee8a82"),
        "recurrent": Tone("#4c2538", "#e483b0"),
        "normalization": Tone("#453a12", "#d3b03c"),
        "activation": Tone("#4f3019", "#eb9a5a"),
        "pooling": Tone("#26401c", "#86c363"),
        "resample": Tone("#153f4b", "#55bcd6"),
        "merge": Tone("#43264a", "#cf86cb"),
        "reshape": Tone("#2e3742", "#98a6b6"),
        "regularization": Tone("#3b3631", "#b5a999"),
        "state": Tone("#433419", "#cda65f"),
        "block": Tone("#2f2e57", "#9a95ee"),
        "terminal": Tone("#c3cedb", "#c3cedb"),
        "failed": Tone("#57171c", "#ff6b75"),
    },
    clusters=(Tone("#1a2029", "#46525f"), Tone("#212932", "#54616f"), Tone("#29323d", "#647282")),
    background="#12161c",
    text="#e8edf3",
    muted="#a3afbc",
    edges={"main": "#8c99a8", "shortcut": "#f28a4b", "auxiliary": "#6d7885", "failed": "#ff6b75"},
    marks={
        "added": Tone("#1c3f21", "#6fcf76"),
        "removed": Tone("#57171c", "#ff6b75"),
        "changed": Tone("#4a3a10", "#e8b84a"),
        "same": Tone("#12161c", "#54616f"),
    },
    accent="#6aa8ff",
    costs=("#1d242d", "#a8571b"),
    strokes={},
)

_INK = "#1a1a1a"
_WHITE, _PALE, _LIGHT_GREY, _GREY, _DARK_GREY = "#ffffff", "#e6e6e6", "#cccccc", "#b3b3b3", "#9c9c9c"

PRINT = Palette(
    categories={
        "convolution": Tone(_LIGHT_GREY, _INK),
        "linear": Tone(_DARK_GREY, _INK),
        "attention": Tone(_WHITE, _INK),
        "recurrent": Tone(_PALE, _INK),
        "normalization": Tone(_WHITE, _INK),
        "activation": Tone(_PALE, _INK),
        "pooling": Tone(_WHITE, _INK),
        "resample": Tone(_DARK_GREY, _INK),
        "merge": Tone(_GREY, _INK),
        "reshape": Tone(_LIGHT_GREY, _INK),
        "regularization": Tone(_GREY, _INK),
        "state": Tone(_LIGHT_GREY, _INK),
        "block": Tone(_PALE, _INK),
        "terminal": Tone(_INK, _INK),
        "failed": Tone(_GREY, _INK),
    },
    clusters=(Tone("#fafafa", "#8c8c8c"), Tone("#f4f4f4", "#7a7a7a"), Tone("#eeeeee", "#686868")),
    background=_WHITE,
    text="#000000",
    muted="#262626",
    edges={"main": "#6b6b6b", "shortcut": "#000000", "auxiliary": "#6b6b6b", "failed": "#000000"},
    marks={
        "added": Tone(_PALE, _INK),
        "removed": Tone(_DARK_GREY, _INK),
        "changed": Tone(_LIGHT_GREY, _INK),
        "same": Tone(_WHITE, "#8c8c8c"),
    },
    accent="#000000",
    costs=(_WHITE, _DARK_GREY),
    strokes={
        "attention": "bold",
        "recurrent": "bold",
        "state": "bold",
        "failed": "bold",
        "normalization": "dotted",
        "activation": "dotted",
        "reshape": "dotted",
        "regularization": "dotted",
        "resample": "dotted",
    },
)
"""For paper: categories differ in lightness or in the line around them, which a printer without colors keeps."""

Theme = Literal["light", "dark", "print"]
THEMES: dict[Theme, Palette] = {"light": LIGHT, "dark": DARK, "print": PRINT}
