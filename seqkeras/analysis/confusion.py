"""What a classifier takes for what: the confusion matrix, and the scores that follow from it.

n_ij is how often class i was called j. For class i:

    precision  n_ii / sum_k n_ki      recall  n_ii / sum_k n_ik      F1  2 P R / (P + R)

accuracy is sum_i n_ii / sum n; macro F1 is the mean of F1 over the classes, rare ones weighing as
much as frequent ones, but for those that neither occur nor are answered. 0 / 0 counts as 0.
"""

from typing import NamedTuple

import numpy as np

from seqkeras.analysis.figures import drawable, new_figure

_MOST_NUMBERS = 20  # classes up to which the cells of the picture have room for their counts


class ClassScore(NamedTuple):
    """One row of the table: a class, how often it occurs, and how well it is recognised."""

    label: str
    examples: int
    precision: float
    recall: float
    f1: float


def confusion_matrix(truth, answers, classes):
    """Returns int array `(C, C)`: rows are true classes, columns are answers.

    Args:
        truth: Integers `(N,)` from 0 to C - 1.
        answers: Integers `(N,)`.
        classes: int, C.

    Example:

    >>> confusion_matrix([0, 0, 1], [0, 1, 1], 2)
    array([[1, 1],
           [0, 1]])
    """
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (np.asarray(truth), np.asarray(answers)), 1)
    return matrix


def class_scores(matrix, labels):
    """Returns a `ClassScore` for each class of a confusion matrix."""
    hits, answered, true = np.diag(matrix), matrix.sum(axis=0), matrix.sum(axis=1)
    precision, recall = _ratio(hits, answered), _ratio(hits, true)
    f1 = _ratio(2 * hits, answered + true)
    columns = (precision.tolist(), recall.tolist(), f1.tolist())
    return [ClassScore(*row) for row in zip(labels, true.tolist(), *columns, strict=True)]


def accuracy(matrix):
    """Returns the share of right answers."""
    return float(np.trace(matrix) / matrix.sum())


def macro_f1(matrix):
    """Returns the mean F1 of the classes that occur or are answered."""
    seen = (matrix.sum(axis=0) + matrix.sum(axis=1)) > 0
    scores = class_scores(matrix, range(len(matrix)))
    return float(np.mean([s.f1 for s, kept in zip(scores, seen, strict=True) if kept]))


def plot_confusion(matrix, labels, title=None):
    """Draws a confusion matrix: shades are shares of the true class, numbers are counts.

    Args:
        matrix: Int array `(C, C)`.
        labels: C str.
        title: Optional str.

    Returns:
        `matplotlib.figure.Figure`.
    """
    shares = _ratio(matrix, matrix.sum(axis=1, keepdims=True))
    size = min(3.0 + 0.45 * len(labels), 14.0)
    figure = new_figure(size + 1.0, size)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    names = [drawable(label) for label in labels]
    axes.set_xticks(range(len(names)), names, rotation=90 if len(names) > 4 else 0)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("answer")
    axes.set_ylabel("truth")
    if len(labels) <= _MOST_NUMBERS:
        for i, j in zip(*np.nonzero(matrix), strict=True):
            color = "white" if shares[i, j] > 0.5 else "black"
            axes.text(j, i, str(matrix[i, j]), ha="center", va="center", color=color)
    figure.colorbar(image, ax=axes, label="share of the true class")
    if title is not None:
        axes.set_title(title)
    return figure


def _ratio(numerator, denominator):
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    zeros = np.zeros(numerator.shape)
    return np.divide(numerator, denominator, out=zeros, where=denominator > 0)
