"""The normalisation against Python's own str methods."""

import pytest
import tensorflow as tf

from seqkeras.data.tokenizers.normalization import normalize, normalize_in_batches


def normalized(texts, **options):
    return [text.decode() for text in normalize(tf.constant(texts, tf.string), **options).numpy()]


def test_whitespace_is_what_python_splits_at():
    every = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    texts = [f"{c}a{c}{c}b{c}" for c in every]
    assert normalized(texts) == [" ".join(text.split()) for text in texts]


def test_lowercase_is_pythons_for_letters_of_many_scripts():
    texts = ["ÄÖÜ Straße", "ПРИВЕТ Мир", "ΑΒΓ", "ÉCOLE", "日本 ABC"]
    assert normalized(texts, lowercase=True) == [text.lower() for text in texts]
    assert normalized(texts) == texts


@pytest.mark.parametrize("broken", [b"\xff", b"\xe2\x82", b"\xed\xa0\x80", b"\xc0\x80"])
def test_invalid_utf8_is_replaced(broken):
    (text,) = normalized([b"a" + broken + b"b"])
    assert (text[0], text[-1]) == ("a", "b")
    assert set(text[1:-1]) == {"\ufffd"}


def test_batches_skip_empty_texts_and_keep_the_order():
    texts = [f"text  {i}" if i % 3 else "  " for i in range(25_000)]
    lines = [line.decode() for batch in normalize_in_batches(texts) for line in batch.numpy()]
    assert lines == [f"text {i}" for i in range(25_000) if i % 3]


@pytest.mark.parametrize("texts", [[], ["", " \n"]])
def test_nothing_to_train_on_is_an_error(texts):
    with pytest.raises(ValueError, match=f"got {len(texts)} of which none"):
        list(normalize_in_batches(texts))


def test_a_single_string_is_an_error():
    with pytest.raises(ValueError, match="got one string of 5 characters"):
        list(normalize_in_batches("a dog"))
