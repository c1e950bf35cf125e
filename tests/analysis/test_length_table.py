import pytest
import sacrebleu

from seqkeras.analysis import LengthScore, figure_pixels, plot_score_by_length, score_by_length

SOURCES = ["a b", "a", "a b c", "a b c d e f", "a b c d e", "a b"]
REFERENCES = [
    "the cat sat on the mat .",
    "a dog runs through the park .",
    "two men are talking in a café .",
    "a very long sentence about nothing at all .",
    "children are playing football on the grass .",
    "the cat sat here .",
]
HYPOTHESES = [
    "the cat sat on a mat .",
    "a dog runs through the park .",
    "two men talk in a café .",
    "a long sentence about nothing .",
    "children are playing on the grass .",
    "the cat sat here .",
]


def test_buckets_are_scored_as_corpora_of_their_own():
    rows = score_by_length(SOURCES, HYPOTHESES, REFERENCES, buckets=(2, 4, 5))
    members = {"0-2": [0, 1, 5], "3-4": [2], "5-5": [4], "> 5": [3]}
    assert [row.label for row in rows] == list(members)
    for row, indices in zip(rows, members.values(), strict=True):
        outputs = [HYPOTHESES[i] for i in indices]
        answers = [REFERENCES[i] for i in indices]
        assert row.sentences == len(indices)
        bleu = sacrebleu.BLEU().corpus_score(outputs, [answers]).score
        chrf = sacrebleu.CHRF().corpus_score(outputs, [answers]).score
        assert (row.bleu, row.chrf) == pytest.approx((bleu, chrf))
        assert 0 < row.bleu <= 100.0
        exact = sum(o == a for o, a in zip(outputs, answers, strict=True))
        assert row.exact_match == pytest.approx(100 * exact / len(indices))


def test_length_in_characters_and_empty_buckets():
    rows = score_by_length(["ab", "abcdefgh"], ["x", "y"], ["x", "z"], buckets=(3, 6), length=len)
    assert [(r.shortest, r.longest, r.exact_match) for r in rows] == [(0, 3, 100.0), (7, None, 0.0)]


def test_one_bucket_is_the_corpus():
    (row,) = score_by_length(SOURCES, HYPOTHESES, REFERENCES, buckets=())
    assert row.bleu == pytest.approx(sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES]).score)
    assert (row.label, row.sentences) == ("all", 6)


def test_wrong_lists_and_buckets():
    with pytest.raises(ValueError, match="6 sources, 5 hypotheses, 6 references"):
        score_by_length(SOURCES, HYPOTHESES[1:], REFERENCES)
    with pytest.raises(ValueError, match="ascending order, got \\(10, 5\\)"):
        score_by_length(SOURCES, HYPOTHESES, REFERENCES, buckets=(10, 5))


def rows_of(*scores):
    edges = [(0, 10), (11, 20), (21, None)]
    return [
        LengthScore(low, high, count, score, score / 2, score / 4)
        for (low, high), count, score in zip(edges, (5, 70, 3), scores, strict=True)
    ]


@pytest.mark.parametrize(("metric", "factor"), [("bleu", 1), ("chrf", 0.5), ("exact_match", 0.25)])
def test_plot_has_a_line_for_each_system_and_the_number_of_sentences(metric, factor):
    systems = {"with attention": rows_of(30, 28, 26), "without": rows_of(28, 20, 8)}
    figure = plot_score_by_length(systems, metric, title="t")
    top, bottom = figure.axes
    assert [line.get_label() for line in top.lines] == list(systems)
    assert [list(line.get_ydata()) for line in top.lines] == [
        [factor * v for v in (30, 28, 26)],
        [factor * v for v in (28, 20, 8)],
    ]
    assert [bar.get_height() for bar in bottom.patches] == [5, 70, 3]
    assert [tick.get_text() for tick in bottom.get_xticklabels()] == ["0-10", "11-20", "> 20"]
    assert figure_pixels(figure).shape == (480, 640, 4)


def test_plot_refuses_what_cannot_be_compared():
    with pytest.raises(ValueError, match="same buckets for every system"):
        plot_score_by_length({"a": rows_of(1, 2, 3), "b": rows_of(1, 2, 3)[1:]})
    with pytest.raises(ValueError, match="same buckets for every system"):
        plot_score_by_length({})
    with pytest.raises(ValueError, match="one of .*'bleu', 'chrf', 'exact_match'.* got 'wer'"):
        plot_score_by_length({"a": rows_of(1, 2, 3)}, "wer")
