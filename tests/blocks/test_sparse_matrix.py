"""Against the same model in NumPy and float64."""

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.constants import END, PAD, START
from seqkeras.counts import SparseNonNegative, skip_grams
from seqkeras.counts.ngrams import join_with_starts
from seqkeras.counts.skip_grams import count_skip_grams
from seqkeras.counts.sparse_nonnegative import Feature
from seqkeras.layers import SparseMatrix
from tests.contract import check_layer_contract
from tests.counts.exact_kneser_ney import toy_corpus

V = 9
CORPUS = toy_corpus(np.random.default_rng(0), vocabulary_size=V)
IDS = np.array([[START, 4, 3, 3, END, 5], [START, 6, 6, PAD, PAD, PAD]], "int32")


def random_tables(order, gaps):
    """The skip-grams that occur, with entries drawn at random."""
    rng, ids = np.random.default_rng(1), join_with_starts(CORPUS, V)
    base = rng.random(V)
    base[[PAD, START]] = 0.0
    features = []
    for kind in skip_grams(order, gaps)[1:]:
        keys = count_skip_grams(ids, kind, V).keys
        entries = rng.random(len(keys[-1]))
        contexts = len(keys[-2]) if len(keys) > 1 else V
        totals = np.bincount(keys[-1] // V, entries, minlength=contexts)
        features.append(Feature(kind, keys, entries, totals))
    return SparseNonNegative(V, base, tuple(features))


@pytest.fixture(scope="module", params=[(1, False), (3, False), (4, True)], ids=str)
def tables(request):
    return random_tables(*request.param)


@pytest.mark.covers("SparseMatrix", kind="oracle")
def test_it_is_the_model_in_numpy(tables):
    found = ops.convert_to_numpy(SparseMatrix.from_tables(tables)(IDS))
    for row, ids in enumerate(IDS):
        for t, word in enumerate(ids):
            if word == PAD:
                continue
            p = tables.distribution(ids[1 : t + 1])
            np.testing.assert_allclose(np.exp(found[row, t]), p, rtol=1e-5, atol=1e-7)


def test_every_prediction_sums_to_1_and_reaches_as_far_as_it_says(tables):
    layer = SparseMatrix.from_tables(tables)
    found = ops.convert_to_numpy(layer(IDS))
    np.testing.assert_allclose(np.exp(found[0]).sum(-1), 1.0, rtol=1e-5)
    assert (found[..., [PAD, START]] <= -1e30).all()
    length = layer.context_length
    short = ops.convert_to_numpy(layer(IDS[:1, 5 - length :]))
    np.testing.assert_allclose(short[0, -1], found[0, -1], rtol=1e-5)


def test_until_it_has_tables_every_word_is_as_likely():
    layer = SparseMatrix(V, [((1,), (3,)), ((3, 1), (4, 2))])
    p = np.exp(ops.convert_to_numpy(layer(IDS[:1])))
    np.testing.assert_allclose(p[..., 2:], 1 / (V - 2), rtol=1e-5)


def test_ids_out_of_range_fail():
    layer = SparseMatrix(V, [])
    with pytest.raises(Exception, match="expected ids from 0 to 8, got others"):
        layer(np.array([[V]], "int32"))


@pytest.mark.covers("SparseMatrix", kind="contract")
def test_contract():
    made = random_tables(3, gaps=True)
    check_layer_contract(lambda: SparseMatrix.from_tables(made), {"inputs": IDS}, parameters=0)


@pytest.mark.tensorflow
def test_saves_and_loads(tables, tmp_path):
    tokens = keras.Input((None,), dtype="int32")
    model = keras.Model(tokens, SparseMatrix.from_tables(tables)(tokens))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(IDS), model(IDS))


@pytest.mark.parametrize(
    "kinds", [[((), ())], [((1, 2), (3, 3))], [((2, 1), (3,))], [((0,), (3,))]]
)
def test_wrong_kinds_are_told(kinds):
    with pytest.raises(ValueError, match="kinds: expected falling distances above 0 and a size"):
        SparseMatrix(V, kinds)


def test_wrong_sizes_are_told():
    with pytest.raises(ValueError, match="sizes: expected integers from 0"):
        SparseMatrix(V, [((1,), (-1,))])
