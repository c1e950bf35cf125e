import warnings

import pytest
import tensorflow as tf

from seqkeras.data.labelled_text import read_labelled_tfds, read_labelled_tsv

pytestmark = pytest.mark.tensorflow


def test_the_label_comes_first_and_further_tabs_are_text(tmp_path):
    (tmp_path / "train.tsv").write_text("good\tI like it\n\nbad\tno\tthanks\nbad\t\n")
    examples = read_labelled_tsv(tmp_path / "train.tsv")
    assert examples == [("I like it", "good"), ("no\tthanks", "bad"), ("", "bad")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected lines of label<TAB>text, got none"),
        ("\n\n", "expected lines of label<TAB>text, got none"),
        ("good\tyes\nno tab\n", "line 2: expected label<TAB>text, got 'no tab'"),
        ("\tno label\n", "line 1: expected label<TAB>text"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, text, message):
    (tmp_path / "train.tsv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_labelled_tsv(tmp_path / "train.tsv")


@pytest.fixture
def tfds():
    """tensorflow-datasets; what it warns of itself is not ours to fix."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield pytest.importorskip("tensorflow_datasets")


def test_tfds_labels_are_names(tfds):
    def as_dataset(*_, **__):
        return tf.data.Dataset.from_tensor_slices({"text": ["fine", "dull"], "label": [1, 0]})

    with tfds.testing.mock_data(as_dataset_fn=as_dataset):
        examples = read_labelled_tfds("imdb_reviews", "test")
    assert examples == [("fine", "pos"), ("dull", "neg")]


@pytest.mark.usefixtures("tfds")
def test_tfds_sets_need_text_and_label(tmp_path):
    with pytest.raises(ValueError, match="tfds:mnist is no text classification set"):
        read_labelled_tfds("mnist", "train", tmp_path)
