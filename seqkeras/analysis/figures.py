"""Figures without a display, and labels that every installed font chain can draw.

Figures are made by matplotlib's objects and never by `pyplot`, whose global state keeps each
figure alive and may open windows. matplotlib is imported where it is used: `import seqkeras` must
not need it.
"""

import functools
import unicodedata
from pathlib import Path

import numpy as np

# DejaVu Sans comes with matplotlib and has Latin, Greek, Cyrillic, Arabic and more, but no CJK.
FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Noto Serif CJK JP",
    "Noto Serif CJK SC",
    "Source Han Sans",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "Hiragino Sans",
    "PingFang SC",
    "Apple SD Gothic Neo",
    "Yu Gothic",
    "Microsoft YaHei",
    "Malgun Gothic",
    "Noto Sans Devanagari",
    "Arial Unicode MS",
    "Unifont",
)


@functools.cache
def installed_fonts():
    """Returns `{family: path}` of those of `FONTS` that this machine has, in their order."""
    from matplotlib.font_manager import fontManager

    paths = {}
    for font in fontManager.ttflist:
        if font.style == "normal" and font.weight in (400, "normal", "regular"):
            paths.setdefault(font.name, font.fname)
    return {family: paths[family] for family in FONTS if family in paths}


@functools.cache
def has_glyph(character):
    """Returns whether an installed font can draw a character."""
    from matplotlib.font_manager import get_font

    return any(get_font(p).get_char_index(ord(character)) for p in installed_fonts().values())


def drawable(label, longest=24):
    """Returns a label that can be drawn: escaped where no font has a glyph, blanks as ␣, elided."""
    if not label.strip():
        return "␣" * max(len(label), 1)
    if len(label) > longest:
        label = label[: longest - 1] + "…"
    return "".join(
        c if c.isprintable() and has_glyph(c) else c.encode("unicode_escape").decode("ascii")
        for c in label
    )


def letters(label):
    """Returns the width of a label in Latin letters; a Chinese character is two wide."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in label)


def new_figure(width, height):
    """Returns an empty `matplotlib.figure.Figure` of a size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=100, layout="constrained")


def figure_pixels(figure):
    """Returns a figure as a uint8 array `(height, width, 4)`, as `tf.summary.image` takes it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())


def save_png(figure, path):
    """Writes a figure as PNG, making the folders above it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png")
