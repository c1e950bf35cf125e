"""The picture of every attention of a Transformer."""

import numpy as np
import pytest

from seqkeras.analysis.figures import figure_pixels
from seqkeras.analysis.head_maps import head_images, plot_heads

SOURCE, TARGET = ["ein", "hund", "</s>"], ["a", "dog"]
RNG = np.random.default_rng(0)


def maps(layers=2, heads=3):
    sizes = {"encoder": (3, 3), "decoder": (2, 2), "cross": (2, 3)}
    return {name: RNG.uniform(size=(layers, heads, *size)) for name, size in sizes.items()}


def test_a_map_for_every_layer_and_head():
    given = maps()
    figure = plot_heads(given, SOURCE, TARGET)
    blocks = figure.subfigs
    assert [block.get_suptitle() for block in blocks] == [
        "source looks at itself",
        "target looks at itself",
        "target looks at source",
    ]
    for block, array in zip(blocks, given.values(), strict=True):
        drawn = [axes.images[0].get_array() for axes in block.axes]
        np.testing.assert_array_equal(drawn, array.reshape(-1, *array.shape[2:]))
    cross = blocks[2].axes
    assert [t.get_text() for t in cross[0].get_yticklabels()] == TARGET
    assert [t.get_text() for t in cross[-1].get_xticklabels()] == SOURCE
    assert not cross[1].get_yticklabels()
    assert figure_pixels(figure).std() > 10


def test_padding_is_cut_off():
    given = {name: array[None] for name, array in maps().items()}
    wide = {
        "encoder": np.pad(given["encoder"], [(0, 0)] * 3 + [(0, 2), (0, 2)]),
        "cross": np.pad(given["cross"], [(0, 0)] * 3 + [(0, 1), (0, 2)]),
    }
    tokens = {
        "source_tokens": np.array([[*SOURCE, "", ""]], dtype=object),
        "target_tokens": np.array([[*TARGET, ""]], dtype=object),
    }
    (image,) = head_images({**wide, **tokens})
    narrow = plot_heads({k: given[k][0] for k in wide}, SOURCE, TARGET)
    np.testing.assert_array_equal(image, figure_pixels(narrow))


def test_what_cannot_be_drawn():
    with pytest.raises(ValueError, match=r"expected some of .*'cross'.* got \['other'\]"):
        plot_heads({"other": np.ones((1, 1, 2, 2))}, SOURCE, TARGET)
    with pytest.raises(ValueError, match=r"'cross' of shape \(layers, heads, \*\(2, 3\)\)"):
        plot_heads({"cross": np.ones((1, 1, 3, 2))}, SOURCE, TARGET)
