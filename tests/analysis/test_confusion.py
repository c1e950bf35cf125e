import numpy as np
import pytest

from seqkeras.analysis.confusion import (
    accuracy,
    class_scores,
    confusion_matrix,
    macro_f1,
    plot_confusion,
)
from seqkeras.analysis.figures import figure_pixels

RNG = np.random.default_rng(4)
TRUTH, ANSWERS = RNG.integers(0, 3, 40), RNG.integers(0, 4, 40)  # class 3: answered, never true


def counted(label):
    """Precision, recall and F1 of one class, one example at a time."""
    pairs = list(zip(TRUTH, ANSWERS, strict=True))
    hits = sum(t == a == label for t, a in pairs)
    precision = hits / max(sum(a == label for _, a in pairs), 1)
    recall = hits / max(sum(t == label for t, _ in pairs), 1)
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)


def test_scores_are_those_counted_by_hand():
    matrix = confusion_matrix(TRUTH, ANSWERS, 4)
    assert matrix.sum() == 40
    rows = class_scores(matrix, "abcd")
    for label, row in enumerate(rows):
        np.testing.assert_allclose(row[2:], counted(label), rtol=1e-6, atol=1e-9)
        assert (row.label, row.examples) == ("abcd"[label], sum(label == TRUTH))
    assert accuracy(matrix) == pytest.approx(np.mean(TRUTH == ANSWERS))
    assert macro_f1(matrix) == pytest.approx(np.mean([counted(label)[2] for label in range(4)]))


def test_a_class_that_neither_occurs_nor_is_answered_does_not_count():
    matrix = confusion_matrix([0, 1, 1], [0, 1, 0], 3)
    assert macro_f1(matrix) == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert class_scores(matrix, "abc")[2].f1 == 0.0


@pytest.mark.parametrize("classes", [2, 25])
def test_the_picture_has_the_counts_where_there_is_room(classes):
    truth = np.arange(classes)
    figure = plot_confusion(confusion_matrix(truth, truth, classes), list(map(str, truth)), "t")
    assert len(figure.axes[0].texts) == (classes if classes <= 20 else 0)
    assert figure_pixels(figure).std() > 0
