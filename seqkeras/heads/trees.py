r"""Binary trees whose leaves are the words of a vocabulary.

A tree of V leaves has V - 1 inner nodes, numbered level by level from the root, 0, and from left to
right. Six leaves, inner nodes in brackets:

              [0]
           /       \
        [1]         [2]
       /   \       /   \
     [3]   [4]    0     1         the way to leaf 4: nodes 0, 1, 4; turns left, right, left
     / \   / \
    2   3 4   5
"""

import heapq
from typing import NamedTuple

import numpy as np


class Tree(NamedTuple):
    """What a softmax over the leaves needs of a tree.

    Attributes:
        nodes: int32 `(V, depth)`, the inner nodes on the way to each leaf; 0 behind the last.
        turns: float32 `(V, depth)`, 1 for left, -1 for right, 0 behind the last.
        inner: List with an int32 array for each level: which of its 2 m places are inner nodes, of
            the m inner nodes above, left and right in turn.
        leaves: The same for leaves.
        order: int32 `(V,)`: where each word stands among the leaves, level by level.
    """

    nodes: np.ndarray
    turns: np.ndarray
    inner: list
    leaves: list
    order: np.ndarray


def balanced_tree(vocabulary_size):
    """Returns the tree in which every leaf is ceil(log2 V) or one less from the root."""
    # As a heap: node i has the children 2 i + 1 and 2 i + 2, and the last V of all are leaves.
    inner = vocabulary_size - 1
    children = 2 * np.arange(inner)[:, None] + [1, 2]
    return _tree(np.where(children < inner, children, inner - 1 - children))


def huffman_tree(weights):
    """Returns the tree in which the expected depth is least; Huffman 1952.

    Args:
        weights: V numbers > 0, proportional to how often each word is expected.
    """
    heap = [(float(weight), word) for word, weight in enumerate(weights)]
    heapq.heapify(heap)
    size = len(heap)
    pairs = []
    while len(heap) > 1:
        left, right = heapq.heappop(heap), heapq.heappop(heap)
        pairs.append((left[1], right[1]))
        heapq.heappush(heap, (left[0] + right[0], size + len(pairs) - 1))
    # A node was made after its children: from the last one, the root, level by level.
    numbers, found = {}, []
    level = [size + len(pairs) - 1] if pairs else []
    while level:
        for node in level:
            numbers[node] = len(numbers)
            found.append(pairs[node - size])
        level = [c for node in level for c in pairs[node - size] if c >= size]
    children = [[numbers[c] if c >= size else -1 - c for c in pair] for pair in found]
    return _tree(np.array(children, np.int64).reshape(-1, 2))


def _tree(children):
    """Returns the `Tree` of children `(V - 1, 2)`: inner nodes by number, word w as -1 - w."""
    size = len(children) + 1
    paths = {}
    inner, leaves, words = [], [], []
    level = [((), ())] if size > 1 else []  # the way to each inner node of a level
    first = 0
    if size == 1:
        words, paths[0] = [0], ((), ())
    while level:
        places = children[first : first + len(level)].reshape(-1)
        inner.append(np.flatnonzero(places >= 0).astype(np.int32))
        leaves.append(np.flatnonzero(places < 0).astype(np.int32))
        ways = [
            ((*nodes, first + i), (*turns, turn))
            for i, (nodes, turns) in enumerate(level)
            for turn in (1.0, -1.0)
        ]
        for place in leaves[-1]:
            words.append(-1 - places[place])
            paths[words[-1]] = ways[place]
        first += len(level)
        level = [ways[place] for place in inner[-1]]
    depth = max((len(nodes) for nodes, _ in paths.values()), default=0)
    nodes, turns = np.zeros((size, depth), np.int32), np.zeros((size, depth), np.float32)
    for word, (way, sides) in paths.items():
        nodes[word, : len(way)], turns[word, : len(way)] = way, sides
    return Tree(nodes, turns, inner, leaves, np.argsort(words).astype(np.int32))
