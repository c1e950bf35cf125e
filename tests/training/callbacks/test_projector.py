import csv
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from seqkeras.training.callbacks.projector import EmbeddingProjector
from tests.training.callbacks.tensorboard_readers import projector_client

WORDS = ["<pad>", "<s>", "</s>", "<unk>", "die", "tab\there", "two\nlines", " ", "爱", '"q"']
LABELS = ["<pad>", "<s>", "</s>", "<unk>", "die", "tab\\there", "two\\nlines", "␣", "爱", '"q"']


@pytest.fixture
def embeddings():
    values = np.random.default_rng(0).normal(size=(len(WORDS), 3)).astype("float32")
    return keras.Variable(values, name="embeddings")


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE, lineterminator="\n"))


def test_tensorboard_serves_the_vectors_and_labels(tmp_path, embeddings):
    run = tmp_path / "train"
    tf.summary.create_file_writer(str(run)).close()
    EmbeddingProjector(embeddings, WORDS).write(run)
    client = projector_client(tmp_path)
    get = "/data/plugin/projector/{}?run=train&name=target_embeddings".format
    assert json.loads(client.get("/data/plugin/projector/runs").text) == ["train"]
    (info,) = json.loads(client.get(get("info")).text)["embeddings"]
    assert info["tensorShape"] == [len(WORDS), 3]
    tensor = np.frombuffer(client.get(get("tensor")).data, "float32").reshape(-1, 3)
    np.testing.assert_allclose(tensor, embeddings.numpy(), rtol=1e-4)
    header, *rows = client.get(get("metadata")).get_data().decode().rstrip("\n").split("\n")
    assert header == "token\tid"
    assert rows == [f"{label}\t{i}" for i, label in enumerate(LABELS)]


def test_counts_choose_the_most_frequent_tokens_and_drop_the_unseen(tmp_path, embeddings):
    counts = [0, 0, 7, 0, 9, 1, 0, 7, 3, 2]
    EmbeddingProjector(embeddings, WORDS, counts, limit=4).write(tmp_path)
    assert rows_of(tmp_path / "metadata.tsv") == [
        ["token", "id", "count"],
        ["die", "4", "9"],
        ["</s>", "2", "7"],
        ["␣", "7", "7"],
        ["爱", "8", "3"],
    ]
    vectors = np.array(rows_of(tmp_path / "vectors.tsv"), "float32")
    np.testing.assert_allclose(vectors, embeddings.numpy()[[4, 2, 7, 8]], rtol=1e-4)
    EmbeddingProjector(embeddings, WORDS, counts).write(tmp_path)
    assert len(rows_of(tmp_path / "vectors.tsv")) == np.count_nonzero(counts)


def test_each_write_shows_the_embeddings_of_now(tmp_path, embeddings):
    projector = EmbeddingProjector(embeddings, WORDS)
    projector.write(tmp_path)
    embeddings.assign(embeddings + 1.0)
    projector.write(tmp_path)
    vectors = np.array(rows_of(tmp_path / "vectors.tsv"), "float32")
    np.testing.assert_allclose(vectors, embeddings.numpy(), rtol=1e-4)
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("argument", ["vocabulary", "counts"])
def test_lengths_must_agree(embeddings, argument):
    arguments = {"vocabulary": WORDS, "counts": [1] * len(WORDS)}
    arguments[argument] = arguments[argument][1:]
    with pytest.raises(ValueError, match=f"`{argument}` with one entry for each of the 10"):
        EmbeddingProjector(embeddings, **arguments)
