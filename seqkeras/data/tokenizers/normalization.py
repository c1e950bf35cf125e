"""The one text normalisation, in core TensorFlow ops, so training and serving cannot differ.

Invalid UTF-8 becomes U+FFFD, every run of whitespace one space, the ends are stripped, and on
request letters become lower case. There is no Unicode normal form (NFKC) among TensorFlow's core
ops: text that needs one has to be brought into it before it comes here.
"""

import itertools

import tensorflow as tf

# What Python's `str.split()` splits at: RE2's \s is ASCII only, and \pZ lacks the control codes.
WHITESPACE = r"\s\pZ\x{0B}\x{1C}-\x{1F}\x{85}"

_LINES_AT_ONCE = 10_000


def normalize(texts, lowercase=False, whitespace=WHITESPACE):
    """Returns the normalised strings `(B,)` of the string tensor `(B,)`.

    Args:
        texts: String tensor `(B,)`, UTF-8; any other bytes are replaced, not refused.
        lowercase: bool. Whether to lower the case, of all scripts that have one.
        whitespace: str. The inside of an RE2 character class: what counts as space.
    """
    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
    texts = tf.strings.strip(tf.strings.regex_replace(texts, f"[{whitespace}]+", " "))
    return tf.strings.lower(texts, encoding="utf-8") if lowercase else texts


def normalize_in_batches(texts, lowercase=False, whitespace=WHITESPACE):
    """Yields string tensors of normalised texts; what every `train` reads its texts through.

    Raises:
        ValueError: if `texts` is one string (which would be read letter by letter) or has nothing
            to train on.
    """
    if isinstance(texts, (str, bytes)):
        raise ValueError(
            f"Expected a list of texts to train on, got one string of {len(texts)} characters; "
            "pass [text], or text.splitlines()."
        )
    texts, read, anything = iter(texts), 0, False
    while some := list(itertools.islice(texts, _LINES_AT_ONCE)):
        read += len(some)
        lines = normalize(tf.constant(some, tf.string), lowercase, whitespace)
        lines = tf.boolean_mask(lines, tf.strings.length(lines) > 0)
        anything = anything or len(lines) > 0
        yield lines
    if not anything:
        raise ValueError(
            f"Expected texts to train a tokenizer on, got {read} of which none holds "
            "anything but whitespace; check the file they were read from."
        )
