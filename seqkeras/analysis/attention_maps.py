"""Pictures of attention: which source tokens each target token looked at.

Row t of a map holds the weights alpha_{t,1..S} over the source while target token t was produced
(Bahdanau et al. 2015, arXiv:1409.0473, figure 3); each row sums to 1.
"""

import math
import textwrap

import numpy as np

from seqkeras.analysis.figures import (
    drawable,
    figure_pixels,
    installed_fonts,
    letters,
    new_figure,
    save_png,
)
from seqkeras.constants import PAD, SPECIAL_TOKENS

CELL = 0.3  # inches for a token, as long as the whole stays below LONGEST
LONGEST, SHORTEST = 12.0, 1.2  # inches, of either side of a map
LETTER = 0.08  # inches, of a label's letter on average
FONT_POINTS = 9.0
SMALLEST_POINTS = 5.0  # below it, only every second, third, ... token is named


def plot_attention(attention, source_tokens, target_tokens, title=None):
    """Draws one map, the source along the top and the target down the side.

    Long maps shrink to fit a page; where labels would become unreadable, some are left out.

    Args:
        attention: Array `(T, S)` of weights in 0..1.
        source_tokens: Sequence of S str or bytes.
        target_tokens: Sequence of T str or bytes.
        title: Optional str above the map.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: If the shapes do not agree or the map is empty.
    """
    attention = np.asarray(attention)
    expected = (len(target_tokens), len(source_tokens))
    if attention.shape != expected or 0 in expected:
        raise ValueError(
            "Expected attention of shape (target tokens, source tokens), neither empty: "
            f"{expected} here. Got {attention.shape}: cut padding from both, or transpose."
        )
    height, width = (min(max(CELL * tokens, SHORTEST), LONGEST) for tokens in expected)
    source, target = ([drawable(_text(t)) for t in ts] for ts in (source_tokens, target_tokens))
    figure = new_figure(
        width + LETTER * max(map(letters, target)) + 1.5,  # the labels, the colour bar
        height + LETTER * max(map(letters, source)) + 1.0,  # the labels, the title
    )
    axes = figure.add_subplot()
    image = axes.imshow(attention, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
    name_tokens(axes.xaxis, source, width, sideways=not _fit(source, width))
    name_tokens(axes.yaxis, target, height)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("source")
    axes.set_ylabel("target")
    if title is not None:
        text = textwrap.fill(drawable(title, longest=200), int(10 * figure.get_figwidth()))
        axes.set_title(text, fontfamily=list(installed_fonts()), parse_math=False)
    figure.colorbar(image, ax=axes, label="attention weight", ticks=[0.0, 0.5, 1.0], aspect=30)
    return figure


def save_attention(path, attention, source_tokens, target_tokens, title=None):
    """Writes the picture of `plot_attention` to a PNG file, making the folders above it."""
    save_png(plot_attention(attention, source_tokens, target_tokens, title), path)


def without_padding(attention, source_tokens, target_tokens):
    """Returns one example of a batch of alignments, as str and cut to its real tokens.

    Args:
        attention: Array `(T, S)`.
        source_tokens: Sequence of S str or bytes; blanks and `<pad>` at its end are padding.
        target_tokens: Sequence of T str or bytes, in the same way.

    Returns:
        `(attention, source_tokens, target_tokens)`.
    """
    source, target = _real(source_tokens), _real(target_tokens)
    return np.asarray(attention)[: len(target), : len(source)], source, target


def attention_images(alignments):
    """Draws every example of what `Translator.align` returns.

    Args:
        alignments: Dict of tensors or arrays: "attention" `(B, T, S)`, "source_tokens" `(B, S)`,
            "target_tokens" `(B, T)`.

    Returns:
        List of B uint8 arrays `(height, width, 4)`.
    """
    columns = (np.asarray(alignments[k]) for k in ("attention", "source_tokens", "target_tokens"))
    return [
        figure_pixels(plot_attention(*without_padding(*row))) for row in zip(*columns, strict=True)
    ]


def _text(token):
    return token.decode("utf-8", errors="replace") if isinstance(token, bytes) else str(token)


def _real(tokens):
    tokens = [_text(token) for token in tokens]
    while tokens and tokens[-1] in ("", SPECIAL_TOKENS[PAD]):
        tokens.pop()
    return tokens


def _fit(labels, inches):
    """Returns whether neighbouring labels, written horizontally, would not touch."""
    widest = max(
        (letters(a) + letters(b)) / 2 for a, b in zip(labels, labels[1:] or labels, strict=False)
    )
    return LETTER * widest <= inches / len(labels)


def name_tokens(
    axis, labels, inches, sideways=False, smallest=SMALLEST_POINTS, largest=FONT_POINTS
):
    """Puts the names of tokens beside an axis of a map; where they would touch, not all of them.

    Args:
        axis: `matplotlib.axis.Axis`, with a tick at 0, 1, ... for each token.
        labels: Sequence of at least one drawable str.
        inches: float, the length of the axis.
        sideways: If True, the names are turned by 90 degrees.
        smallest, largest: float, points of the letters.
    """
    points = 72.0 * inches / len(labels)  # between two tokens
    every = math.ceil(smallest / points)
    axis.set_ticks(
        range(0, len(labels), every),
        labels[::every],
        rotation=90 if sideways else 0,
        fontsize=min(largest, points * every),
        fontfamily=list(installed_fonts()),
        parse_math=False,  # a token may hold a dollar sign
    )
