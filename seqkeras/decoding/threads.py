"""Several batches at once, each on a thread of its own.

The steps of a decoder are many and small: two threads that share each of them are hardly faster
than one, but two batches side by side, on a thread each, take little longer than one of them.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import tensorflow as tf


def one_thread_a_batch():
    """Makes every run of a model use one thread, so that `map_batches` runs one on each core.

    TensorFlow takes this only before it has run anything: later nothing changes.
    """
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(_cores())
    except RuntimeError:
        return


def map_batches(function, batches):
    """Returns the list of `function(batch)`, in order: several at once if each has one thread."""
    if tf.config.threading.get_intra_op_parallelism_threads() != 1:
        return [function(batch) for batch in batches]
    with ThreadPoolExecutor(_cores()) as threads:
        return list(threads.map(function, batches))


def _cores():
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
