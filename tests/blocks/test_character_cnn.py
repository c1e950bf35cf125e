import numpy as np
import pytest
from keras import ops

from seqkeras.layers import CharacterCNN
from tests.contract import check_layer_contract, with_and_without_xla

CHARACTERS, C, L = 9, 3, 6
FILTERS = {1: 2, 3: 4}
RNG = np.random.default_rng(0)
WORDS = np.array([[[1, 5, 6, 2, 0, 0], [1, 2, 0, 0, 0, 0]], [[1, 7, 8, 5, 6, 2], [0] * 6]], "int32")


def network(**options):
    return CharacterCNN(CHARACTERS, C, FILTERS, **options)


def randomised(layer):
    layer.build((None, L))
    layer.set_weights([RNG.normal(size=w.shape) for w in layer.weights])
    return layer


def by_hand(layer, word):
    """Every filter at every place that a word in an endless field of zeros could be seen from."""
    vectors = ops.convert_to_numpy(layer.embeddings)[word] * (np.array(word) > 0)[:, None]
    found = []
    for width, number in FILTERS.items():
        kernel, bias = map(ops.convert_to_numpy, layer.kernels[str(width)])
        field = np.pad(vectors, [(width, width), (0, 0)])
        scores = [
            [np.sum(kernel[..., f] * field[i : i + width]) + bias[f] for f in range(number)]
            for i in range(len(field) - width + 1)
        ]
        found.append(np.tanh(np.max(scores, axis=0)))
    return np.concatenate(found)


@pytest.mark.covers("CharacterCNN", kind="oracle")
def test_equals_convolution_and_maximum_by_hand():
    layer = randomised(network(highways=0))
    found = ops.convert_to_numpy(layer(WORDS))
    for b, row in enumerate(WORDS):
        for t, word in enumerate(row):
            np.testing.assert_allclose(found[b, t], by_hand(layer, word), rtol=1e-4, atol=1e-5)


def test_highways_and_projection_come_on_top():
    layer = randomised(network(highways=2, output_dim=5))
    bare = randomised(network(highways=0))
    own = layer.get_weights()
    bare.set_weights(own[: len(bare.weights)])
    x = bare(WORDS)
    for highway in layer.highways:
        x = highway(x)
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(WORDS)),
        ops.convert_to_numpy(layer.projection(x)),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("shift", [1, 2])
def test_where_in_its_field_a_word_stands_changes_nothing(shift):
    layer = randomised(network())
    word = np.array([1, 5, 6, 2, 0, 0], "int32")
    one, other = (ops.convert_to_numpy(layer(w[None])) for w in (word, np.roll(word, shift)))
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    longer = ops.convert_to_numpy(layer(np.pad(word, (0, 7))[None]))
    np.testing.assert_allclose(one, longer, rtol=1e-5, atol=1e-6)


def test_equal_spellings_have_equal_vectors():
    layer = randomised(network())
    twice = ops.convert_to_numpy(layer(np.array([[1, 5, 2], [1, 6, 2], [1, 5, 2]], "int32")))
    np.testing.assert_array_equal(twice[0], twice[2])
    assert not np.allclose(twice[0], twice[1])


@pytest.mark.covers("CharacterCNN", kind="contract")
@with_and_without_xla
def test_contract(jit_compile):
    units = sum(FILTERS.values())
    check_layer_contract(
        lambda: network(highways=1, output_dim=5),
        {"inputs": WORDS},
        parameters=CHARACTERS * C
        + sum(width * C * n + n for width, n in FILTERS.items())
        + 2 * units * (units + 1)
        + units * 5,
        jit_compile=jit_compile,
    )


@pytest.mark.parametrize(
    "options", [{"filters": {}}, {"filters": {0: 3}}, {"filters": {2: 0}}, {"dim": 0}]
)
def test_bad_sizes_are_told(options):
    with pytest.raises(ValueError, match="expected positive characters, dim, widths"):
        CharacterCNN(**{"characters": 9, "dim": 3, "filters": FILTERS} | options)
