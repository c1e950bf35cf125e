"""Text as it is read, and ids as they are kept in a file."""

import resource

import numpy as np
import pytest

from pipelines.corpora import Corpus, count_ids, encode_corpus, encode_to_file
from pipelines.language_model_config import Data
from seqkeras.constants import END
from seqkeras.data.tokenizers import train_tokenizer

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def folder(tmp_path):
    """300 sentences of six tokens, END included."""
    rng = np.random.default_rng(7)
    animals = rng.choice(["cat", "dog", "<unk>"], 300)
    lines = [f" the {animal} sees the {animal} " for animal in animals]
    (tmp_path / "train.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_ids_are_in_the_file_when_all_are(tmp_path, folder):
    lines = Corpus(Data(path=str(folder)), "train", 1)
    tokenizer = train_tokenizer("whitespace", lines, 50)
    path = tmp_path / "corpus" / "train.int32"

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))  # a disk with 4 KiB left
    try:
        with pytest.raises(OSError, match=r"Could not write .*train\.int32: File too large.*Free"):
            encode_to_file(lines, tokenizer, path, keep=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not any(path.parent.iterdir())
    wanted = [END, *encode_corpus(list(lines), tokenizer)]
    stream = encode_to_file(lines, tokenizer, path, keep=True)
    np.testing.assert_array_equal(stream, wanted)
    kept = encode_to_file(["the cat"], tokenizer, path, keep=True)
    np.testing.assert_array_equal(kept, wanted)
    other = encode_to_file(["the cat"], tokenizer, path, keep=False)
    assert len(other) == 4
    assert count_ids(stream[1:], 50).tolist() == np.bincount(wanted[1:], minlength=50).tolist()


def test_blank_text_is_refused(tmp_path):
    (tmp_path / "train.txt").write_text("\n \n")
    with pytest.raises(ValueError, match="expected text in 'train', got blank lines"):
        Corpus(Data(path=str(tmp_path)), "train", 1)
