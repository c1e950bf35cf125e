"""How words are spelled: characters as numbers, for networks that read them.

0 nothing    1 where a word begins    2 where it ends    3 any other character    4.. characters
"""

import numpy as np

NOTHING, BEGIN, END, OTHER = range(4)
RESERVED = 4  # the number of the first character of an alphabet


def spell(words, alphabet=None, max_length=None):
    """Returns how words are spelled, and the alphabet.

    Args:
        words: List of str, such as the vocabulary of a tokenizer.
        alphabet: List of single characters, or None: those of the words, in the order of their code
            points.
        max_length: int or None. The most characters L of a word, begin and end among them; longer
            words lose their tails. None: as many as the longest has.

    Returns:
        `(spellings, alphabet)`: int32 `(V, L)`, and the list of characters, whose first has number
        4. A network that reads them has `len(alphabet) + 4` characters.

    Raises:
        ValueError: for no words, or a `max_length` that leaves no place for a character.

    Example:

    >>> spellings, alphabet = spell(["ab", "b"])
    >>> spellings.tolist(), alphabet
    ([[1, 4, 5, 2], [1, 5, 2, 0]], ['a', 'b'])
    """
    if not words:
        raise ValueError("words: expected at least one.")
    if max_length is not None and max_length < 3:
        raise ValueError(f"max_length: expected at least 3 (begin, one, end), got {max_length}.")
    if alphabet is None:
        alphabet = sorted(set("".join(words)))
    numbers = {character: RESERVED + i for i, character in enumerate(alphabet)}
    length = 2 + max(map(len, words))
    length = length if max_length is None else min(length, max_length)
    spellings = np.full((len(words), length), NOTHING, np.int32)
    for row, word in zip(spellings, words, strict=True):
        inside = [numbers.get(character, OTHER) for character in word[: length - 2]]
        row[: len(inside) + 2] = [BEGIN, *inside, END]
    return spellings, list(alphabet)
