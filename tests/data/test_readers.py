"""Readers against files written byte by byte, and against mocked TFDS sets."""

import socket
import subprocess
import sys
import time
import warnings

import pytest
import tensorflow as tf

from seqkeras.data.readers import (
    available_splits,
    iterate_lines,
    iterate_tfds_text,
    read_lines,
    read_parallel,
    read_tfds,
    read_tsv,
)


def write(folder, **files):
    """Writes `train_en=b"..."` to `folder/train.en`, and so on."""
    for name, data in files.items():
        (folder / name.replace("_", ".")).write_bytes(data)


def write_aligned(folder, source, target):
    write(folder, train_en=source, train_de=target)


def test_parallel_files_give_pairs_line_by_line(tmp_path):
    write_aligned(tmp_path, b"one\n tea \n", "eins\nTüte\n".encode())
    assert read_parallel(tmp_path, "train", "en", "de") == [("one", "eins"), (" tea ", "Tüte")]
    assert read_parallel(str(tmp_path), "train", "de", "en")[0] == ("eins", "one")


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a", ["a"]),
        (b"a\n", ["a"]),
        (b"a\n\n", ["a", ""]),
        (b"\na", ["", "a"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"a\nb\r\nc", ["a", "b", "c"]),
        (b"a\r\r\n", ["a\r"]),
        (b"\xef\xbb\xbfa\n", ["a"]),
        (b"a\n\xef\xbb\xbfb\n", ["a", "\ufeffb"]),
    ],
)
def test_line_ends_and_byte_order_mark(tmp_path, data, lines):
    write(tmp_path, some_txt=data)
    assert read_lines(tmp_path / "some.txt") == lines


def test_lines_come_one_by_one(tmp_path):
    """What stands later in the file, here bytes that are not UTF-8, has not been looked at yet."""
    write(tmp_path, some_txt=b"a\nb\n\xff\n")
    lines = iterate_lines(tmp_path / "some.txt")
    assert [next(lines), next(lines)] == ["a", "b"]
    with pytest.raises(ValueError, match=r"some\.txt, line 3 is not UTF-8"):
        next(lines)


@pytest.mark.parametrize("inside", list("\v\f\x1c\x1d\x1e\x85\u2028\u2029\r"))
def test_only_newlines_break_lines(tmp_path, inside):
    line = f"left{inside}right"
    assert len(line.splitlines()) == 2  # where Python's own splitting would go wrong
    write_aligned(tmp_path, f"{line}\nnext\n".encode(), b"1\n2\n")
    assert read_parallel(tmp_path, "train", "en", "de") == [(line, "1"), ("next", "2")]


@pytest.mark.parametrize(("prefix", "number"), [(b"", 1), (b"a\nb\n", 3), (b"\xef\xbb\xbfa\n", 2)])
def test_bytes_that_are_not_utf8_name_file_and_line(tmp_path, prefix, number):
    write_aligned(tmp_path, prefix + "für\nx\n".encode("latin-1"), b"")
    with pytest.raises(ValueError, match=rf"train\.en, line {number} is not UTF-8 \(byte 0xfc"):
        read_parallel(tmp_path, "train", "en", "de")


def test_nul_names_file_and_line(tmp_path):
    write_aligned(tmp_path, b"a\nb\n", b"a\nb\0c\n")
    with pytest.raises(ValueError, match=r"train\.de, line 2 contains a NUL"):
        read_parallel(tmp_path, "train", "en", "de")


def test_misaligned_files_name_both_counts_and_the_first_line_alone(tmp_path):
    write_aligned(tmp_path, b"a\nb\nc\nd\n", b"1\n2\n")
    expected = (
        r"train\.en has 4 lines but .*train\.de has 2: line 3 of train\.en, 'c', has no partner"
    )
    with pytest.raises(ValueError, match=expected):
        read_parallel(tmp_path, "train", "en", "de")


def test_misaligned_files_quote_the_target_when_it_is_longer(tmp_path):
    write_aligned(tmp_path, b"a", b"1\n" + b"x" * 1000)
    with pytest.raises(
        ValueError, match=r"line 2 of train\.de, 'x+\.\.\.', has no partner"
    ) as caught:
        read_parallel(tmp_path, "train", "en", "de")
    assert len(str(caught.value)) < 1000


def test_a_missing_file_tells_what_there_is(tmp_path):
    write(tmp_path, train_en=b"", train_de=b"", val_en=b"", val_de=b"", test_en=b"")
    with pytest.raises(FileNotFoundError) as caught:
        read_parallel(tmp_path, "test", "en", "de")
    message = str(caught.value)
    assert f"no file {tmp_path / 'test.de'}" in message
    assert "holds test.en, train.de, train.en, val.de, val.en" in message
    assert "both .en and .de: train, val." in message


def test_a_missing_language_tells_that_no_split_has_both(tmp_path):
    write(tmp_path, train_en=b"")
    with pytest.raises(FileNotFoundError, match=r"No split has both a \.en and a \.fr file"):
        read_parallel(tmp_path, "train", "en", "fr")


def test_missing_and_empty_folders_are_told_apart(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        read_parallel(tmp_path / "nowhere", "train", "en", "de")
    with pytest.raises(FileNotFoundError, match="its folder is empty"):
        read_tsv(tmp_path / "train.tsv")


def test_a_crowded_folder_is_not_listed_whole(tmp_path):
    write(tmp_path, **{f"{i:03}_en": b"" for i in range(100)})
    with pytest.raises(FileNotFoundError, match=r"000\.en, .*, 019\.en and 80 more\."):
        read_tsv(tmp_path / "train.tsv")


def test_available_splits_have_both_languages(tmp_path):
    write(tmp_path, val_en=b"", val_de=b"", train_en=b"", train_fr=b"")
    (tmp_path / "test_2016.en").touch()
    (tmp_path / "test_2016.de").touch()
    assert available_splits(tmp_path, "en", "de") == ["test_2016", "val"]
    assert available_splits(tmp_path, "en", "fr") == ["train"]
    assert available_splits(tmp_path / "nowhere", "en", "fr") == []


def test_tsv_columns(tmp_path):
    write(tmp_path, train_tsv=b'7\tone "1"\teins\r\n8\t two\t\n')
    path = tmp_path / "train.tsv"
    assert read_tsv(path, 1, 2) == [('one "1"', "eins"), (" two", "")]
    assert read_tsv(path, source_column=2, target_column=0) == [("eins", "7"), ("", "8")]
    assert read_tsv(path) == [("7", 'one "1"'), ("8", " two")]


def test_a_blank_tsv_line_keeps_its_number_as_an_empty_pair(tmp_path):
    write(tmp_path, train_tsv=b"a\tb\n\nc\td\n")
    assert read_tsv(tmp_path / "train.tsv") == [("a", "b"), ("", ""), ("c", "d")]


def test_a_tsv_line_without_the_column_is_named(tmp_path):
    write(tmp_path, train_tsv=b"a\tb\nc d\n")
    with pytest.raises(
        ValueError, match=r"train\.tsv, line 2: expected at least 2 .* got 1: 'c d'"
    ):
        read_tsv(tmp_path / "train.tsv")


def test_a_negative_tsv_column_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match="counted from 0; got source_column=0 and target_column=-1"
    ):
        read_tsv(tmp_path / "train.tsv", target_column=-1)


def test_tfds_is_imported_only_where_it_is_used():
    program = "import sys, seqkeras.data; sys.exit('tensorflow_datasets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.fixture
def tfds():
    """tensorflow-datasets; what it warns of itself is not ours to fix."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield pytest.importorskip("tensorflow_datasets")


def test_tfds_translations_are_pairs_in_the_order_of_the_set(tfds):
    def as_dataset(_, split, **__):
        assert split == "train[:2]"
        texts = {"en": ["one", "tea\nfor two"], "pt": ["um", "chá"]}
        return tf.data.Dataset.from_tensor_slices(texts)

    with tfds.testing.mock_data(as_dataset_fn=as_dataset):
        pairs = read_tfds("ted_hrlr_translate/pt_to_en", "train[:2]", "pt", "en")
    assert pairs == [("um", "one"), ("chá", "tea\nfor two")]


def test_tfds_texts_are_lines_one_by_one(tfds):
    read = []

    def as_dataset(*_, **__):
        def texts():
            for text in ("one", "tea\nfor two", "last"):
                read.append(text)
                yield {"text": text}

        spec = {"text": tf.TensorSpec([], tf.string)}
        return tf.data.Dataset.from_generator(texts, output_signature=spec)

    with tfds.testing.mock_data(as_dataset_fn=as_dataset):
        lines = iterate_tfds_text("lm1b", "train")
        assert next(lines) == "one"
        assert len(read) < 3
        assert list(lines) == ["tea", "for two", "last"]


@pytest.mark.usefixtures("tfds")
def test_tfds_texts_need_text(tmp_path):
    with pytest.raises(ValueError, match="tfds:mnist is no set of texts"):
        next(iterate_tfds_text("mnist", "train", tmp_path))


@pytest.mark.usefixtures("tfds")
def test_tfds_sets_need_the_language_and_be_translations(tmp_path):
    with pytest.raises(ValueError, match=r"no language 'de'; its languages are \['en', 'pt'\]"):
        read_tfds("ted_hrlr_translate/pt_to_en", "train", "de", "en", tmp_path)
    with pytest.raises(ValueError, match="tfds:mnist is not a translation set"):
        read_tfds("mnist", "train", "de", "en", tmp_path)


@pytest.mark.usefixtures("tfds")
def test_tfds_fails_within_seconds_without_a_network(tmp_path, monkeypatch):
    def unresolved(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    begin = time.monotonic()
    with pytest.raises(ConnectionError) as caught:
        read_tfds("ted_hrlr_translate/pt_to_en", "train", "pt", "en", tmp_path)
    assert time.monotonic() - begin < 30.0
    message = str(caught.value)
    assert f"not in {tmp_path}" in message
    assert "tfds build ted_hrlr_translate/pt_to_en" in message
