"""The words of a vocabulary as a tree of characters: beginnings that words share are one node.

BEGIN -> c -> a -> t -> END          "cat"
                -> r -> END          "car"
"""

from typing import NamedTuple

import numpy as np

from seqkeras.constants import PAD


class Level(NamedTuple):
    """The nodes of a trie that are equally far from its root.

    Attributes:
        parent: int32 `(M,)`: which of the inner nodes of the level above each node goes on from.
        character: int32 `(M,)`: with which character.
        inner: int32 `(I,)`: the nodes that something goes on from.
        leaves: int32 `(E,)`: the nodes that are a word's last character.
    """

    parent: np.ndarray
    character: np.ndarray
    inner: np.ndarray
    leaves: np.ndarray


class Trie(NamedTuple):
    """What a softmax over characters needs of the words' spellings.

    Attributes:
        levels: List of `Level`, the root's left out.
        place: int32 `(V,)`: where each word stands among the leaves, level by level. Words of one
            spelling stand in one place.
    """

    levels: list
    place: np.ndarray


def trie(spellings):
    """Returns the `Trie` of words.

    Args:
        spellings: int32 `(V, L)`, PAD behind a word's last character.

    Raises:
        ValueError: unless all words begin with one character, end with one that is nowhere else,
            and have both, as those of `seqkeras.data.spell`.
    """
    words = [tuple(row[row != PAD].tolist()) for row in spellings]
    begin, end = words[0][:1], words[0][-1:]
    if any(len(w) < 2 or w[:1] != begin or w[-1:] != end or end[0] in w[:-1] for w in words):
        raise ValueError(
            "spellings: expected words that all begin with one character and end with another that "
            "is nowhere else in them, as `seqkeras.data.spell` makes them."
        )
    levels, found, known = [], {}, {begin: 0}
    while known:
        depth = len(levels) + 2
        nodes = sorted({word[:depth] for word in words if len(word) >= depth})
        inner = [i for i, node in enumerate(nodes) if node[-1:] != end]
        leaves = [i for i, node in enumerate(nodes) if node[-1:] == end]
        parents, characters = [known[node[:-1]] for node in nodes], [node[-1] for node in nodes]
        parts = (parents, characters, inner, leaves)
        levels.append(Level(*(np.array(part, np.int32) for part in parts)))
        found |= {nodes[i]: len(found) + n for n, i in enumerate(leaves)}
        known = {nodes[i]: n for n, i in enumerate(inner)}
    return Trie(levels, np.array([found[word] for word in words], np.int32))
