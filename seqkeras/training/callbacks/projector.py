"""Embeddings for TensorBoard's projector, as the TSV files that its plugin reads.

Keras' own callback names a TensorFlow checkpoint that it never writes, so its projector is empty.
The plugin also takes `tensor_path`: one row of tab-separated numbers for each point, beside a
table of labels. Both lie in the folder of a run, which must hold an event file too.
"""

import json
import os
from pathlib import Path

import keras
import numpy as np


def printable(label):
    """Returns a label on which the table's tabs and lines cannot break, and which is not blank."""
    shown = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in label
    )
    return shown if shown.strip() else "␣" * max(len(shown), 1)


def replace_text(path, text):
    """Writes a file so that a TensorBoard reading it meets the old text or the new, never half."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


class EmbeddingProjector:
    """The most frequent tokens' vectors, for `TensorBoardLogger(projector=...)`.

    The projector runs in the reader's browser and is fluent with a few thousand points.

    Args:
        embeddings: Variable `(V, D)`, such as `model.get_layer(...).embeddings`; it is read anew
            each time.
        vocabulary: List of V str, the tokens by id: `tokenizer.vocabulary`.
        counts: Optional int array `(V,)`, how often each token occurs in the training text. With
            it the `limit` most frequent are shown, the unseen are not, and the count is a column
            to colour by. Without it, the first of the vocabulary.
        limit: int. Number of points at most.

    Raises:
        ValueError: If the vocabulary or the counts do not have one entry for each vector.
    """

    def __init__(self, embeddings, vocabulary, counts=None, limit=5000):
        rows = embeddings.shape[0]
        for name, given in (("vocabulary", vocabulary), ("counts", counts)):
            if given is not None and len(given) != rows:
                raise ValueError(
                    f"Expected `{name}` with one entry for each of the {rows} embeddings, got "
                    f"{len(given)}. Pass those of the tokenizer that the model was built with."
                )
        self.embeddings = embeddings
        self.vocabulary = list(vocabulary)
        self.counts = None if counts is None else np.asarray(counts)
        if counts is None:
            self.ids = np.arange(min(rows, limit))
        else:
            by_count = np.argsort(-self.counts, kind="stable")[:limit]
            self.ids = by_count[self.counts[by_count] > 0]

    def write(self, directory):
        """Writes vectors.tsv, metadata.tsv and projector_config.pbtxt into a run's folder."""
        directory = Path(directory)
        vectors = keras.ops.convert_to_numpy(self.embeddings).astype("float32")[self.ids]
        lines = ["\t".join(f"{x:.5g}" for x in row) for row in vectors.tolist()]
        replace_text(directory / "vectors.tsv", "\n".join(lines) + "\n")
        replace_text(directory / "metadata.tsv", self._metadata())
        config = {
            "tensor_name": "target_embeddings",
            "tensor_path": "vectors.tsv",
            "metadata_path": "metadata.tsv",
        }
        fields = "".join(f"  {key}: {json.dumps(value)}\n" for key, value in config.items())
        replace_text(directory / "projector_config.pbtxt", f"embeddings {{\n{fields}}}\n")

    def _metadata(self):
        columns = {
            "token": [printable(self.vocabulary[i]) for i in self.ids],
            "id": [str(i) for i in self.ids],
        }
        if self.counts is not None:
            columns["count"] = [str(self.counts[i]) for i in self.ids]
        rows = zip(*columns.values(), strict=True)
        # The plugin reads the first line as names where there is more than one column.
        return "".join("\t".join(row) + "\n" for row in [tuple(columns), *rows])
