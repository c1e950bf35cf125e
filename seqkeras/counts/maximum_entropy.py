"""Maximum-entropy n-gram models; notes A Fig. 14, its rows "MaxEnt".

    s(w | h) = theta_w + sum_k theta_(h_k w)      over the k-grams h_k w that occurred, k = 2..n
    p(w | h) = exp s(w | h) / Z(h),               Z(h) = sum_w exp s(w | h)
    minimise - sum_t log p(w_t | h_t) + sum theta^2 / (2 sigma^2)

h_k are the last k-1 words of h: one feature for each n-gram, Rosenfeld 1996 (Computer Speech and
Language 10), with the Gaussian prior of Chen & Rosenfeld 2000 (IEEE TSAP 8(1)).

Z and the gradient are exact, and as cheap as a pass over the n-grams: what went on from h_k went on
from h_(k-1), too, so with S the score of a k-gram's suffixes and its own (Wu & Khudanpur 2000,
ICSLP)

    Z(h_k)   = Z(h_(k-1)) + sum_w [exp S(h_k w) - exp S(h_(k-1) w)]       w that went on from h_k
    E(h_k w) = exp S(h_k w) (W(h_k) - sum_v W(v h_k)) + sum_v E(v h_k w)  v: where v h_k w occurred
    W(h)     = sum of 1 / Z over the positions whose contexts end in h

E is the expected count of an n-gram, and its gradient is E minus its count. With Z the model is one
of tables: b(h_k) = Z(h_(k-1)) / Z(h_k), and a(h_k w) is the bracket divided by Z(h_k).
"""

import dataclasses

import keras
import numpy as np
from keras import ops

from seqkeras.constants import PAD, START
from seqkeras.counts.hashing import hashed
from seqkeras.counts.tables import Level, NGramTables, frozen


@dataclasses.dataclass(frozen=True, eq=False)
class MaximumEntropy(NGramTables):
    """`NGramTables` with `weights`, float64 arrays: theta of the 1-grams `(V,)`, 2-grams, ..."""

    weights: tuple


def maximum_entropy(counts, variance=1.0, slots=None, steps=80, learning_rate=0.3):
    """Trains a maximum-entropy model on counts, by Adam on all of them at once.

    L-BFGS needs ten times as many steps: the weights of rare and of frequent n-grams have gradients
    of very different sizes.

    Args:
        counts: `NGramCounts`.
        variance: sigma^2 > 0 of the prior: the smaller, the nearer are all weights to 0. A float,
            or one for each of the orders 1..n.
        slots: int or None. The k-grams of order 2 and more share so many weights, by a hash of
            their place; None: each has its own.
        steps: int >= 1, how many times all n-grams are gone over.
        learning_rate: float, of the first step; it falls to 0 with the cosine.

    Returns:
        `MaximumEntropy`.

    Raises:
        ValueError: for variances that are not positive or not one an order, no slots or no step.

    Example:

    >>> from seqkeras.counts import count_ngrams
    >>> counts = count_ngrams([[4, 5, 2], [4, 2]], order=2, vocabulary_size=6)
    >>> model = maximum_entropy(counts)
    >>> round(float(model.distribution([4]).sum()), 6)
    1.0
    """
    if steps < 1:
        raise ValueError(f"steps: expected at least 1, got {steps}")
    problem = _Problem(counts, _variances(variance, counts.order, slots), slots)
    weights = keras.Variable(problem.start(), trainable=True)
    rate = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    optimizer = keras.optimizers.Adam(rate)
    for _ in range(steps):
        _, gradient = problem.objective(_float64(weights))
        optimizer.apply([ops.convert_to_tensor(gradient, "float32")], [weights])
    return problem.model(_float64(weights))


def _float64(weights):
    return ops.convert_to_numpy(weights).astype("float64")


class _Problem:
    """The objective of a vector of weights: those of the 1-grams, then of the 2-grams, ..."""

    def __init__(self, counts, variances, slots):
        self._counts = counts
        self._size = counts.vocabulary_size
        self._possible = np.ones(self._size, bool)
        self._possible[[PAD, START]] = False
        self._suffixes = counts.suffixes
        self._contexts = [keys // self._size for keys in counts.keys]
        self._context_suffixes = [None, *self._suffixes[: counts.order - 2]]
        self._places = _places(counts, slots)
        self._total = float(counts.counts[0].sum())
        self._leaves = self._leaf_counts()
        self.size = 1 + max(int(places.max(initial=0)) for places in self._places)
        self._precision = np.zeros(self.size)
        for places, v in zip(self._places, variances, strict=True):
            self._precision[places] = 1.0 / v
        self._observed = self._by_weight(counts.counts)

    def start(self):
        """Returns the weights of the relative frequencies of 1-grams, float32."""
        first = self._counts.counts[0]
        weights = np.zeros(self.size, "float32")
        weights[: self._size] = np.log(np.maximum(first, 0.5) / self._total)
        return weights

    def _by_weight(self, of_ngrams):
        """Returns the sums of numbers of n-grams, a list by order, that share a weight."""
        places, numbers = np.concatenate(self._places), np.concatenate(of_ngrams)
        return np.bincount(places, numbers, minlength=self.size)

    def _leaf_counts(self):
        """Returns how many positions have each (k-1)-gram as their longest context, k = 1..n.

        A position's context is its last n-1 words, or all from START.
        """
        leaves, begins_of = [np.zeros(1)], self._counts.begins
        for k in range(2, self._counts.order + 1):
            begins = begins_of[k - 2]
            follow = np.bincount(
                self._contexts[k - 2], self._counts.counts[k - 1], minlength=len(begins)
            )
            leaves.append(follow if k == self._counts.order else np.where(begins, follow, 0.0))
        if self._counts.order == 1:
            leaves[0][:] = self._total
        return leaves

    def _exponentials(self, weights):
        """Returns exp S of every k-gram, a list by order."""
        scores = [weights[self._places[0]]]
        for places, suffixes in zip(self._places[1:], self._suffixes, strict=True):
            scores.append(scores[-1][suffixes] + weights[places])
        e = [np.exp(s) for s in scores]
        e[0] *= self._possible
        return e

    def _normalizers(self, e):
        """Returns Z of every context, a list: of no word `(1,)`, of the 1-grams `(V,)`, ..."""
        z = [np.array([e[0].sum()])]
        for k in range(2, self._counts.order + 1):
            contexts, suffixes = self._contexts[k - 2], self._suffixes[k - 2]
            more = np.bincount(
                contexts, e[k - 1] - e[k - 2][suffixes], minlength=len(self._counts.counts[k - 2])
            )
            shorter = z[-1][self._context_suffixes[k - 2]] if k > 2 else z[-1]
            z.append(shorter + more)
        return z

    def objective(self, weights):
        """Returns the objective and its gradient, both divided by the number of tokens."""
        e = self._exponentials(weights)
        z = self._normalizers(e)
        log_z = sum(leaves @ np.log(norm) for leaves, norm in zip(self._leaves, z, strict=True))
        prior = self._precision * weights
        loss = log_z - self._observed @ weights + 0.5 * prior @ weights
        gradient = self._by_weight(self._expected(e, z)) - self._observed + prior
        return loss / self._total, gradient / self._total

    def _expected(self, e, z):
        """Returns E of every k-gram, a list by order."""
        order = self._counts.order
        w = [leaves / norm for leaves, norm in zip(self._leaves, z, strict=True)]  # W
        for k in range(order, 2, -1):
            suffixes = self._context_suffixes[k - 2]
            w[k - 2] = w[k - 2] + np.bincount(suffixes, w[k - 1], minlength=len(w[k - 2]))
        if order > 1:
            w[0] = w[0] + w[1].sum()
        expected = [None] * order
        for k in range(order, 0, -1):
            left = w[k - 1][self._contexts[k - 2]] if k > 1 else np.full(self._size, w[0][0])
            longer = 0.0
            if k < order:
                suffixes, contexts = self._suffixes[k - 1], self._contexts[k - 1]
                left = left - np.bincount(suffixes, w[k][contexts], minlength=len(left))
                longer = np.bincount(suffixes, expected[k], minlength=len(left))
            expected[k - 1] = e[k - 1] * left + longer
        return expected

    def model(self, weights):
        """Returns the `MaximumEntropy` of a vector of weights."""
        e = self._exponentials(weights)
        z = self._normalizers(e)
        levels = []
        for k in range(2, self._counts.order + 1):
            contexts, suffixes = self._contexts[k - 2], self._suffixes[k - 2]
            shorter = z[k - 2][self._context_suffixes[k - 2]] if k > 2 else z[0]
            shares = (e[k - 1] - e[k - 2][suffixes]) / z[k - 1][contexts]
            backoffs = np.broadcast_to(shorter / z[k - 1], z[k - 1].shape)
            levels.append(Level(self._counts.keys[k - 2], frozen(shares), frozen(backoffs)))
        thetas = tuple(frozen(weights[places]) for places in self._places)
        return MaximumEntropy(self._size, frozen(e[0] / z[0]), tuple(levels), thetas)


def _places(counts, slots):
    """Returns which weight each k-gram has, a list of int arrays by order."""
    if slots is not None and (not isinstance(slots, int) or slots < 1):
        raise ValueError(f"slots: expected an integer of at least 1 or None, got {slots!r}")
    places, begin = [np.arange(counts.vocabulary_size)], counts.vocabulary_size
    for k, keys in enumerate(counts.keys, start=2):
        if slots is None:
            places.append(begin + np.arange(len(keys)))
            begin += len(keys)
        else:
            places.append(begin + hashed(keys + k, slots))
    return places


def _variances(variance, order, slots):
    """Returns the variance of each order."""
    variances = [variance] * order if np.ndim(variance) == 0 else list(variance)
    if len(variances) != order or not all(v > 0 for v in variances):
        raise ValueError(
            f"variance: expected a number above 0, or one for each of {order} orders, got "
            f"{variance!r}"
        )
    if slots is not None and len(set(variances[1:])) > 1:
        raise ValueError(
            f"variance: expected one for all orders that share {slots} slots, got {variance!r}"
        )
    return variances
