"""Kneser-Ney smoothing by its definition, in exact fractions, with dictionaries of tuples."""

from collections import Counter, defaultdict
from fractions import Fraction

from seqkeras.constants import END, PAD, START


def windows(sentence, k):
    """The k-grams of a sentence that end in a token, START before it among their words."""
    padded = (START, *sentence)
    return [padded[i : i + k] for i in range(len(padded) - k + 1) if i + k > 1]


class ExactKneserNey:
    """p(w | h) of a toy corpus, word by word.

    Args:
        sentences: List of tuples of ids, END included.
        discounts: For each order D(1), D(2), D(3+), as fractions.
        vocabulary_size: V.
    """

    def __init__(self, sentences, discounts, vocabulary_size):
        self.discounts = discounts
        self.order = len(discounts)
        self.words = [w for w in range(vocabulary_size) if w not in (PAD, START)]
        self.raw = [
            Counter(g for s in sentences for g in windows(s, k)) for k in range(1, self.order + 1)
        ]
        self.before = defaultdict(set)
        for gram in (gram for counts in self.raw[1:] for gram in counts):
            self.before[gram[1:]].add(gram[0])

    def count(self, gram):
        k = len(gram)
        if k == self.order or gram[0] == START:
            return self.raw[k - 1][gram]
        return len(self.before.get(gram, ()))

    def discount(self, gram):
        c = self.count(gram)
        return self.discounts[len(gram) - 1][min(c, 3) - 1] if c else Fraction(0)

    def p(self, word, context):
        """Probability of a word after the last n-1 words of a context, START among them."""
        context = tuple(context)[max(0, len(context) - self.order + 1) :]
        lower = self.p(word, context[1:]) if context else Fraction(1, len(self.words))
        grams = [(*context, w) for w in self.words]
        total = sum(self.count(g) for g in grams)
        if not total:
            return lower
        gram = (*context, word)
        left = sum(self.discount(g) for g in grams)
        return Fraction(self.count(gram) - self.discount(gram) + left * lower) / total

    def counts_of_counts(self, k):
        """How many k-grams have the counts 1, 2, 3, 4, by looking at each."""
        found = Counter(self.count(g) for g in self.raw[k - 1])
        return [found[j] for j in (1, 2, 3, 4)]


def toy_corpus(rng, sentences=40, vocabulary_size=9, longest=7):
    """Sentences with many repeated n-grams: words are drawn by rank."""
    words = list(range(3, vocabulary_size - 1))  # the last id never occurs
    weights = [1.0 / (1 + i) for i in range(len(words))]
    shares = [w / sum(weights) for w in weights]
    lengths = rng.integers(0, longest, sentences)
    return [(*rng.choice(words, length, p=shares).tolist(), END) for length in lengths]
