r"""Where the time of a compiled step goes, operation by operation.

    python benchmarks/operations.py --preset multi30k-transformer
    python benchmarks/recurrent.py --profile --layers lstm --shapes 32x64x256x256

TensorFlow's profiler says how long each kernel ran. Kernels that run side by side both count, so
with several threads the sum can exceed the time of the step. Run as a script it profiles the
training step of a preset of pipelines/translation.py, on tokens drawn at random.
"""

import argparse
import collections
import os
import pathlib
import tempfile
import time
from typing import NamedTuple


class Operation(NamedTuple):
    """What all kernels of one type take in a step.

    Attributes:
        name: TensorFlow's type of operation.
        milliseconds: Their time in a step.
        count: How many of them a step runs.
    """

    name: str
    milliseconds: float
    count: float


def operations(run, repeats):
    """Runs a function without arguments so many times; returns its `Operation`s, longest first."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    run()  # tracing
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            for _ in range(repeats):
                run()
        (trace,) = pathlib.Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(trace.read_bytes())
    durations, counts = collections.Counter(), collections.Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                operation = name.rpartition(":")[2]
                # Kernels are called "path/of/the/node:Type", what contains them "Class::Method" or
                # "EagerLocalExecute: function".
                if ":" not in name or "::" in name or " " in operation:
                    continue
                durations[operation] += event.duration_ps
                counts[operation] += 1
    return [
        Operation(name, duration / 1e9 / repeats, counts[name] / repeats)
        for name, duration in durations.most_common()
    ]


def table(found, longest=12):
    """Returns the longest operations as a Markdown table, the others summed up."""
    total = sum(operation.milliseconds for operation in found)
    rest = found[longest:]
    shown = [
        *found[:longest],
        Operation("others", sum(o.milliseconds for o in rest), sum(o.count for o in rest)),
    ]
    lines = ["| operation | ms a step | share | times a step |", "| --- | ---: | ---: | ---: |"]
    lines += [
        f"| {o.name} | {o.milliseconds:.2f} | {o.milliseconds / total:.1%} | {o.count:.0f} |"
        for o in shown
    ]
    return "\n".join(lines)


def training_step(preset, sentences, length, vocabulary_size):
    """Returns a function that does one step of `fit` with a preset of the translation pipeline."""
    import keras
    import numpy as np

    from pipelines.translation import build_model, compile_model, training_model
    from pipelines.translation_config import PRESETS

    keras.utils.set_random_seed(0)
    model = build_model(PRESETS[preset], vocabulary_size, vocabulary_size)
    model = training_model(PRESETS[preset], model)
    compile_model(PRESETS[preset], model, steps_per_epoch=100)
    rng = np.random.default_rng(0)
    source, target_in, target = (
        rng.integers(4, vocabulary_size, (sentences, length)).astype("int32") for _ in range(3)
    )
    inputs = {"source": source, "target_in": target_in, "targets": target}
    inputs = {node.name: inputs[node.name] for node in model.inputs}
    return lambda: model.train_on_batch(inputs, target)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="multi30k-transformer")
    parser.add_argument("--sentences", type=int, default=128)
    parser.add_argument("--length", type=int, default=16, help="tokens of source and of target")
    parser.add_argument("--vocabulary-size", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(options.threads)
    os.environ["TF_NUM_INTEROP_THREADS"] = str(options.threads)
    step = training_step(options.preset, options.sentences, options.length, options.vocabulary_size)
    print(table(operations(step, options.repeats)))
    start = time.perf_counter()
    for _ in range(options.repeats):
        step()
    milliseconds = 1e3 * (time.perf_counter() - start) / options.repeats
    tokens = options.sentences * options.length
    print(
        f"\n{milliseconds:.1f} ms a step, {tokens / milliseconds * 1e3:,.0f} target tokens a second"
    )


if __name__ == "__main__":
    main()
