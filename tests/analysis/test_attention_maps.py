import matplotlib
import numpy as np
import pytest
import tensorflow as tf
from matplotlib import pyplot

from seqkeras.analysis import attention_images, figures, plot_attention, save_attention
from seqkeras.analysis.attention_maps import without_padding


def weights(targets, sources):
    values = np.random.default_rng(0).random((targets, sources))
    return values / values.sum(1, keepdims=True)


def labels(axis):
    return [tick.get_text() for tick in axis.get_ticklabels()]


def test_each_cell_has_the_colour_of_its_weight_with_the_first_target_on_top():
    attention = weights(3, 5)
    figure = plot_attention(attention, list("abcde"), list("xyz"))
    pixels = figures.figure_pixels(figure)
    for t in range(3):
        for s in range(5):
            column, row = figure.axes[0].transData.transform((s, t))
            pixel = pixels[round(len(pixels) - row), round(column), :3] / 255
            colour = matplotlib.colormaps["Blues"](attention[t, s])[:3]
            np.testing.assert_allclose(pixel, colour, atol=0.01)
    (left, top), (_, bottom) = figure.axes[0].transData.transform([(0, 0), (0, 2)])
    assert top > bottom  # matplotlib counts pixels from below


def test_source_along_the_top_target_down_the_side_specials_as_they_are():
    source, target = ["Haus", "<unk>", "</s>"], ["house", "</s>"]
    axes = plot_attention(weights(2, 3), source, target, title="a $b$").axes[0]
    assert labels(axes.xaxis) == source
    assert labels(axes.yaxis) == target
    assert axes.xaxis.get_ticks_position() == "top"
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) == ("source", "target", "a $b$")


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (150, 90)])
def test_every_size_is_drawn_in_a_bounded_picture(shape):
    targets, sources = shape
    figure = plot_attention(weights(*shape), ["source"] * sources, ["target"] * targets)
    pixels = figures.figure_pixels(figure)
    assert max(pixels.shape) < 1500


def test_labels_of_a_long_map_thin_out_and_stay_at_their_token():
    tokens = [f"w{i}" for i in range(1000)]
    axis = plot_attention(weights(3, 1000), tokens, ["a", "b", "c"]).axes[0].xaxis
    positions = axis.get_ticklocs()
    assert 50 < len(positions) < 500
    assert labels(axis) == [f"w{int(position)}" for position in positions]


def test_short_labels_are_upright_and_long_ones_sideways():
    upright = plot_attention(weights(2, 12), list("3 März 1999!"), ["a", "b"]).axes[0]
    sideways = plot_attention(weights(2, 2), ["Wednesday", "Thursday"], ["a", "b"]).axes[0]
    assert {tick.get_rotation() for tick in upright.get_xticklabels()} == {0.0}
    assert {tick.get_rotation() for tick in sideways.get_xticklabels()} == {90.0}


def test_scripts_and_mathematics_are_drawn_without_a_warning(tmp_path):
    tokens = ["爱", "東京", "ещё", "αβγ", "한국", "हिन्दी", "\U000e0001", "$x^$", "a_b", "\t", ""]
    save_attention(tmp_path / "maps" / "a.png", weights(11, 11), tokens, tokens, title="爱 $x^$")
    image = tf.io.decode_png((tmp_path / "maps" / "a.png").read_bytes())
    assert image.shape[0] > 300


def test_a_character_that_no_font_has_is_named_by_its_number(monkeypatch):
    only = {"DejaVu Sans": figures.installed_fonts()["DejaVu Sans"]}
    monkeypatch.setattr(figures, "installed_fonts", lambda: only)
    figures.has_glyph.cache_clear()
    assert figures.drawable("爱ещё") == "\\u7231ещё"
    figures.has_glyph.cache_clear()


def test_blank_tokens_are_seen_and_long_ones_cut():
    assert [figures.drawable(t) for t in ("", " ", "  ", "a\nb")] == ["␣", "␣", "␣␣", "a\\nb"]
    assert figures.drawable("x" * 100, longest=10) == "x" * 9 + "…"


def test_padding_is_cut_from_batches_of_alignments():
    attention = np.zeros((2, 3, 4))
    attention[0, :2, :4] = weights(2, 4)
    source = np.array(["a", "", "ä", "</s>", "</s>", "<pad>", "<pad>", ""], object).reshape(2, 4)
    target = np.array([["x", "</s>", ""], ["x", "y", "</s>"]], object)
    as_bytes = [text.encode() for text in source[0]]
    rows, sources, targets = without_padding(attention[0], as_bytes, target[0])
    np.testing.assert_array_equal(rows, attention[0, :2])
    assert (sources, targets) == (["a", "", "ä", "</s>"], ["x", "</s>"])
    alignments = {"attention": attention, "source_tokens": source, "target_tokens": target}
    images = attention_images({key: tf.constant(value) for key, value in alignments.items()})
    assert [(image.dtype, image.shape[-1]) for image in images] == [("uint8", 4)] * 2
    expected = figures.figure_pixels(plot_attention(rows, sources, targets))
    np.testing.assert_array_equal(images[0], expected)


def test_no_figure_is_left_to_pyplot():
    plot_attention(weights(2, 2), ["a", "b"], ["c", "d"])
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize(("shape", "source", "target"), [((2, 3), "ab", "xyz"), ((0, 2), "ab", "")])
def test_wrong_shapes(shape, source, target):
    with pytest.raises(ValueError, match="attention of shape \\(target tokens, source tokens\\)"):
        plot_attention(np.zeros(shape), list(source), list(target))
