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
    marks: dict[str, Tone]  # of what differs from another network, and of what does not
    accent: str  # of what is selected
    costs: tuple[str, str]  # of no cost, and of the greatest

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
)
