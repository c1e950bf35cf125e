import pytest
import tensorflow as tf

from seqkeras.decoding.corpus import run_corpus
from seqkeras.serving.versions import find_version, load_signatures

pytestmark = pytest.mark.tensorflow


def test_the_highest_version_is_found(tmp_path):
    for name in ("1", "2", "10", ".export-11-ab", "notes"):
        (tmp_path / "m" / name).mkdir(parents=True)
        (tmp_path / "m" / name / "saved_model.pb").touch()
    assert find_version(tmp_path / "m") == tmp_path / "m" / "10"
    assert find_version(tmp_path / "m" / "2") == tmp_path / "m" / "2"
    with pytest.raises(FileNotFoundError, match="numbered versions"):
        find_version(tmp_path)


class Served(tf.Module):
    """What an export looks like from outside: named signatures of strings."""

    def __init__(self, mark):
        super().__init__()
        self.mark = tf.Variable(mark)  # lost if the loaded object is

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def translate(self, text):
        return {"text": text + self.mark}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="source"),
            tf.TensorSpec([None], tf.string, name="target"),
        ]
    )
    def score(self, source, target):
        lengths = tf.strings.length(source) * 10 + tf.strings.length(target)
        return {"log_probability": tf.cast(lengths, tf.float32)}


@pytest.fixture
def export(tmp_path):
    for version in ("2", "10"):
        served = Served(f" v{version}")
        names = {"serving_default": served.translate, "score": served.score}
        tf.saved_model.save(served, str(tmp_path / version), signatures=names)
    return tmp_path


def test_the_highest_version_of_an_export_is_loaded(export):
    functions = load_signatures(export)
    assert set(functions) == {"translate", "score"}
    assert run_corpus(functions["translate"], ["a"]) == [{"text": "a v10"}]
    assert run_corpus(functions["score"], ["abc"], ["d"]) == [{"log_probability": 31.0}]


def test_a_version_can_be_named(export):
    functions = load_signatures(str(export / "2"))
    assert run_corpus(functions["translate"], ["a"]) == [{"text": "a v2"}]
