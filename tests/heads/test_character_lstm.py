import itertools

import numpy as np
import pytest
from keras import ops

from seqkeras.data import spell
from seqkeras.layers import CharacterLSTMHead
from tests.contract import check_layer_contract, with_and_without_xla

WORDS = ["<pad>", "cat", "car", "ca", "dog", "d", "cats"]
SPELLINGS, ALPHABET = spell(WORDS)
V, C, H, D, U = len(WORDS), len(ALPHABET) + 4, 4, 3, 5
RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 3, H)).astype("float32")
TARGETS = np.array([[1, 2, 6], [3, 4, 0]], "int32")


def random_head():
    head = CharacterLSTMHead(V, SPELLINGS, C, D, U)
    head.build(X.shape)
    head.set_weights([RNG.normal(scale=0.7, size=w.shape) for w in head.weights])
    return head


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_spelling(head, row, spelling):
    """log q of a word, one character at a time; gates in the order i, f, c, o."""
    embeddings = ops.convert_to_numpy(head.embeddings)
    kernel, recurrent, bias = head.rnn.get_weights()
    output, shift = head.output_layer.get_weights()
    a, c, log_q = np.zeros(U), np.zeros(U), 0.0
    word = spelling[spelling != 0]
    for read, written in itertools.pairwise(word):
        z = np.concatenate([embeddings[read], row]) @ kernel + a @ recurrent + bias
        i, f, candidate, o = np.split(z, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(candidate)
        a = sigmoid(o) * np.tanh(c)
        logits = a @ output + shift
        log_q += logits[written] - np.log(np.exp(logits).sum())
    return log_q


@pytest.mark.covers("CharacterLSTMHead", kind="oracle")
def test_log_q_is_the_sum_over_characters():
    head = random_head()
    found = ops.convert_to_numpy(head(X))
    wanted = [[[by_spelling(head, x, word) for word in SPELLINGS] for x in row] for row in X]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert (np.exp(found).sum(-1) < 1).all()  # what is missing went to strings that are no words


def test_losses_are_of_the_vocabulary_and_in_training_of_all_strings():
    head = random_head()
    log_q = ops.convert_to_numpy(head(X)).astype("float64")
    log_p = log_q - np.log(np.exp(log_q).sum(-1, keepdims=True))
    for training, wanted in ((False, log_p), (True, log_q)):
        losses = ops.convert_to_numpy(head(X, targets=TARGETS, training=training))
        of_targets = np.take_along_axis(wanted, TARGETS[..., None], -1)[..., 0]
        np.testing.assert_allclose(losses, -of_targets * (TARGETS > 0), rtol=1e-4, atol=1e-5)


@pytest.mark.covers("CharacterLSTMHead", kind="contract")
@with_and_without_xla
def test_contract(jit_compile):
    check_layer_contract(
        lambda: CharacterLSTMHead(V, SPELLINGS, C, D, U),
        {"inputs": X},
        parameters=C * D + 4 * U * (D + H + U + 1) + (U + 1) * C,
        jit_compile=jit_compile,
    )


def test_spellings_of_another_vocabulary_are_told():
    with pytest.raises(ValueError, match="spellings: expected 9, one for each word, got 7"):
        CharacterLSTMHead(9, SPELLINGS, C)
