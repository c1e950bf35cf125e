"""A model small enough to enumerate: its logits are a table over all prefixes."""

import itertools

import numpy as np
from keras import ops

from seqkeras.constants import END, PAD, START

REGULAR = END + 1  # the first id that is not a special token of the searches


def unpad(tokens):
    """Turns rows of token ids into a list of tuples without PAD."""
    return [tuple(int(v) for v in row if v != PAD) for row in np.asarray(tokens)]


def arrays(result):
    """Turns a named tuple of tensors into a list of arrays."""
    return [np.asarray(ops.convert_to_numpy(field)) for field in result]


def repeats(tokens, ngram):
    """Whether an n-gram occurs twice in `tokens`."""
    grams = [tuple(tokens[i : i + ngram]) for i in range(len(tokens) - ngram + 1)]
    return len(set(grams)) < len(grams)


class TableModel:
    """Random p(v | every prefix) for each of B examples, and random attention of width S.

    A prefix y_1 .. y_t is the node n_t = n_(t-1) V + y_t + 1 of a trie, so the model depends on
    the whole history; a search that reorders the state wrongly gets other numbers.
    """

    def __init__(self, batch_size, vocabulary, depth, seed, positions=3, concentration=1.0):
        rng = np.random.default_rng(seed)
        self.batch_size, self.vocabulary, self.depth = batch_size, vocabulary, depth
        self.nodes = sum(vocabulary**d for d in range(depth))
        shape = (batch_size, self.nodes)
        concentrations = np.full(vocabulary, concentration)
        self.table = np.log(rng.dirichlet(concentrations, shape) + 1e-9).astype("float32")
        self.source_mask = np.arange(positions) < rng.integers(1, positions + 1, (batch_size, 1))
        attention = rng.dirichlet(np.ones(positions), shape) * self.source_mask[:, None]
        self.attention = (attention / attention.sum(-1, keepdims=True)).astype("float32")

    def state(self, rows=None):
        """The state before the first step, for some of the examples."""
        rows = np.arange(self.batch_size) if rows is None else np.asarray(rows)
        return {
            "row": ops.convert_to_tensor(rows, dtype="int32"),
            "trie": {"node": ops.zeros((len(rows),), dtype="int32")},
            "attention": ops.zeros((len(rows), self.attention.shape[-1])),
        }

    def step(self, tokens, state):
        node = state["trie"]["node"]
        child = ops.minimum(node * self.vocabulary + tokens + 1, self.nodes - 1)
        node = ops.where(ops.equal(tokens, START), node, child)
        index = state["row"] * self.nodes + node
        logits = ops.take(self.table.reshape(-1, self.vocabulary), index, axis=0)
        attention = ops.take(self.attention.reshape(-1, self.attention.shape[-1]), index, axis=0)
        return logits, {"row": state["row"], "trie": {"node": node}, "attention": attention}

    def after(self, row, prefix):
        """The log-probabilities and the attention after `prefix`, in plain Python."""
        node = 0
        for token in prefix:
            node = node * self.vocabulary + int(token) + 1
        logits = self.table[row, node].astype("float64")
        return logits - np.logaddexp.reduce(logits), self.attention[row, node]

    def log_prob(self, row, tokens):
        """The teacher-forced log-probability of `tokens`, which end in END."""
        return sum(self.after(row, tokens[:t])[0][v] for t, v in enumerate(tokens))

    def score(self, row, tokens, alpha=0.0, beta=0.0):
        """GNMT's score, written once more."""
        coverage = sum(self.after(row, tokens[:t])[1].astype("float64") for t in range(len(tokens)))
        logs = [np.log(np.clip(c, 1e-7, 1)) for c in coverage[self.source_mask[row]]]
        return self.log_prob(row, tokens) / ((5 + len(tokens)) / 6) ** alpha + beta * sum(logs)

    def all_sequences(self, limit):
        """Every sequence that a search may return."""
        for length in range(limit):
            for tokens in itertools.product(range(REGULAR, self.vocabulary), repeat=length):
                yield (*tokens, END)
