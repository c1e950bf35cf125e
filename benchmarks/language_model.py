r"""Times a training step of a recurrent language model against Keras' layers and PyTorch.

    python benchmarks/language_model.py --torch-python TORCH/bin/python

The small LSTM of Zaremba et al. 2014: 10,000 words, embeddings and two LSTMs of 200, a softmax over
all words, 20 streams of 20 tokens, states carried. A step is forward, the loss, backward, clipping
by the global norm, the update by SGD; `train_on_batch` in Keras and here, where also the gradient
is checked for NaN. The contestants take turns; PyTorch works in a process of its own.
"""

import argparse
import json
import os
import pathlib
import statistics
import sys

from recurrent import Local, Remote, race, torch_worker

VOCABULARY, UNITS, STREAMS, LENGTH = 10_000, 200, 20, 20
RATE, CLIP_NORM = 20.0, 0.25  # of a mean over the tokens of a batch


def tokens(seed):
    """Returns int32 `(STREAMS, LENGTH)`, none of them a special token."""
    import numpy as np

    return np.random.default_rng(seed).integers(4, VOCABULARY, (STREAMS, LENGTH)).astype("int32")


def ours():
    """Returns the compiled model as the pipeline makes it, without its metrics."""
    import keras

    from seqkeras.models import language_model, with_targets
    from seqkeras.models.language_model import carry_states
    from seqkeras.training.losses import TokenCrossentropy
    from seqkeras.training.optimizer import GuardedOptimizer

    model = language_model(VOCABULARY, embedding_dim=UNITS, units=UNITS)
    model = with_targets(carry_states(model, STREAMS))
    optimizer = GuardedOptimizer(keras.optimizers.SGD(RATE), clip_norm=CLIP_NORM)
    model.compile(optimizer, TokenCrossentropy(), jit_compile=False)
    return model


def theirs():
    """Returns the same model of Keras' own layers, loss and clipping."""
    import keras

    inputs = keras.Input((None,), batch_size=STREAMS, dtype="int32")
    x = keras.layers.Embedding(VOCABULARY, UNITS)(inputs)
    for _ in range(2):
        x = keras.layers.LSTM(UNITS, return_sequences=True, stateful=True)(x)
    model = keras.Model(inputs, keras.layers.Dense(VOCABULARY)(x))
    model.compile(
        keras.optimizers.SGD(RATE, global_clipnorm=CLIP_NORM),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    return model


def training_step(make):
    """Returns a function without arguments that does one step."""
    model, x, y = make(), tokens(0), tokens(1)
    inputs = [x, y] if len(model.inputs) == 2 else x
    return lambda: model.train_on_batch(inputs, y)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--torch-python", help="Python that has PyTorch")
    parser.add_argument("--windows", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a window")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=pathlib.Path, help="file for all windows, JSON")
    options = parser.parse_args()
    threads = str(options.threads)
    os.environ["TF_NUM_INTRAOP_THREADS"] = threads
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", threads)

    found = {"seqkeras": Local(training_step(ours)), "keras": Local(training_step(theirs))}
    worker = torch_worker(options, "language_model_torch.py")
    if worker is not None:
        found["torch"] = Remote(worker, sizes=[VOCABULARY, UNITS, STREAMS, LENGTH])
    times = race(found, options.windows, options.seconds)
    if worker is not None:
        worker.quit()
    medians = {name: statistics.median(values) for name, values in times.items()}
    print("| contestant | ms a step (range) | tokens/s | ratio |")
    print("| --- | --- | --- | --- |")
    for name, values in times.items():
        print(
            f"| {name} | {medians[name]:.1f} ({min(values):.1f}-{max(values):.1f}) "
            f"| {1e3 * STREAMS * LENGTH / medians[name]:,.0f} "
            f"| {medians[name] / medians['seqkeras']:.2f} |"
        )
    if options.output:
        options.output.write_text(json.dumps(times, indent=2) + "\n", encoding="utf-8")
    print(f"load at the end: {os.getloadavg()[0]:.1f}", file=sys.stderr)


if __name__ == "__main__":
    main()
