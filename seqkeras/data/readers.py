"""Readers: plain text as a list of lines, parallel text as a list of `(source, target)` strings.

| format | files |
|---|---|
| parallel text | `train.en` and `train.de`: line n of one translates line n of the other |
| TSV | `train.tsv`: a pair per line, columns parted by tabs, no header, no quoting |
| TFDS | a `Translation` set of tensorflow-datasets, such as `ted_hrlr_translate/pt_to_en` |
| TFDS | a set with a feature `text`, such as `tiny_shakespeare` |

Files are UTF-8; a byte order mark is dropped. A line ends at LF or CR LF and nowhere else: what
Python's `splitlines` also breaks at (U+2028, U+0085, vertical tab, ...) occurs inside sentences of
real corpora, and would shift every line after it. Readers neither strip nor drop anything, so that
pair n stays line n; `encode_pairs` leaves out what cannot be trained on, and counts it.
"""

import codecs
import contextlib
from pathlib import Path

_LISTED = 20  # the most names that an error message lists
_QUOTED = 60  # the most characters of a line that an error message quotes
# TFDS' 10 retries wait 205 s altogether before it says that there is no network; 3 wait 1.4 s.
_DOWNLOAD_RETRIES = 3


def read_lines(path):
    """Reads the lines of a UTF-8 text file, without their line ends.

    Args:
        path: str or `pathlib.Path`.

    Returns:
        list of str. A line end at the end of the file starts no further line.

    Raises:
        FileNotFoundError: no such file; the message lists what its folder holds.
        ValueError: a line is not UTF-8 or contains NUL; the message names file and line.
    """
    return list(iterate_lines(path))


def iterate_lines(path):
    """Yields what `read_lines` returns, line by line: for files that do not fit into memory.

    Raises:
        FileNotFoundError, ValueError: as `read_lines`, when the line is reached.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}: {_describe_folder(path.parent)}")
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            data = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            where = f"{path}, line {number}"
            try:
                text = data.decode("utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{where} is not UTF-8 (byte 0x{data[error.start]:02x}, {error.reason}). "
                    "Convert the file from its encoding, such as LATIN1 or UTF-16, with "
                    "`iconv -f ENCODING -t UTF-8`, or correct that line."
                ) from error
            if "\0" in text:
                raise ValueError(
                    f"{where} contains a NUL character: expected UTF-8 text, this looks like "
                    "UTF-16 or a binary file. Convert it to UTF-8, or remove the character."
                )
            text = text.removesuffix("\n").removesuffix("\r")
            if text or data:
                yield text


def read_parallel(folder, split, source, target):
    """Reads a pair of aligned text files, one sentence per line.

    Args:
        folder: str or `pathlib.Path`. Holds `{split}.{source}` and `{split}.{target}`.
        split: str, the stem of both files, such as `"train"`.
        source: str, the suffix of the source file, such as `"en"`.
        target: str, the suffix of the target file, such as `"de"`.

    Returns:
        list of `(source, target)` str pairs; pair i is line i + 1 of both files.

    Raises:
        FileNotFoundError: a file is missing; the message says what the folder holds.
        ValueError: a line is not UTF-8, or the files have different numbers of lines.
    """
    folder = Path(folder)
    paths = [folder / f"{split}.{language}" for language in (source, target)]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(
                f"no file {path}: {_describe_folder(folder)} "
                f"{_describe_splits(folder, source, target)}"
            )
    sources, targets = (read_lines(path) for path in paths)
    if len(sources) != len(targets):
        _raise_misaligned(paths, (sources, targets))
    return list(zip(sources, targets, strict=True))


def available_splits(folder, source, target):
    """Returns the sorted names of the splits that `folder` holds in both languages."""
    stems = [
        {path.name.removesuffix(f".{language}") for path in Path(folder).glob(f"*.{language}")}
        for language in (source, target)
    ]
    return sorted(stems[0] & stems[1])


def read_tsv(path, source_column=0, target_column=1):
    """Reads pairs from a file of tab-separated values, without header and without quoting.

    Args:
        path: str or `pathlib.Path`.
        source_column: int, the column of the source, counted from 0.
        target_column: int, the column of the target, counted from 0.

    Returns:
        list of `(source, target)` str pairs; pair i is line i + 1. A blank line gives a pair of
        empty strings.

    Raises:
        FileNotFoundError: the file is missing; the message says what its folder holds.
        ValueError: a column is negative, a line has too few columns or is not UTF-8.
    """
    if min(source_column, target_column) < 0:
        raise ValueError(
            f"columns are counted from 0; got source_column={source_column} and "
            f"target_column={target_column}"
        )
    columns_needed = max(source_column, target_column) + 1
    pairs = []
    for number, line in enumerate(read_lines(path), start=1):
        columns = line.split("\t") if line.strip() else [""] * columns_needed
        if len(columns) < columns_needed:
            raise ValueError(
                f"{path}, line {number}: expected at least {columns_needed} columns parted by "
                f"tabs, got {len(columns)}: {_quote(line)}"
            )
        pairs.append((columns[source_column], columns[target_column]))
    return pairs


def read_tfds(name, split, source, target, data_dir=None):
    """Reads a translation set of tensorflow-datasets, downloading it if need be.

    Args:
        name: str, a set with its config, such as `"ted_hrlr_translate/pt_to_en"`.
        split: str, a split of it, such as `"train"` or `"train[:10%]"`.
        source: str, the language to translate from, such as `"pt"`.
        target: str, the language to translate into, such as `"en"`.
        data_dir: str. Where TFDS keeps its sets; `None` for `~/tensorflow_datasets`.

    Returns:
        list of `(source, target)` str pairs, in the set's order.

    Raises:
        ConnectionError: the set is not there and cannot be downloaded; says so within seconds.
        ValueError: TFDS has no such set or split, it is not a translation set, or it lacks a
            language.
    """
    import tensorflow_datasets as tfds

    builder = tfds.builder(name, data_dir=data_dir)
    features = builder.info.features
    if not isinstance(features, tfds.features.Translation):
        raise ValueError(
            f"tfds:{name} is not a translation set: expected examples of the kind Translation, "
            f"got {features}"
        )
    for language in (source, target):
        if language not in features:
            raise ValueError(
                f"tfds:{name} has no language {language!r}; its languages are {sorted(features)}"
            )
    download_tfds(builder, name)
    examples = tfds.as_numpy(builder.as_dataset(split=split))
    return [(example[source].decode(), example[target].decode()) for example in examples]


def iterate_tfds_text(name, split, data_dir=None):
    """Yields the lines of a set of tensorflow-datasets with a feature `text`, as they are read.

    Args:
        name: str, a set with its config, such as `"tiny_shakespeare"` or `"lm1b"`.
        split: str, a split of it, such as `"train"` or `"train[:1%]"`.
        data_dir: str. Where TFDS keeps its sets; `None` for `~/tensorflow_datasets`.

    Yields:
        str. An example with several lines gives several.

    Raises:
        ConnectionError: the set is not there and cannot be downloaded.
        ValueError: TFDS has no such set or split, or it has no feature `text`.
    """
    import tensorflow_datasets as tfds

    builder = tfds.builder(name, data_dir=data_dir)
    features = builder.info.features
    if "text" not in features or not isinstance(features["text"], tfds.features.Text):
        raise ValueError(
            f"tfds:{name} is no set of texts: expected the feature text (Text), got {features}"
        )
    download_tfds(builder, name)
    for example in tfds.as_numpy(builder.as_dataset(split=split)):
        yield from example["text"].decode().split("\n")


def download_tfds(builder, name):
    """Prepares a TFDS set, or says what to do where that needs a network and there is none."""
    from tensorflow_datasets.core.download.util import DownloadError

    try:
        with _few_retries():
            builder.download_and_prepare()
    except (OSError, DownloadError) as error:
        raise ConnectionError(
            f"tfds:{name} is not in {builder.data_dir} and could not be downloaded ({error}). "
            f"Run `tfds build {name}` where there is a network and copy the folder that it writes "
            f"to {builder.data_dir}, name the folder that holds your TFDS sets as data_dir, or "
            f"use text files."
        ) from error


@contextlib.contextmanager
def _few_retries():
    from tensorflow_datasets.core.download import downloader

    usual = downloader.MAX_RETRIES
    downloader.MAX_RETRIES = _DOWNLOAD_RETRIES
    try:
        yield
    finally:
        downloader.MAX_RETRIES = usual


def _raise_misaligned(paths, texts):
    counts = [len(lines) for lines in texts]
    longer = counts.index(max(counts))
    first = min(counts)
    raise ValueError(
        f"{paths[0]} has {counts[0]} lines but {paths[1]} has {counts[1]}: line {first + 1} of "
        f"{paths[longer].name}, {_quote(texts[longer][first])}, has no partner. Line n of one file "
        f"must translate line n of the other; look for a line that was lost, added or split in "
        f"either file."
    )


def _quote(line):
    return repr(line if len(line) <= _QUOTED else line[:_QUOTED] + "...")


def _describe_folder(folder):
    if not folder.is_dir():
        return f"{folder} is not a folder."
    names = sorted(path.name for path in folder.iterdir())
    if not names:
        return "its folder is empty."
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"its folder holds {', '.join(names[:_LISTED])}{more}."


def _describe_splits(folder, source, target):
    splits = available_splits(folder, source, target)
    if not splits:
        return f"No split has both a .{source} and a .{target} file."
    return f"Splits with both .{source} and .{target}: {', '.join(splits)}."
