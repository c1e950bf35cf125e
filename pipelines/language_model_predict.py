"""`predict`: an exported language model on files, on standard input, or as a server.

It says how probable lines are, or goes on with them.
"""

import dataclasses

import tensorflow as tf

from pipelines.predict import read_chunks
from seqkeras.serving.versions import load_functions


@dataclasses.dataclass(frozen=True)
class Predict:
    """Prints each line's perplexity and the line, or what follows it."""

    saved_model: str = "saved_models/log"
    """The export: DIRECTORY/NAME (the highest version) or DIRECTORY/NAME/VERSION."""
    files: tuple[str, ...] = ()
    """Text files, one text a line; without any, standard input is read."""
    tokens: bool = False
    """Print the log-probability of every token, in nats, instead of the line."""
    generate: bool = False
    """Print each line and what the model goes on with."""
    seed: int = 1
    """Of what is generated: the first line has this one, the next the next."""
    batch_size: int = 64
    """Most lines at a time."""
    serve: bool = False
    """Answer TensorFlow Serving's REST requests on this machine instead."""
    port: int = 8501
    """Of the server; 0 takes a free one."""


def predict(options: Predict):
    """Runs the command."""
    if options.serve:
        from seqkeras.serving.server import serve

        serve(options.saved_model, options.port)
        return
    functions, seed = load_functions(options.saved_model), options.seed
    for lines in read_chunks(options):
        for begin in range(0, len(lines), options.batch_size):
            batch = lines[begin : begin + options.batch_size]
            if options.generate:
                _print_continuations(batch, functions["generate"], seed)
                seed += len(batch)
            else:
                _print_scores(batch, functions["serving_default"], options.tokens)


def _print_continuations(lines, generate, seed):
    seeds = tf.range(seed, seed + len(lines), dtype=tf.int64)
    found = generate(text=tf.constant(lines), seed=seeds)["text"].numpy()
    for line, continuation in zip(lines, found, strict=True):
        print(f"{line} {continuation.decode()}".strip(), flush=True)


def _print_scores(lines, score, tokens):
    scores = {name: value.numpy() for name, value in score(text=tf.constant(lines)).items()}
    for row, line in enumerate(lines):
        shown = line
        if tokens:
            pairs = zip(scores["tokens"][row], scores["log_probabilities"][row], strict=True)
            shown = " ".join(
                f"{token.decode()}:{value:.2f}" for token, value in pairs if token != b""
            )
        print(f"{scores['perplexity'][row]:.2f}\t{shown}", flush=True)
