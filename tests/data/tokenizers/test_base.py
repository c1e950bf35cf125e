"""What holds for every kind of tokenizer: one interface, one file format, one SavedModel."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from seqkeras.constants import END, PAD, SPECIAL_TOKENS, START, UNK
from seqkeras.data.tokenizers import (
    CharacterTokenizer,
    SubwordTokenizer,
    Tokenizer,
    WordTokenizer,
    load_tokenizer,
    train_tokenizer,
)
from seqkeras.data.tokenizers.base import frequent_tokens

TEXTS = [
    "The red dog chases two small cats across the wet street.",
    "Ein roter Hund jagt zwei kleine Katzen über die nasse Straße.",
    "Two (small) cats, one dog: 1,000.5 reasons to run!",
]
KINDS = {
    "characters": ("characters", {}),
    "words": ("words", {}),
    "bpe": ("subwords", {"model_type": "bpe"}),
    "unigram": ("subwords", {"model_type": "unigram"}),
}
HARD_TEXTS = [
    "The small dog.",
    "",
    "   \t\n ",
    "\x00",
    "a\x00b",
    "жж ж unknown",
    "<s> </s> <pad> <unk>",
    "▁The▁ ▁▁dog",
    "⁇",
    "dog " * 500,
    "x" * 300,
    "e\u0301 🙂\u200d🙂",
]


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request):
    kind, options = KINDS[request.param]
    return train_tokenizer(kind, TEXTS, 120, **options)


def decoded(tokenizer, ids):
    return [text.decode() for text in tokenizer.decode(ids).numpy()]


def test_round_trip_of_known_text(tokenizer):
    ids = tokenizer.encode(TEXTS)
    assert isinstance(ids, tf.RaggedTensor)
    assert (ids.dtype, ids.shape.as_list()) == (tf.int32, [3, None])
    assert decoded(tokenizer, ids) == TEXTS
    assert tf.reduce_min(ids) > UNK


def test_whitespace_is_collapsed_and_stripped(tokenizer):
    messy = ["\t" + text.replace(" ", " \u00a0\n") + "\u3000" for text in TEXTS]
    assert tokenizer.encode(messy).to_list() == tokenizer.encode(TEXTS).to_list()


def test_lowercase():
    for kind, options in KINDS.values():
        lower = train_tokenizer(kind, TEXTS, 120, lowercase=True, **options)
        assert decoded(lower, lower.encode(TEXTS)) == [text.lower() for text in TEXTS]


def test_nothing_in_a_text_becomes_a_special_token_but_unk(tokenizer):
    ids = tokenizer.encode([*HARD_TEXTS, b"\xff\xfe a", b"\xe2\x96"])
    assert not {PAD, START, END} & set(ids.values.numpy().tolist())


def test_text_of_spaces_has_no_tokens(tokenizer):
    assert tokenizer.encode(["", " ", "\n\t\u2003"]).to_list() == [[], [], []]
    assert decoded(tokenizer, tokenizer.encode(["", "dog"]))[0] == ""


def test_batch_of_nothing(tokenizer):
    ids = tokenizer.encode([])
    assert (ids.nrows(), ids.dtype) == (0, tf.int32)
    assert tokenizer.decode(ids).shape == (0,)
    assert tokenizer.decode(np.zeros((0, 4), np.int32)).shape == (0,)
    assert decoded(tokenizer, np.zeros((2, 0), np.int32)) == ["", ""]


def test_a_text_is_encoded_alike_alone_and_in_a_batch(tokenizer):
    together = tokenizer.encode(HARD_TEXTS).to_list()
    assert together == [tokenizer.encode([text]).to_list()[0] for text in HARD_TEXTS]


def test_graph_equals_eager(tokenizer):
    graph = tf.function(
        lambda texts: (tokenizer.encode(texts), tokenizer.decode(tokenizer.encode(texts))),
        input_signature=[tf.TensorSpec(None, tf.string)],  # not even the rank is known
    )
    ids, texts = graph(tf.constant(HARD_TEXTS))
    assert ids.to_list() == tokenizer.encode(HARD_TEXTS).to_list()
    assert [text.decode() for text in texts.numpy()] == decoded(tokenizer, ids)


def test_inside_a_dataset(tokenizer):
    dataset = tf.data.Dataset.from_tensor_slices(TEXTS).batch(2).map(tokenizer.encode)
    rows = [row for batch in dataset for row in batch.to_list()]
    assert rows == tokenizer.encode(TEXTS).to_list()


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_decode_stops_at_end_and_skips_padding_and_start(tokenizer, dtype):
    (dog,) = tokenizer.encode(["dog"]).to_list()
    (cats,) = tokenizer.encode(["cats"]).to_list()
    rows = [[START, PAD, *dog, PAD, END, *cats, END], [*cats, END, *dog], [END, *dog], [PAD, START]]
    dense = tf.ragged.constant(rows).to_tensor(PAD).numpy().astype(dtype)
    assert decoded(tokenizer, dense) == ["dog", "cats", "", ""]
    assert decoded(tokenizer, tf.ragged.constant(rows, dtype=dtype)) == ["dog", "cats", "", ""]


def test_unknown_tokens_are_visible_in_decoded_text(tokenizer):
    assert decoded(tokenizer, [[UNK]]) == ["⁇"]
    assert decoded(tokenizer, tokenizer.encode(["The ж dog"])) == ["The ⁇ dog"]


def test_pieces_label_every_token(tokenizer):
    ids = tokenizer.encode(TEXTS).to_tensor(PAD)
    labels = tokenizer.pieces(ids).numpy()
    assert labels.shape == ids.shape
    assert tokenizer.pieces([[PAD, START, END, UNK]]).numpy()[0].tolist() == [
        token.encode() for token in SPECIAL_TOKENS
    ]
    expected = [tokenizer.vocabulary[i].replace(" ", "␣") for i in ids.numpy().ravel()]
    assert [label.decode() for label in labels.ravel()] == expected


def test_the_vocabulary(tokenizer):
    assert tuple(tokenizer.vocabulary[:4]) == SPECIAL_TOKENS
    assert tokenizer.vocabulary_size == len(set(tokenizer.vocabulary)) <= 120


def test_save_and_load(tokenizer, tmp_path):
    path = tmp_path / "x.tokenizer.json"
    tokenizer.save(path)
    for loaded in (load_tokenizer(path), type(tokenizer).load(str(path))):
        assert type(loaded) is type(tokenizer)
        assert loaded.config() == tokenizer.config()
        assert loaded.encode(HARD_TEXTS).to_list() == tokenizer.encode(HARD_TEXTS).to_list()
    text = path.read_text(encoding="utf-8")
    assert "ü" in text  # for people to read, not \u00fc
    assert json.loads(text)["vocabulary"] == tokenizer.vocabulary


def test_options_are_saved(tmp_path):
    for name, (kind, options) in KINDS.items():
        train_tokenizer(kind, TEXTS, 120, lowercase=True, **options).save(tmp_path / name)
        loaded = load_tokenizer(tmp_path / name)
        assert loaded.lowercase is True
        assert loaded.encode(["THE DOG"]).to_list() == loaded.encode(["the dog"]).to_list()
        assert getattr(loaded, "model_type", None) == options.get("model_type")


def test_loading_what_is_no_tokenizer(tmp_path):
    with pytest.raises(FileNotFoundError, match="no-such-file"):
        load_tokenizer(tmp_path / "no-such-file")
    for name, content in {
        "text": b"not JSON",
        "bytes": b"\xff\xfe\x00",
        "list": b"[]",
        "keys": b'{"format": "seqkeras.tokenizer"}',
        "format": b'{"format": "x", "kind": "words", "options": {}, "vocabulary": []}',
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} is not a tokenizer file"):
            load_tokenizer(tmp_path / name)


def test_loading_another_kind_names_the_known_ones(tmp_path):
    path = tmp_path / "x.json"
    words = train_tokenizer("words", TEXTS, 120)
    words.save(path)
    with pytest.raises(ValueError, match="kind 'words'; SubwordTokenizer.load knows 'subwords'"):
        SubwordTokenizer.load(path)
    path.write_text(path.read_text().replace('"words"', '"bytes"'))
    with pytest.raises(
        ValueError, match="'bytes'; .* 'characters', 'subwords', 'whitespace', 'words'"
    ):
        Tokenizer.load(path)


def test_training_an_unknown_kind_names_the_known_ones():
    with pytest.raises(
        ValueError, match=r"\['characters', 'subwords', 'whitespace', 'words'\], got 'bytes'"
    ):
        train_tokenizer("bytes", TEXTS, 100)


def test_wrong_shapes_say_what_to_pass(tokenizer):
    with pytest.raises(ValueError, match=r"shape \(batch,\).*\[text\]"):
        tokenizer.encode("a dog")
    with pytest.raises(ValueError, match=r"shape \(batch, time\).*\[ids\]"):
        tokenizer.decode([4, 5])


@pytest.mark.parametrize("kind", [CharacterTokenizer, WordTokenizer, SubwordTokenizer])
def test_vocabularies_that_cannot_be(kind):
    with pytest.raises(ValueError, match="begins with"):
        kind(["a", "b", "c", "d", "e"])
    with pytest.raises(ValueError, match="goes on, got 4 tokens"):
        kind(list(SPECIAL_TOKENS))
    with pytest.raises(ValueError, match=r"twice: \['a'\]"):
        kind([*SPECIAL_TOKENS, "a", "▁", "a"])


def test_frequent_tokens_breaks_ties_alphabetically():
    counts = {"d": 1, "b": 2, "a": 2, "c": 3}
    assert frequent_tokens(counts, 7)[4:] == ["c", "a", "b"]
    assert frequent_tokens(dict(reversed(counts.items())), 7)[4:] == ["c", "a", "b"]
    assert frequent_tokens(counts, 100)[4:] == ["c", "a", "b", "d"]
    with pytest.raises(ValueError, match="above 4.*got 4"):
        frequent_tokens(counts, 4)


CLIENT = """
import json, sys
sys.modules["seqkeras"] = sys.modules["keras"] = sys.modules["sentencepiece"] = None
import tensorflow as tf
module = tf.saved_model.load(sys.argv[1])
texts = tf.constant(json.load(open(sys.argv[2])))
out = {}
for name in sys.argv[3:]:
    encoded = getattr(module, name)(texts)
    out[name] = [encoded["ids"].to_list(), [t.decode() for t in encoded["text"].numpy()]]
print(json.dumps(out))
"""


def exported(tokenizer):
    """Returns a graph from texts to their ids and back."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def round_trip(texts):
        ids = tokenizer.encode(texts)
        return {"ids": ids, "text": tokenizer.decode(ids)}

    return round_trip


def test_saved_model_needs_nothing_but_tensorflow(tmp_path):
    module = tf.Module()
    expected = {}
    for name, (kind, options) in KINDS.items():
        tokenizer = train_tokenizer(kind, TEXTS, 120, **options)
        setattr(module, f"{name}_tokenizer", tokenizer)
        setattr(module, name, exported(tokenizer))
        ids = tokenizer.encode(HARD_TEXTS)
        expected[name] = [ids.to_list(), decoded(tokenizer, ids)]
    tf.saved_model.save(module, str(tmp_path / "before"))
    (tmp_path / "before").rename(tmp_path / "moved")
    (tmp_path / "texts.json").write_text(json.dumps(HARD_TEXTS))

    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    client = subprocess.run(
        [sys.executable, "-c", CLIENT, "moved", "texts.json", *KINDS],
        cwd=tmp_path,
        env={**environment, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert client.returncode == 0, client.stderr
    assert json.loads(client.stdout) == expected
