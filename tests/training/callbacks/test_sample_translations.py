import html
import re

import numpy as np
import pytest
import tensorflow as tf

from seqkeras.training.callbacks.sample_translations import SampleTranslations, plain
from tests.training.callbacks.tensorboard_readers import read_events, text_array_to_html

TEXTS = [
    "ein <unk> Satz </s>",
    "*a* _b_ __c__ `d` ~~e~~ x_y_z",
    "[link](http://example.org) ![i](j) <http://example.org>",
    "1. eins",
    "1999-02-03",
    "- # > + = * ",
    "# kein Titel",
    "> kein Zitat",
    "a | b |--- & &amp; &lt; \\ \\* {x} $5$ 'q' \"q\"",
    "    vier Blanks\tund\nZeilen",
    "我们爱 ελληνικά ещё ⁇",
    "===",
    "a...b -- c",
    "",
]


def shown(markup):
    return html.unescape(re.sub(r"<[^>]+>", "", markup)).strip()


def write(directory, samples, step=7):
    writer = tf.summary.create_file_writer(str(directory))
    with writer.as_default():
        samples.write(step)
    writer.close()
    return read_events(directory)


@pytest.mark.parametrize("text", TEXTS)
def test_tensorboard_shows_the_text_as_it_is(text):
    markup = text_array_to_html(np.array([plain(text).encode()]), enable_markdown=True)
    assert shown(markup) == " ".join(text.split())


def test_table_has_a_row_for_each_example(tmp_path):
    samples = SampleTranslations(
        ["a <b>", "c"], translate=lambda texts: [t.upper() for t in texts], references=["d", "e|f"]
    )
    events = write(tmp_path, samples)
    (event,) = events.Tensors("translations")
    assert event.step == 7
    markup = text_array_to_html(tf.make_ndarray(event.tensor_proto), enable_markdown=True)
    cells = [[shown(c) for c in re.findall(r"<td>.*?</td>", row, re.S)]
             for row in re.findall(r"<tr>.*?</tr>", markup, re.S)]  # fmt: skip
    assert cells == [
        ["source", "reference", "translation"],
        ["a <b>", "d", "A <B>"],
        ["c", "e|f", "C"],
    ]


def test_images_of_any_size_are_written_as_they_are(tmp_path):
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, shape, "uint8") for shape in [(5, 7, 4), (9, 3, 3)]]
    samples = SampleTranslations(["a", "b"], translate=list, images=lambda texts: pictures)
    events = write(tmp_path, samples)
    for number, picture in enumerate(pictures):
        (event,) = events.Tensors(f"attention/{number}")
        width, height, png = tf.make_ndarray(event.tensor_proto)
        assert (int(height), int(width)) == picture.shape[:2]
        np.testing.assert_array_equal(tf.io.decode_png(png), picture)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="at least one source"):
        SampleTranslations([], translate=list)
    with pytest.raises(ValueError, match="each of the 2 sources, got 1"):
        SampleTranslations(["a", "b"], translate=list, references=["a"])
