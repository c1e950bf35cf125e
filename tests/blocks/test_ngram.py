import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.constants import END, PAD, START
from seqkeras.counts import count_ngrams, kneser_ney
from seqkeras.layers import NGram
from tests.contract import MaskProbe, check_layer_contract
from tests.counts.exact_kneser_ney import ExactKneserNey, toy_corpus

V = 9
CORPUS = toy_corpus(np.random.default_rng(0))
DISCOUNTS = [[0.3, 0.5, 0.7], [0.4, 0.9, 1.5], [0.8, 1.1, 2.0], [0.9, 1.9, 2.5]]
IDS = np.array([[START, 3, 4, 3, 3], [START, 8, 3, 3, 6], [START, 4, 0, 0, 0]], "int32")
LOWEST = np.float32(-1e30)


def numpy(x):
    return ops.convert_to_numpy(x)


def tables(order, size=V, corpus=CORPUS):
    return kneser_ney(count_ngrams(corpus, order, size), DISCOUNTS[:order])


def rows_of(sentences, longest):
    """Inputs and targets `(B, longest)` of sentences, PAD behind them."""
    inputs = np.full((len(sentences), longest), PAD, "int32")
    targets = inputs.copy()
    for i, sentence in enumerate(sentences):
        inputs[i, : len(sentence)] = (START, *sentence[:-1])
        targets[i, : len(sentence)] = sentence
    return inputs, targets


@pytest.mark.covers("NGram", kind="oracle")
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_log_probs_equal_exact_fractions(order):
    oracle = ExactKneserNey(CORPUS, DISCOUNTS[:order], V)
    found = numpy(NGram.from_tables(tables(order))(IDS))
    for row, ids in zip(found, IDS.tolist(), strict=True):
        for t in range(len([i for i in ids if i != PAD])):
            expected = [np.log(float(oracle.p(w, ids[: t + 1]))) for w in oracle.words]
            np.testing.assert_allclose(row[t, 2:], expected, rtol=1e-5)


@pytest.mark.covers("NGram", kind="oracle")
@pytest.mark.parametrize("order", [1, 2, 4])
def test_log_probs_and_scores_equal_the_numpy_model(order):
    ours = tables(order)
    layer = NGram.from_tables(ours)
    sentences = [*CORPUS[:9], (8, 8, 3, 3, 3, 4, 8, END), (END,)]
    inputs, targets = rows_of(sentences, longest=11)
    distributions, scores = numpy(layer(inputs)), numpy(layer.score(inputs, targets))
    real = targets != PAD
    np.testing.assert_allclose(scores[real], ours.log_probs(sentences), rtol=1e-5, atol=1e-5)
    gathered = np.take_along_axis(distributions, targets[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(scores[real], gathered[real], rtol=1e-5)
    assert not scores[~real].any()
    for i, sentence in enumerate(sentences):
        for t in range(len(sentence)):
            with np.errstate(divide="ignore"):
                expected = np.log(ours.distribution(sentence[:t]))
            np.testing.assert_allclose(distributions[i, t, 2:], expected[2:], atol=1e-5)


def test_every_distribution_sums_to_1():
    layer = NGram.from_tables(tables(4))
    inputs = np.random.default_rng(1).integers(0, V, (20, 30)).astype("int32")
    log_probs = numpy(layer(inputs))
    np.testing.assert_allclose(np.exp(log_probs.astype("float64")).sum(-1), 1.0, rtol=1e-5)
    assert (log_probs[..., [PAD, START]] == LOWEST).all()
    assert (np.delete(log_probs, [PAD, START], axis=-1) > -30.0).all()


def test_a_large_vocabulary_equals_the_numpy_model():
    """Contexts with no, few and hundreds of successors, in one list of several parts."""
    rng = np.random.default_rng(2)
    size = 700
    words = np.where(rng.random((200, 30)) < 0.5, 3, rng.integers(3, size, (200, 30)))
    corpus = [[*row, END] for row in words]  # every other word is 3
    ours = tables(3, size, corpus)
    assert np.bincount(ours.levels[0].keys // size).max() > 512
    inputs, _ = rows_of([(3, 3, 3, 3, 3, 3, 699, 3, 3, END)], longest=10)
    found = numpy(NGram.from_tables(ours)(inputs))[0]
    expected = [ours.distribution(inputs[0, 1 : t + 1]) for t in range(10)]
    np.testing.assert_allclose(np.exp(found), expected, rtol=1e-5)


def test_padding_changes_nothing():
    layer = NGram.from_tables(tables(3))
    sentence = np.array([[START, 3, 4, 3]], "int32")
    padded = np.pad(sentence, [[0, 0], [0, 5]], constant_values=PAD)
    np.testing.assert_array_equal(numpy(layer(padded))[:, :4], numpy(layer(sentence)))
    beside = np.concatenate([padded, np.full_like(padded, 4)])
    np.testing.assert_allclose(numpy(layer(beside))[:1, :4], numpy(layer(sentence)), rtol=1e-6)


def test_a_row_without_a_start_goes_on_in_a_text():
    stream = [tuple(w for s in CORPUS for w in s)]
    oracle = ExactKneserNey(stream, DISCOUNTS[:3], V)
    row = [END, 3, 4]
    found = numpy(NGram.from_tables(tables(3, corpus=stream))(np.array([row], "int32")))[0]
    for t in range(3):
        expected = [np.log(float(oracle.p(w, row[: t + 1]))) for w in oracle.words]
        np.testing.assert_allclose(found[t, 2:], expected, rtol=1e-5)


def test_mixed_precision_rounds_nothing():
    ours = tables(3)
    mixed = NGram.from_tables(ours, dtype="mixed_bfloat16")
    np.testing.assert_array_equal(numpy(mixed(IDS)), numpy(NGram.from_tables(ours)(IDS)))
    np.testing.assert_array_equal(
        numpy(mixed.score(IDS, IDS)), numpy(NGram.from_tables(ours).score(IDS, IDS))
    )


def test_impossible_words_stay_finite():
    ours = kneser_ney(count_ngrams([(4, END)], 2, V), [0.0, 0.0])
    layer = NGram.from_tables(ours)
    found = numpy(layer(np.array([[START, 4]], "int32")))[0]
    np.testing.assert_allclose(np.exp(found), np.eye(V)[[4, END]], atol=1e-6)
    assert (found[0, 5:] == LOWEST).all()
    scores = layer.score(np.array([[START]]), np.array([[START]]))
    assert numpy(scores)[0, 0] == LOWEST


def test_before_tables_are_set_every_token_is_as_likely():
    found = numpy(NGram(V, [5, 3, 0])(IDS))
    np.testing.assert_allclose(found[..., 2:], -np.log(V - 2), rtol=1e-6)


def test_a_table_without_ngrams_and_a_batch_without_rows():
    ours = tables(4, corpus=[(END,)])
    assert [len(level.keys) for level in ours.levels] == [1, 0, 0]
    layer = NGram.from_tables(ours)
    found = numpy(layer(np.array([[START, END]], "int32")))[0]
    np.testing.assert_allclose(np.exp(found[0]), ours.distribution([]), rtol=1e-5)
    np.testing.assert_allclose(np.exp(found[1]), ours.unigram, rtol=1e-5)
    assert layer(np.zeros((0, 3), "int32")).shape == (0, 3, V)


def test_a_model_saves_its_tables(tmp_path):
    entry = keras.Input((None,), dtype="int32")
    model = keras.Model(entry, NGram.from_tables(tables(3))(entry))
    model.save(tmp_path / "model.keras")
    reloaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numpy(reloaded(IDS)), numpy(model(IDS)))
    assert not model.trainable_weights
    assert {w.dtype for w in model.weights} == {"int32", "float32"}


def test_the_output_carries_the_mask_of_the_tokens():
    entry = keras.Input((None,), dtype="int32")
    probe = keras.Model(entry, MaskProbe()(NGram.from_tables(tables(2))(entry)))
    np.testing.assert_array_equal(probe.predict(IDS, verbose=0), IDS != PAD)


@pytest.mark.tensorflow
def test_a_graph_of_unknown_sizes_scores_alike():
    import tensorflow as tf

    layer = NGram.from_tables(tables(3))
    inputs, targets = rows_of(CORPUS[:5], longest=8)
    spec = tf.TensorSpec((None, None), tf.int32)
    graph = tf.function(layer.score, input_signature=[spec, spec])
    np.testing.assert_allclose(graph(inputs, targets), layer.score(inputs, targets), rtol=1e-6)
    call = tf.function(layer, input_signature=[spec])
    np.testing.assert_allclose(call(inputs), layer(inputs), rtol=1e-6)


@pytest.mark.parametrize("wrong", [V, -1])
def test_ids_out_of_range_raise(wrong):
    layer = NGram.from_tables(tables(2))
    ids = np.array([[START, wrong]], "int32")
    for call in (lambda: layer(ids), lambda: layer.score(ids, IDS[:1, :2])):
        with pytest.raises(Exception, match="expected ids from 0 to 8, got others"):
            call()
    with pytest.raises(Exception, match="expected ids from 0 to 8, got others"):
        layer.score(IDS[:1, :2], ids)


@pytest.mark.tensorflow
def test_what_xla_cannot_raise_is_nan():
    import tensorflow as tf

    compiled = tf.function(NGram.from_tables(tables(2)).score, jit_compile=True)
    fine, wrong = tf.constant(IDS[:1]), tf.constant(np.where(IDS[:1] == 4, V, IDS[:1]))
    assert np.isfinite(compiled(fine, fine)).all()
    for arguments in ((wrong, fine), (fine, wrong)):
        assert np.isnan(compiled(*arguments)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: NGram(2, []), "vocabulary_size: expected an integer of at least 3, got 2"),
        (lambda: NGram(V, [5, -1]), "sizes: expected integers from 0 to .*, got .5, -1."),
        (lambda: NGram(V, [5, 0, 3]), "no k-grams behind an order that has none, got .5, 0, 3."),
        (lambda: NGram(V, [2**31]), "sizes: expected integers from 0 to"),
        (lambda: NGram(V, [5]).set_tables(tables(1)), "expected tables of .*NGram.from_tables"),
        (
            lambda: NGram(V, [])(np.zeros((2, 3), "float32")),
            "expected integer inputs .B, T., got f",
        ),
        (lambda: NGram(V, [])(np.zeros(3, "int32")), "got int32 of shape .3,."),
        (lambda: NGram(V, []).score(IDS, IDS[0]), "expected integer targets .B, T."),
    ],
)
def test_errors_say_what_was_expected(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.covers("NGram", kind="contract")
def test_contract():
    ours = tables(3)
    check_layer_contract(lambda: NGram.from_tables(ours), {"inputs": IDS}, parameters=0)
