"""Epoch plans: which examples share a batch, and in which order the batches come.

An example costs c = max(source length, target length), and a batch fits the budget when

    rows * max(c) <= tokens_per_batch

so neither the padded source nor the padded target of a batch has more positions than that.
Little padding needs neighbours of like length on *both* sides. So the examples are sorted by source
length, cut into bands of equally many, and each band sorted by target length, up and down in turn:

    source length   3 3 3 4 4 4 | 5 5 6 6 6 6 | 7 7 8 8 9 9
    target length   2 3 3 4 5 6 | 8 7 7 6 5 4 | 6 7 8 9 9 9      each batch takes the next few

With about as many bands as a band has batches, a batch is narrow in both lengths. An epoch is
shuffled by jitter on the lengths before they are sorted, by moving the bands, and by permuting the
finished batches, all drawn from (seed, epoch) alone: nothing else is needed to go on in the middle.

Such orders need a batch more or less from epoch to epoch, but `fit` wants a constant number of
steps. It is the most that a few trial epochs and the plain sorted order need. An epoch that needs
fewer gets its largest batches halved; one that needs more is drawn again, and takes the sorted
order if none of a few draws fits.
"""

import math
from typing import NamedTuple

import numpy as np

_JITTER = 0.05  # of a length, either way: more mixes better and pads more, 0.1 twice as much
_TRIAL_EPOCHS = 4
_DRAWS = 8


class Plan(NamedTuple):
    """The batches of an epoch: batch i is `examples[splits[i]:splits[i + 1]]`.

    Args:
        examples: int64 array `(N,)`. Indices of examples, each once.
        splits: int64 array `(steps + 1,)`. Where batches begin and end.
    """

    examples: np.ndarray
    splits: np.ndarray


class Planner:
    """Plans epochs of a constant number of batches within a token budget.

    Args:
        source_lengths: int array `(N,)`, N > 0, each from 1 to `tokens_per_batch`.
        target_lengths: int array `(N,)`, the same for the targets.
        tokens_per_batch: int. The most padded positions of a batch, of source and target each.
        seed: int, not negative.

    Attributes:
        steps: int. The number of batches in every plan of `shuffled`.
    """

    def __init__(self, source_lengths, target_lengths, tokens_per_batch, seed):
        self._source = np.asarray(source_lengths)
        self._target = np.asarray(target_lengths)
        self._cost = np.maximum(self._source, self._target)
        self._budget = tokens_per_batch
        self._seed = seed
        self._bands = max(1, round(math.sqrt(self._cost.sum() / tokens_per_batch)))
        trials = [self._draw(self._generator(epoch)) for epoch in range(_TRIAL_EPOCHS)]
        self.steps = max(len(plan.splits) - 1 for plan in [self.sorted(), *trials])

    def sorted(self):
        """Returns the plan without chance, of at most `steps` batches."""
        return self._cut(_order(self._source, self._target, self._bands, phase=0.0))

    def shuffled(self, epoch):
        """Returns the plan of an epoch, of exactly `steps` batches; the same at every call."""
        rng = self._generator(epoch)
        draws = (self._draw(rng) for _ in range(_DRAWS))
        fitting = (plan for plan in draws if len(plan.splits) - 1 <= self.steps)
        plan = next(fitting, None) or self.sorted()
        batches = np.split(plan.examples, self._halve_largest(plan.splits)[1:-1])
        batches = [batches[i] for i in rng.permutation(self.steps)]
        return Plan(np.concatenate(batches), _row_splits([len(batch) for batch in batches]))

    def padding_share(self, plan):
        """Returns the share of padding among all positions, source and target, of a plan."""
        rows = np.diff(plan.splits)
        positions = sum(
            rows @ np.maximum.reduceat(lengths[plan.examples], plan.splits[:-1])
            for lengths in (self._source, self._target)
        )
        return 1.0 - float((self._source.sum() + self._target.sum()) / positions)

    def _generator(self, epoch):
        return np.random.default_rng([self._seed, epoch])

    def _draw(self, rng):
        jitter = rng.uniform(1.0 - _JITTER, 1.0 + _JITTER, size=(2, len(self._cost)))
        source, target = jitter * [self._source, self._target]
        return self._cut(_order(source, target, self._bands, phase=rng.uniform()))

    def _cut(self, order):
        """Cuts an order into the fewest consecutive batches that fit: fills each in turn."""
        cost = self._cost[order]
        splits = [0]
        while (begin := splits[-1]) < len(cost):
            window = cost[begin : begin + self._budget // cost[begin]]
            padded = np.maximum.accumulate(window) * np.arange(1, len(window) + 1)
            splits.append(begin + int(np.searchsorted(padded, self._budget, side="right")))
        return Plan(order, np.array(splits))

    def _halve_largest(self, splits):
        while len(splits) - 1 < self.steps:
            rows = np.diff(splits)
            largest = int(rows.argmax())
            splits = np.insert(splits, largest + 1, splits[largest] + rows[largest] // 2)
        return splits


def _order(source, target, bands, phase):
    """Returns the indices that sort by source in bands, by target up and down within them.

    `phase`, from 0 to 1, moves the limits of the bands by that share of a band.
    """
    count = len(source)
    band = np.empty(count, np.int64)
    band[np.lexsort((target, source))] = np.arange(count) * bands / count + phase
    return np.lexsort((np.where(band % 2, -target, target), band))


def _row_splits(lengths):
    return np.concatenate([[0], np.cumsum(lengths)])
