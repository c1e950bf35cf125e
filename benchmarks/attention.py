r"""Times multi-head self-attention against Keras' and PyTorch's, and over length; its memory.

    python benchmarks/attention.py --torch-python TORCH/bin/python
    python benchmarks/attention.py --shapes 8x512x256x8 --causal
    python benchmarks/attention.py --scaling
    python benchmarks/attention.py --memory

A training step is the output and the gradients by inputs and weights, compiled, of one layer on
B sequences of N positions with D features, with so many heads of D / heads. The contestants take
turns; PyTorch works in a process of its own. "whole" makes the N x N matrix of weights, "chunked"
a block of queries at a time, "seqkeras" what the layer chooses by itself.

The exponent is the slope of log time in log N by least squares. Memory is by how much the peak of
the resident memory during one step exceeds what the process had before it, each in a process of its
own (Linux).
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys

from recurrent import Local, Remote, race, torch_worker

SHAPES = ("8x512x256x8",)
SCALING = ("1x512x256x4", "1x1024x256x4", "1x2048x256x4", "1x4096x256x4")
MEMORY = (
    ("keras", "1x4096x256x4"),
    ("whole", "1x4096x256x4"),
    ("chunked", "1x4096x256x4"),
    ("chunked", "1x8192x256x4"),
    ("chunked", "1x16384x256x4"),
)
KINDS = {"seqkeras": None, "whole": False, "chunked": True}  # the option `flash_attention`


def training_step(kind, shape, causal):
    """Returns a traced function without arguments that does one training step and waits for it."""
    import keras
    import numpy as np
    import tensorflow as tf

    from seqkeras import layers

    batch, length, features, heads = shape
    if kind == "keras":
        layer = keras.layers.MultiHeadAttention(heads, features // heads)
    else:
        layer = layers.MultiHeadAttention(heads, features // heads, flash_attention=KINDS[kind])
    layer.build((batch, length, features), (batch, length, features))
    rng = np.random.default_rng(0)
    x, by_y = tf.constant(rng.normal(size=(2, batch, length, features)), tf.float32)
    variables = [weight.value for weight in layer.trainable_weights]

    @tf.function(autograph=False)
    def step(x, by_y):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, x, use_causal_mask=causal, training=True)
        return tape.gradient(y, [x, *variables], output_gradients=by_y)

    traced = step.get_concrete_function(x, by_y)
    return lambda: traced(x, by_y)[0].numpy()


def resident():
    """Returns the bytes of memory that this process has in use."""
    pages = int(pathlib.Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_of_step(kind, shape, causal):
    """Returns the bytes by which the peak during one step exceeds the memory before it."""
    run = training_step(kind, shape, causal)
    before = resident()
    run()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before


def exponent(lengths, times):
    """Returns the slope of log time in log length."""
    import numpy as np

    return np.polyfit(np.log(lengths), np.log(times), 1)[0]


def sizes(text):
    return tuple(int(size) for size in text.split("x"))


def speed(options, worker):
    """Prints a row for each shape; returns all windows."""
    print("| B x N x D x heads | seqkeras, ms (least) | keras | ratio | PyTorch | ratio |")
    print("| --- | --- | --- | --- | --- | --- |")
    everything = {}
    for text in options.shapes:
        shape = sizes(text)
        found = {
            kind: Local(training_step(kind, shape, options.causal))
            for kind in ("seqkeras", "keras")
        }
        if worker is not None:
            job = {"shape": list(shape), "causal": options.causal}
            found["torch"] = Remote(worker, **job)
        times = everything[text] = race(found, options.windows, options.seconds)
        medians = {name: statistics.median(values) for name, values in times.items()}
        cells = [f"{text}{', causal' if options.causal else ''}"]
        for name in ("seqkeras", "keras", "torch"):
            told = name in medians
            cells.append(f"{medians[name]:.1f} ({min(times[name]):.1f})" if told else "")
            if name != "seqkeras":
                cells.append(f"{medians[name] / medians['seqkeras']:.2f}" if told else "")
        print("| " + " | ".join(cells) + " |", flush=True)
    return everything


def scaling(options):
    """Prints the times at each length, and the exponents; returns all windows."""
    kinds = ("whole", "chunked", "keras")
    print("| B x N x D x heads | " + " | ".join(f"{kind}, ms (least)" for kind in kinds) + " |")
    print("| --- |" + " --- |" * len(kinds))
    everything, medians = {}, {kind: [] for kind in kinds}
    for text in options.shapes:
        found = {kind: Local(training_step(kind, sizes(text), options.causal)) for kind in kinds}
        times = everything[text] = race(found, options.windows, options.seconds)
        cells = [text]
        for kind in kinds:
            medians[kind].append(statistics.median(times[kind]))
            cells.append(f"{medians[kind][-1]:.1f} ({min(times[kind]):.1f})")
        print("| " + " | ".join(cells) + " |", flush=True)
    lengths = [sizes(text)[1] for text in options.shapes]
    slopes = [f"{exponent(lengths, medians[kind]):.2f}" for kind in kinds]
    print("| exponent of N | " + " | ".join(slopes) + " |")
    return everything


def memory(options):
    """Prints the peak of one step, each in a new process; returns the bytes."""
    print("| kernel | B x N x D x heads | peak of a training step, MiB |")
    print("| --- | --- | --- |")
    everything = {}
    for kind, text in MEMORY:
        command = [sys.executable, __file__, "--peak-of", kind, "--shapes", text]
        command += ["--causal"] if options.causal else []
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        everything[f"{kind} {text}"] = peak = int(done.stdout.split()[-1])
        print(f"| {kind} | {text} | {peak / 2**20:.0f} |", flush=True)
    return everything


def parse_options():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shapes", nargs="+", help="BxNxDxHEADS")
    parser.add_argument("--causal", action="store_true")
    parser.add_argument("--scaling", action="store_true", help="time against length")
    parser.add_argument("--memory", action="store_true", help="peak of a step against length")
    parser.add_argument(
        "--peak-of", choices=["keras", *KINDS], help="of this process: for --memory"
    )
    parser.add_argument("--torch-python", help="Python that has PyTorch")
    parser.add_argument("--windows", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.4, help="length of a window")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=pathlib.Path, help="file for all windows, JSON")
    options = parser.parse_args()
    options.shapes = options.shapes or list(SCALING if options.scaling else SHAPES)
    return options


def main():
    options = parse_options()
    threads = str(options.threads)
    os.environ["TF_NUM_INTRAOP_THREADS"] = threads
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", threads)
    if options.peak_of:
        print(peak_of_step(options.peak_of, sizes(options.shapes[0]), options.causal))
        return
    if options.memory:
        everything = memory(options)
    elif options.scaling:
        everything = scaling(options)
    else:
        worker = torch_worker(options, "attention_torch.py")
        everything = speed(options, worker)
        if worker is not None:
            worker.quit()
    if options.output:
        options.output.write_text(json.dumps(everything, indent=2) + "\n", encoding="utf-8")
    print(f"load at the end: {os.getloadavg()[0]:.1f}", file=sys.stderr)


if __name__ == "__main__":
    main()
