"""Integer tables."""

import tensorflow as tf

from seqkeras.data.tokenizers.tables import replace, static_table


def test_static_table_finds_numbers_and_strings():
    numbers = static_table({7: 0, 2**40: 0}, [1, 2], default=-1)
    assert numbers.lookup(tf.constant([2**40, 7, 8], tf.int64)).numpy().tolist() == [2, 1, -1]
    strings = static_table(["ä", "b"], [1, 2], default=0)
    assert strings.lookup(tf.constant(["b", "ä", "c"])).numpy().tolist() == [2, 1, 0]


def test_an_empty_table_has_only_its_default():
    table = static_table([], [], default=5)
    assert table.lookup(tf.constant([0, 1], tf.int64)).numpy().tolist() == [5, 5]


def test_replace():
    tensor = tf.constant([1, 2, 3, 4])
    assert replace(tensor, tf.constant([3, 0]), tf.constant([9, 8])).numpy().tolist() == [
        8,
        2,
        3,
        9,
    ]
    assert replace(tensor, tf.zeros([0], tf.int32), tf.zeros([0], tf.int32)).shape == [4]
