"""What `evaluate` measures of one split, prints, and leaves in the run."""

import re

import numpy as np

from pipelines.labelled_sequences import encode
from seqkeras.analysis.confusion import (
    accuracy,
    class_scores,
    confusion_matrix,
    macro_f1,
    plot_confusion,
)
from seqkeras.analysis.figures import save_png
from seqkeras.decoding.corpus import run_corpus
from seqkeras.serving.classifiers import padded


def classify(function, sequences, batch_size):
    """Calls a classifier's signature on sequences of any length; returns one dict for each.

    Args:
        function: The signature, of a `Classifier` or of its export.
        sequences: List of str, or of float32 arrays `(T, D)`.
        batch_size: Most sequences at a time.
    """

    def call(batch):
        return function(text=batch) if isinstance(batch[0], str) else function(**padded(batch))

    return run_corpus(call, sequences, batch_size=batch_size)


def report(name, split, classifier, function, run, batch_size):
    """Classifies a split; prints its scores; writes answers and the confusion matrix.

    Args:
        name: Name of the split.
        split: `Split`.
        classifier: `Classifier`.
        function: Its signature.
        run: `RunDirectory`.
        batch_size: Most sequences at a time.

    Returns:
        Dict of the scores, as it stands in metrics.json; cross_entropy is in nats.
    """
    labels = classifier.labels
    channels = None if split.is_text else classifier.model.input["sequence"].shape[-1]
    tokenizer = getattr(classifier, "tokenizer", None)
    truth = encode(split, name, labels, classifier.max_length, tokenizer, channels).labels
    results = classify(function, split.sequences, batch_size)
    probabilities = np.array([result["probabilities"] for result in results], np.float64)
    matrix = confusion_matrix(truth, probabilities.argmax(axis=1), len(labels))
    rows = class_scores(matrix, labels)
    likelihood = np.maximum(probabilities[np.arange(len(truth)), truth], np.finfo(np.float32).tiny)
    scores = {
        "examples": len(truth),
        "accuracy": accuracy(matrix),
        "macro_f1": macro_f1(matrix),
        "cross_entropy": float(-np.log(likelihood).mean()),
        "per_class": [row._asdict() for row in rows],
        "confusion": matrix.tolist(),
    }
    _print(name, scores, rows)
    file = re.sub(r"[^\w.-]+", "_", name)
    _write_answers(run, file, split, results)
    save_png(plot_confusion(matrix, labels, title=name), run.plots / f"confusion.{file}.png")
    return scores


def _print(name, scores, rows):
    print(f"\n{name}: {scores['examples']:,} sequences")
    print(
        f"  accuracy {100 * scores['accuracy']:.2f} %   macro F1 {scores['macro_f1']:.4f}   "
        f"cross-entropy {scores['cross_entropy']:.4f}"
    )
    print(f"  {'class':>18} {'examples':>9} {'precision':>10} {'recall':>7} {'F1':>7}")
    for row in rows:
        print(
            f"  {row.label:>18} {row.examples:>9} {row.precision:>10.4f} {row.recall:>7.4f} "
            f"{row.f1:>7.4f}",
            flush=True,
        )


def _write_answers(run, file, split, results):
    run.samples.mkdir(parents=True, exist_ok=True)
    with open(run.samples / f"{file}.tsv", "w", encoding="utf-8") as out:
        out.write("right\tprobability\tlabel\tanswer\tsequence\n")
        for label, name, result in zip(split.labels, split.names, results, strict=True):
            right = "yes" if result["label"] == label else "no"
            cells = (right, f"{result['probability']:.4f}", label, result["label"], name)
            out.write("\t".join(cell.replace("\t", " ") for cell in cells) + "\n")
