"""Batches side by side, in a process of its own: TensorFlow's threads are set before it runs."""

import subprocess
import sys

import pytest

from seqkeras.decoding.threads import map_batches

pytestmark = pytest.mark.tensorflow

_PROGRAM = """
import threading
from seqkeras.decoding.threads import map_batches, one_thread_a_batch, _cores
import tensorflow as tf
one_thread_a_batch()
assert tf.config.threading.get_intra_op_parallelism_threads() == 1
together = threading.Barrier(_cores(), timeout=60)  # breaks unless so many wait at once
def run(batch):
    together.wait()
    return int(tf.constant(batch) * 2)
print(map_batches(run, range(2 * _cores())) == [2 * n for n in range(2 * _cores())])
one_thread_a_batch()  # too late, and so without effect
"""


def test_a_batch_on_each_core():
    found = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True)
    assert found.stdout.split() == ["True"], found.stderr


def test_otherwise_one_after_the_other():
    seen = []
    assert map_batches(lambda n: seen.append(n) or n + 1, iter(range(5))) == [1, 2, 3, 4, 5]
    assert seen == [0, 1, 2, 3, 4]


def test_an_error_comes_through():
    with pytest.raises(ZeroDivisionError):
        map_batches(lambda n: 1 / n, [1, 0])
