r"""Measures what reading batches costs the training loop.

    python benchmarks/input_pipeline.py --data DATA/multi30k --subwords runs/benchmark/joint.model

1. The share of the time of training that is spent blocked in the iterator's `next`.
2. Tokens per second of `fit` from `TokenBatches.dataset()`, against the same batches held in memory
   as ready tensors; windows take turns, in alternating order.
"""

import argparse
import json
import pathlib
import statistics
import time

import keras
import tensorflow as tf

from seqkeras_translation import build_recurrent, read_batches

STEPS = 40  # of a window


def blocked_share(model, dataset, steps):
    """Returns the share of wall time spent in `next`, in a loop of single training steps."""

    @tf.function(reduce_retracing=True)
    def step(x, y):
        return model.train_step((x, y))

    iterator = iter(dataset)
    blocked = worked = 0.0
    for number in range(steps + 5):
        before = time.perf_counter()
        x, y = next(iterator)
        between = time.perf_counter()
        float(step(x, y)["loss"])  # waits until the step is done
        after = time.perf_counter()
        if number >= 5:  # tracing and the first, cold batches are no part of it
            blocked += between - before
            worked += after - between
    return blocked / (blocked + worked)


def tokens_per_second(model, dataset, steps, tokens):
    """Returns the rate of one `fit` over batches that hold `tokens` real target tokens."""
    started = time.perf_counter()
    model.fit(dataset, steps_per_epoch=steps, epochs=1, verbose=0, shuffle=False)
    return tokens / (time.perf_counter() - started)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--subwords", type=pathlib.Path, required=True)
    parser.add_argument("--windows", type=int, default=7)
    options = parser.parse_args()

    keras.utils.set_random_seed(42)
    vocabulary_size, batches = read_batches(options.data, options.subwords, "recurrent")
    model = build_recurrent(vocabulary_size)

    held = batches.dataset().take(STEPS).cache()
    tokens = sum(int(tf.math.count_nonzero(y)) for _, y in held)  # fills the cache as well
    held = held.prefetch(2)
    sources = {"pipeline": lambda: batches.dataset().take(STEPS), "memory": lambda: held}

    rates = {name: [] for name in sources}
    for window in range(-1, options.windows):  # the first is the warm-up
        for name in list(sources)[:: 1 if window % 2 else -1]:
            rate = tokens_per_second(model, sources[name](), STEPS, tokens)
            if window >= 0:
                rates[name].append(rate)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ratios = [ours / held for ours, held in zip(rates["pipeline"], rates["memory"], strict=True)]
    print(
        json.dumps(
            {
                "blocked_share": blocked_share(model, batches.dataset(), 2 * STEPS),
                "tokens_per_second": medians,
                "ratio": medians["pipeline"] / medians["memory"],
                "ratio_range": [min(ratios), max(ratios)],
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
