r"""Times recurrent layers against Keras', PyTorch's and their own matmuls.

    python benchmarks/recurrent.py --torch-python TORCH/bin/python
    python benchmarks/recurrent.py --layers lstm --shapes 32x64x256x256 --masked
    python benchmarks/recurrent.py --variants
    python benchmarks/recurrent.py --bidirectional --torch-python TORCH/bin/python
    python benchmarks/recurrent.py --inference --torch-python TORCH/bin/python
    python benchmarks/recurrent.py --profile --layers lstm --shapes 32x64x256x256

A training step is the outputs and the gradients by inputs and weights, compiled, of one layer. The
contestants take turns; PyTorch works in a process of its own. The floor is what a recurrent layer
cannot do without: its matmuls alone, each of the loop's waiting for the one before it.
"""

import argparse
import json
import os
import pathlib
import statistics
import sys
import time

from operations import operations, table
from protocol import Worker

HERE = pathlib.Path(__file__).parent
SHAPES = ("32x64x256x256", "20x35x650x650", "64x128x512x512")
BLOCKS = {"lstm": 4, "gru": 3, "simple_rnn": 1}
VARIANTS = ("lstmp", "irnn", "orthogonal", "peephole_lstm")
BIDIRECTIONAL = ("bidirectional_lstm", "bidirectional_gru")


def build(kind, layer, shape):
    """Returns a Keras layer, ours or Keras' own, built for `(B, T, D, H)`."""
    import keras

    from seqkeras import layers

    batch, steps, features, units = shape
    options = {"return_sequences": True}
    names = {"lstm": "LSTM", "gru": "GRU", "simple_rnn": "SimpleRNN"}
    library = layers if kind == "seqkeras" else keras.layers
    if layer in names:
        made = getattr(library, names[layer])(units, **options)
    elif layer in BIDIRECTIONAL:
        one_way = getattr(library, names[layer.removeprefix("bidirectional_")])
        made = library.Bidirectional(one_way(units, **options))
    else:
        cell = {
            "lstmp": lambda: layers.ProjectedLSTMCell(units, units // 2),
            "irnn": lambda: layers.IRNNCell(units),
            "orthogonal": lambda: layers.OrthogonalRNNCell(units),
            "peephole_lstm": lambda: layers.PeepholeLSTMCell(units),
        }[layer]()
        made = library.RNN(cell, **options)
    made.build((batch, steps, features))
    return made


def training_step(kind, layer, shape, masked):
    """Returns a function without arguments that does one training step and waits for it."""
    import numpy as np
    import tensorflow as tf

    batch, steps, features, _ = shape
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(batch, steps, features)), tf.float32)
    lengths = rng.integers(steps // 2, steps + 1, (batch, 1))
    mask = tf.constant(np.arange(steps) < lengths) if masked else None
    made = build(kind, layer, shape)
    width = made.compute_output_shape(x.shape)[-1]
    by_y = tf.constant(rng.normal(size=(batch, steps, width)), tf.float32)
    variables = [weight.value for weight in made.trainable_weights]

    @tf.function(autograph=False)
    def step(x, by_y):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = made(x, mask=mask, training=True)
        return tape.gradient(y, [x, *variables], output_gradients=by_y)

    return lambda: step(x, by_y)[0].numpy()


def inference(kind, layer, shape):
    """Returns a function without arguments that runs the layer once and waits for it."""
    import numpy as np
    import tensorflow as tf

    batch, steps, features, _ = shape
    x = tf.constant(np.random.default_rng(0).normal(size=(batch, steps, features)), tf.float32)
    made = build(kind, layer, shape)
    run = tf.function(lambda x: made(x, training=False), autograph=False)
    return lambda: run(x).numpy()


def floor(layer, shape, training=True):
    """Returns a function that does the matmuls of one step of the layer, and little more.

    Each product of a loop takes its left side from the product before it, as it must in a recurrent
    layer: products that do not wait for each other TensorFlow would run side by side. A slice and
    a tile stand for the gates.
    """
    import numpy as np
    import tensorflow as tf

    batch, steps, features, units = shape
    blocks = BLOCKS[layer]
    rng = np.random.default_rng(0)
    x, w, u, hs = (
        tf.constant(rng.normal(size=size) / 30, tf.float32)
        for size in (
            (steps * batch, features),
            (features, blocks * units),
            (units, blocks * units),
            (steps * batch, units),
        )
    )

    def repeat(body, first):
        return tf.while_loop(lambda t, _: t < steps, lambda t, y: (t + 1, body(y)), (0, first))[1]

    @tf.function(autograph=False)
    def step(x):
        z = tf.matmul(x, w)
        h = repeat(lambda h: tf.matmul(h, u)[:, :units], z[:batch, :units])
        if not training:
            return (h,)
        u_transposed = tf.transpose(u)
        by_h = repeat(lambda by_h: tf.matmul(tf.tile(by_h, [1, blocks]), u_transposed), h)
        with tf.control_dependencies([by_h]):
            by_z = tf.identity(z)
        by_u = tf.matmul(hs, by_z, transpose_a=True)
        by_w = tf.matmul(x, by_z, transpose_a=True)
        by_x = tf.matmul(by_z, w, transpose_b=True)
        return by_x, by_h, by_u, by_w

    return lambda: step(x)[0].numpy()


class Local:
    """A contestant in this process."""

    def __init__(self, run):
        self.run = run

    def window(self, repeats):
        start = time.perf_counter()
        for _ in range(repeats):
            self.run()
        return (time.perf_counter() - start) / repeats


class Remote:
    """PyTorch, in a process of its own."""

    def __init__(self, worker, **job):
        self.worker, self.job = worker, job

    def window(self, repeats):
        return self.worker.ask(cmd="run", repeats=repeats, **self.job)["seconds"] / repeats


def contestants(layer, shape, options, worker):
    """Returns a dict from a name to what has `window(repeats) -> seconds`."""
    if options.inference:
        found = {kind: Local(inference(kind, layer, shape)) for kind in ("seqkeras", "keras")}
        found["matmuls"] = Local(floor(layer, shape, training=False))
    else:
        found = {
            kind: Local(training_step(kind, layer, shape, options.masked))
            for kind in ("seqkeras", "keras")
        }
        if layer in BLOCKS:
            found["matmuls"] = Local(floor(layer, shape))
    if worker is not None and layer not in VARIANTS and not options.masked:
        mode = "inference" if options.inference else "training"
        found["torch"] = Remote(worker, layer=layer, shape=list(shape), mode=mode)
    return found


def race(found, windows, seconds):
    """Lets the contestants take turns; returns a dict of lists of milliseconds."""
    repeats = {}
    for name, contestant in found.items():
        contestant.window(2)  # tracing, caches
        repeats[name] = max(1, round(seconds / contestant.window(2)))
    times = {name: [] for name in found}
    for window in range(windows):
        names = list(found) if window % 2 == 0 else list(found)[::-1]
        for name in names:
            times[name].append(1e3 * found[name].window(repeats[name]))
    return times


def row(title, times):
    """Returns a line of the table: medians (smallest), and how many times as fast ours is."""
    medians = {name: statistics.median(values) for name, values in times.items()}
    ours = medians["seqkeras"]
    cells = [title, f"{ours:.2f} ({min(times['seqkeras']):.2f})"]
    for name in ("keras", "torch", "matmuls"):
        if name not in medians:
            cells += ["", ""]
            continue
        cells.append(f"{medians[name]:.2f} ({min(times[name]):.2f})")
        cells.append(f"{ours / medians[name] if name == 'matmuls' else medians[name] / ours:.2f}")
    return "| " + " | ".join(cells) + " |"


HEADER = """\
| layer, B x T x D x H | seqkeras, ms (least) | keras | ratio | PyTorch | ratio | matmuls | share |
| --- | --- | --- | --- | --- | --- | --- | --- |"""


def parse_options():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = [*BLOCKS, *VARIANTS, *BIDIRECTIONAL]
    parser.add_argument("--layers", nargs="+", default=list(BLOCKS), choices=known)
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), help="BxTxDxH")
    parser.add_argument("--masked", action="store_true", help="with a mask of T/2 to T real steps")
    parser.add_argument("--variants", action="store_true", help="the cells that Keras lacks")
    parser.add_argument(
        "--bidirectional", action="store_true", help="both directions, LSTM and GRU"
    )
    parser.add_argument("--inference", action="store_true", help="B = 1, T = 256, D = H = 256")
    parser.add_argument(
        "--profile", action="store_true", help="the time of each operation of ours, instead"
    )
    parser.add_argument("--torch-python", help="Python that has PyTorch")
    parser.add_argument("--windows", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.4, help="length of a window")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=pathlib.Path, help="file for all windows, JSON")
    options = parser.parse_args()
    if options.variants:
        options.layers = list(VARIANTS)
    if options.bidirectional:
        options.layers = list(BIDIRECTIONAL)
    if options.inference:
        options.shapes = ["1x256x256x256"]
    return options


def torch_worker(options, file):
    """Returns the `Worker` of a file of this folder under PyTorch's Python, or None without one."""
    if not options.torch_python:
        return None
    environment = {"OMP_NUM_THREADS": str(options.threads)}
    return Worker([options.torch_python, str(HERE / file)], environment, pathlib.Path(os.devnull))


def profile(options):
    """Prints the operations of each layer's step."""
    for layer in options.layers:
        for text in options.shapes:
            shape = tuple(int(size) for size in text.split("x"))
            if options.inference:
                step = inference("seqkeras", layer, shape)
            else:
                step = training_step("seqkeras", layer, shape, options.masked)
            print(f"{layer}, {text}\n\n{table(operations(step, repeats=10))}\n", flush=True)


def main():
    options = parse_options()
    threads = str(options.threads)
    os.environ["TF_NUM_INTRAOP_THREADS"] = threads
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", threads)
    if options.profile:
        profile(options)
        return
    worker = torch_worker(options, "recurrent_torch.py")
    print(HEADER)
    everything = {}
    for layer in options.layers:
        for text in options.shapes:
            shape = tuple(int(size) for size in text.split("x"))
            found = contestants(layer, shape, options, worker)
            times = race(found, options.windows, options.seconds)
            everything[f"{layer} {text}"] = times
            print(row(f"{layer}, {text}", times), flush=True)
    if worker is not None:
        worker.quit()
    if options.output:
        options.output.write_text(json.dumps(everything, indent=2) + "\n", encoding="utf-8")
    print(f"load at the end: {os.getloadavg()[0]:.1f}", file=sys.stderr)


if __name__ == "__main__":
    main()
