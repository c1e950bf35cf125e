"""Every attention of a Transformer in one picture: a row for each layer, a column for each head.

Three blocks: the encoder's self-attention `(S, S)`, the decoder's `(T, T)`, and what the decoder
looks at in the encoder `(T, S)`; in each map a row is a query, and sums to 1. Vaswani et al. 2017
(arXiv:1706.03762), Figures 3 to 5, show such maps one at a time.
"""

import numpy as np

from seqkeras.analysis.attention_maps import name_tokens, without_padding
from seqkeras.analysis.figures import drawable, figure_pixels, new_figure

MAP, MARGIN = 1.5, 0.9  # inches, of a map's side and for the names of tokens
SMALLEST_POINTS, LARGEST_POINTS = 3.5, 7.0
BLOCKS = {  # name of the maps -> what asks, what is asked
    "encoder": ("source", "source"),
    "decoder": ("target", "target"),
    "cross": ("target", "source"),
}


def plot_heads(maps, source_tokens, target_tokens):
    """Draws the maps of all layers and heads of one example.

    Args:
        maps: Dict from "encoder", "decoder" and "cross", or some of them, to arrays `(L, N, ...)`
            of weights in 0..1: `(S, S)`, `(T, T)` and `(T, S)` of each layer and head.
        source_tokens: Sequence of S str.
        target_tokens: Sequence of T str: what the decoder wrote. Its queries stand one position
            before: the first is START.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: for maps of another name, or whose size is not that of the tokens.
    """
    tokens = {"source": list(source_tokens), "target": list(target_tokens)}
    _check(maps, tokens)
    heads = max(array.shape[1] for array in maps.values())
    layers = [array.shape[0] for array in maps.values()]
    figure = new_figure(MAP * heads + MARGIN, MAP * sum(layers) + MARGIN * len(maps))
    blocks = np.atleast_1d(figure.subfigures(len(maps), 1, height_ratios=layers))
    for block, (name, array) in zip(blocks, maps.items(), strict=True):
        asks, asked = BLOCKS[name]
        title = f"{asks} looks at {'itself' if asks == asked else asked}"
        block.suptitle(title, fontsize=10)
        grid = block.subplots(*array.shape[:2], squeeze=False)
        for layer, row in enumerate(grid):
            for head, axes in enumerate(row):
                axes.imshow(array[layer, head], cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
                axes.set(xticks=[], yticks=[])
                if head == 0:
                    _name(axes.yaxis, tokens[asks])
                if layer == len(grid) - 1:
                    _name(axes.xaxis, tokens[asked], sideways=True)
                if layer == 0:
                    axes.set_title(f"head {head + 1}", fontsize=7)
            row[0].set_ylabel(f"layer {layer + 1}", fontsize=7)
    return figure


def head_images(looks):
    """Draws every example of what `Translator.look` returns, as uint8 arrays `(height, width, 4)`.

    Args:
        looks: Dict of tensors or arrays: "source_tokens" `(B, S)`, "target_tokens" `(B, T)`, and
            the maps `(B, L, N, ...)`.
    """
    looks = {name: np.asarray(value) for name, value in looks.items()}
    examples = range(len(looks["source_tokens"]))
    return [figure_pixels(plot_look({k: v[i] for k, v in looks.items()})) for i in examples]


def plot_look(look):
    """Draws one example of what `Translator.look` returns, cut to its real tokens."""
    blank = np.zeros((len(look["target_tokens"]), len(look["source_tokens"])))
    _, source, target = without_padding(blank, look["source_tokens"], look["target_tokens"])
    sizes = {"source": len(source), "target": len(target)}
    maps = {
        name: np.asarray(look[name])[:, :, : sizes[asks], : sizes[asked]]
        for name, (asks, asked) in BLOCKS.items()
        if name in look
    }
    return plot_heads(maps, source, target)


def _check(maps, tokens):
    if not maps or not set(maps) <= set(BLOCKS):
        raise ValueError(f"maps: expected some of {list(BLOCKS)}, got {list(maps)}.")
    for name, array in maps.items():
        expected = tuple(len(tokens[side]) for side in BLOCKS[name])
        if array.ndim != 4 or array.shape[2:] != expected or 0 in array.shape:
            raise ValueError(
                f"maps: expected {name!r} of shape (layers, heads, *{expected}), none of them 0, "
                f"got {array.shape}."
            )


def _name(axis, tokens, sideways=False):
    labels = [drawable(token, longest=12) for token in tokens]
    name_tokens(axis, labels, MAP, sideways, SMALLEST_POINTS, LARGEST_POINTS)
