import heapq
import math

import numpy as np
import pytest

from seqkeras.heads.trees import balanced_tree, huffman_tree

RNG = np.random.default_rng(0)
SIZES = [1, 2, 3, 5, 6, 8, 13]


def depths(tree):
    return np.abs(tree.turns).sum(1).astype(int)


def walk(tree, word):
    """Returns the nodes and turns of a word, without what stands behind the last."""
    depth = depths(tree)[word]
    return tree.nodes[word, :depth].tolist(), tree.turns[word, :depth].tolist()


def check_is_a_tree(tree, size):
    """Every inner node is reached by one way only, has two sides, and no way is another's start."""
    ways = [tuple(zip(*walk(tree, word), strict=True)) for word in range(size)]
    assert len(set(ways)) == size
    reached = {}
    for way in ways:
        for place, (node, _) in enumerate(way):
            assert reached.setdefault(node, way[:place]) == way[:place]
    assert sorted(reached) == list(range(size - 1))
    sides = {step for way in ways for step in way}
    assert len(sides) == 2 * (size - 1)
    assert math.isclose(sum(0.5 ** len(way) for way in ways), 1.0)  # Kraft: it is full


@pytest.mark.parametrize("size", SIZES)
def test_a_balanced_tree_is_a_tree_of_least_depth(size):
    tree = balanced_tree(size)
    check_is_a_tree(tree, size)
    longest = math.ceil(math.log2(size))
    assert set(depths(tree)) <= {longest, longest - 1}
    assert max(depths(tree)) == longest


def test_the_picture_of_the_docstring():
    assert walk(balanced_tree(6), 4) == ([0, 1, 4], [1.0, -1.0, 1.0])


@pytest.mark.parametrize("size", SIZES[1:])
def test_a_huffman_tree_has_the_least_expected_depth(size):
    weights = RNG.integers(1, 1000, size).astype(float)
    tree = huffman_tree(weights)
    check_is_a_tree(tree, size)
    # The least expected depth, without a tree: every merge puts its leaves one level down.
    heap, least = sorted(weights), 0.0
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        least += merged
        heapq.heappush(heap, merged)
    assert np.sum(weights * depths(tree)) == pytest.approx(least)
    shares = weights / weights.sum()
    entropy = -np.sum(shares * np.log2(shares))
    assert entropy <= np.sum(shares * depths(tree)) < entropy + 1


def test_nodes_are_numbered_level_by_level():
    tree = huffman_tree([16, 8, 4, 2, 1, 1])
    for nodes in tree.nodes[np.argsort(-depths(tree))]:
        way = nodes[: np.flatnonzero(np.append(np.diff(nodes) <= 0, True))[0] + 1]
        assert (np.diff(way) > 0).all()
    assert depths(tree).tolist() == [1, 2, 3, 4, 5, 5]
