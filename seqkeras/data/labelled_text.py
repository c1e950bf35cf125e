"""Readers of labelled texts, as a list of `(text, label)`.

| format | files |
|---|---|
| TSV | `train.tsv`: a label, a tab, a text in every line; no header, no quoting |
| TFDS | a set of tensorflow-datasets with features `text` and `label`, such as `imdb_reviews` |
"""

from seqkeras.data.readers import download_tfds, read_lines


def read_labelled_tsv(path):
    """Reads a file of `label<TAB>text` lines; blank lines are passed over.

    Args:
        path: str or `pathlib.Path`.

    Returns:
        List of `(text, label)` str pairs.

    Raises:
        FileNotFoundError: the file is missing; the message says what its folder holds.
        ValueError: naming the line: no tab, no label, not UTF-8; or a file without examples.
    """
    examples = []
    for number, line in enumerate(read_lines(path), start=1):
        label, tab, text = line.partition("\t")  # further tabs belong to the text
        if not line.strip():
            continue
        if not tab or not label.strip():
            raise ValueError(
                f"{path}, line {number}: expected label<TAB>text, got {line[:60]!r}. The label "
                "stands first, and is not empty."
            )
        examples.append((text, label.strip()))
    if not examples:
        raise ValueError(f"{path}: expected lines of label<TAB>text, got none")
    return examples


def read_labelled_tfds(name, split, data_dir=None):
    """Reads a text classification set of tensorflow-datasets, downloading it if need be.

    Args:
        name: str, a set with its config, such as `"imdb_reviews"`.
        split: str, a split of it, such as `"train"` or `"train[:10%]"`.
        data_dir: str. Where TFDS keeps its sets; `None` for `~/tensorflow_datasets`.

    Returns:
        List of `(text, label)` str pairs, labels by their names.

    Raises:
        ConnectionError: the set is not there and cannot be downloaded.
        ValueError: TFDS has no such set or split, or it has no features `text` and `label`.
    """
    import tensorflow_datasets as tfds

    builder = tfds.builder(name, data_dir=data_dir)
    features = builder.info.features
    kinds = {"text": tfds.features.Text, "label": tfds.features.ClassLabel}
    found = {key: features[key] for key in kinds if key in features}
    if not all(isinstance(found.get(key), kind) for key, kind in kinds.items()):
        raise ValueError(
            f"tfds:{name} is no text classification set: expected the features text (Text) and "
            f"label (ClassLabel), got {features}"
        )
    download_tfds(builder, name)
    names = features["label"].names
    examples = tfds.as_numpy(builder.as_dataset(split=split))
    return [(example["text"].decode(), names[example["label"]]) for example in examples]
