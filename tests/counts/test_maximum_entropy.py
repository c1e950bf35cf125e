"""Against the model written down feature by feature, and against a gradient by differences."""

import numpy as np
import pytest
from scipy import optimize

from seqkeras.constants import END, PAD, START
from seqkeras.counts import count_ngrams, maximum_entropy
from seqkeras.counts.maximum_entropy import _Problem
from tests.counts.checks import check_distributions
from tests.counts.exact_kneser_ney import toy_corpus

V = 7
CORPUS = toy_corpus(np.random.default_rng(0), sentences=12, vocabulary_size=V)


def features(history, word, order, seen):
    """The n-grams that occurred and end in `word`, after START and a history."""
    history = (START, *history)
    grams = [(*history[len(history) - k :], word) for k in range(min(order, len(history) + 1))]
    return [gram for gram in grams if gram in seen]


def all_ngrams(corpus, order):
    """How often each n-gram occurs, by n-gram; those of one word for every word there could be."""
    seen = {(w,): 0 for w in range(V) if w not in (PAD, START)}
    for sentence in corpus:
        padded = (START, *sentence)
        for t in range(1, len(padded)):
            for k in range(min(order, t + 1)):
                gram = tuple(int(w) for w in padded[t - k : t + 1])
                seen[gram] = seen.get(gram, 0) + 1
    return seen


def naive(corpus, order, variances):
    """Trains the model in plain Python; returns its weights by n-gram, and p(. | history)."""
    seen = all_ngrams(corpus, order)
    grams = sorted(seen)
    index = {gram: i for i, gram in enumerate(grams)}
    precision = np.array([1 / variances[len(gram) - 1] for gram in grams])
    words = [w for w in range(V) if w not in (PAD, START)]

    def rows(history):
        matrix = np.zeros((len(words), len(grams)))
        for row, word in enumerate(words):
            for gram in features(history, word, order, seen):
                matrix[row, index[gram]] = 1.0
        return matrix

    places = [(rows(s[:t]), words.index(w)) for s in corpus for t, w in enumerate(s)]

    def objective(theta):
        loss, gradient = 0.5 * precision @ theta**2, precision * theta
        for matrix, target in places:
            scores = matrix @ theta
            p = np.exp(scores - np.logaddexp.reduce(scores))
            loss -= np.log(p[target])
            gradient += p @ matrix - matrix[target]
        return loss / len(places), gradient / len(places)

    options = {"ftol": 1e-13, "gtol": 1e-9, "maxiter": 5000}
    theta = optimize.minimize(
        objective, np.zeros(len(grams)), jac=True, method="L-BFGS-B", options=options
    ).x

    def distribution(history):
        scores = rows(history) @ theta
        return np.exp(scores - np.logaddexp.reduce(scores))

    return dict(zip(grams, theta, strict=True)), distribution


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("variance", [0.5, [4.0, 2.0, 1.0, 0.3]])
def test_equals_the_model_feature_by_feature(order, variance):
    variances = [variance] * order if np.ndim(variance) == 0 else variance[:order]
    model = maximum_entropy(count_ngrams(CORPUS, order, V), variances, steps=300)
    _, distribution = naive(CORPUS, order, variances)
    for history in [(), (3,), (4, 3), (6, 6, 6), (3, 4, 3, 4), (5, 5, 3, 6, 4)]:
        np.testing.assert_allclose(
            model.distribution(history)[2:], distribution(history), atol=1e-4
        )


@pytest.mark.parametrize("slots", [None, 5])
def test_the_gradient_by_differences(slots):
    problem = _Problem(count_ngrams(CORPUS, 3, V), [1.0, 0.7, 0.7], slots)
    weights = np.random.default_rng(1).normal(0, 0.5, problem.size)
    assert slots is None or problem.size <= V + slots
    _, gradient = problem.objective(weights)
    expected = optimize.approx_fprime(weights, lambda w: problem.objective(w)[0], 1e-7)
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


@pytest.mark.parametrize("order", [1, 2, 5])
@pytest.mark.parametrize("slots", [None, 20])
def test_every_distribution_sums_to_1(order, slots):
    model = maximum_entropy(count_ngrams(CORPUS, order, V), slots=slots)
    check_distributions(model)


def test_log_probs_are_those_of_the_distributions():
    model = maximum_entropy(count_ngrams(CORPUS, 4, V))
    text = np.array([3, 4, 3, END, 6, 6, 5, END])
    expected = [np.log(model.distribution(text[:t])[w]) for t, w in enumerate(text)]
    np.testing.assert_allclose(model.log_probs([text]), expected, rtol=1e-9)


def test_a_small_prior_is_the_likelihood_and_a_large_one_the_uniform_distribution():
    counts = count_ngrams(CORPUS, 1, V)
    free = maximum_entropy(counts, variance=1e6)
    np.testing.assert_allclose(free.unigram, counts.counts[0] / counts.counts[0].sum(), atol=1e-3)
    flat = maximum_entropy(counts, variance=1e-6, steps=400)
    np.testing.assert_allclose(flat.unigram[2:], 1 / (V - 2), rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variance": 0.0}, "expected a number above 0"),
        ({"variance": [1.0, 1.0]}, "one for each of 3 orders"),
        ({"steps": 0}, "steps: expected at least 1, got 0"),
        ({"slots": 0}, "slots: expected an integer of at least 1"),
        ({"slots": 9, "variance": [1.0, 1.0, 2.0]}, "share 9 slots"),
    ],
)
def test_wrong_options_raise(options, message):
    with pytest.raises(ValueError, match=message):
        maximum_entropy(count_ngrams(CORPUS, 3, V), **options)
