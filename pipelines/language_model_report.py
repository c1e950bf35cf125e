"""What `evaluate` measures of a language model, and the lines that surprise it most."""

import math

import numpy as np
import tensorflow as tf

from pipelines.corpora import encode_corpus
from seqkeras.constants import END, UNK
from seqkeras.ops.crossentropy import masked_crossentropy

_SEGMENT = 200  # tokens a call: what a step costs counts less in longer ones
_LISTED = 50  # lines in the samples


def score_stream(model, ids):
    """Returns the log-probability in nats of every id `(N,)`, given all before it.

    Args:
        model: A language model of one carried stream. Its states are set to zero first.
        ids: int32 array `(N,)`. The first is predicted after END.
    """

    def score(inputs, targets):
        logits = model(inputs, training=False)
        return -masked_crossentropy(targets, logits, tf.ones_like(targets, tf.bool))

    return _over_stream(model, ids, score)


def hidden_stream(model, ids):
    """Returns the hidden state `(N, H)` from which each id `(N,)` is predicted.

    Args:
        model: As in `score_stream`, without its output layer.
        ids: int32 array `(N,)`.
    """

    def hidden(inputs, targets):
        del targets
        return model(inputs, training=False)

    return _over_stream(model, ids, hidden)


def _over_stream(model, ids, function):
    """Returns what a function of inputs and targets `(1, T)` gives for a whole stream `(N,)`."""
    for layer in model.layers:
        if getattr(layer, "stateful", False):
            layer.reset_state()
    spec = tf.TensorSpec([1, None], tf.int32)
    graph = tf.function(function, input_signature=[spec, spec])
    inputs = np.concatenate([[END], ids[:-1]]).astype(np.int32)
    found = [
        graph(inputs[None, i : i + _SEGMENT], ids[None, i : i + _SEGMENT]).numpy()[0]
        for i in range(0, len(ids), _SEGMENT)
    ]
    return np.concatenate(found)


def report(name, lines, model, tokenizer, run):
    """Measures a split, prints it, and writes its least probable lines into the run.

    Args:
        name: Of the split.
        lines: List of str.
        model: A language model of one carried stream.
        tokenizer: `Tokenizer`.
        run: `RunDirectory`.

    Returns:
        Dict: perplexity per token, END included; tokens; the share that is unknown; bits per
        character, the line end counting as one.
    """
    ids = encode_corpus(lines, tokenizer)
    log_probs = score_stream(model, ids)
    nats = -float(np.sum(log_probs, dtype=np.float64))
    characters = sum(len(line) + 1 for line in lines)
    result = {
        "perplexity": math.exp(nats / len(ids)),
        "tokens": len(ids),
        "unknown_share": float(np.mean(ids == UNK)),
        "bits_per_character": nats / math.log(2.0) / characters,
    }
    _write_samples(run.samples / f"{name}.tsv", lines, ids, log_probs)
    print(
        f"{name}: perplexity {result['perplexity']:.2f}, {result['bits_per_character']:.3f} bits "
        f"per character; {len(ids):,} tokens, {result['unknown_share']:.2%} unknown",
        flush=True,
    )
    return result


def _write_samples(path, lines, ids, log_probs):
    """Writes the lines of the least probability per token, the least probable first."""
    ends = np.flatnonzero(ids == END) + 1
    begins = np.concatenate([[0], ends[:-1]])
    means = np.add.reduceat(log_probs, begins) / (ends - begins)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{np.exp(-means[i]):.2f}\t{lines[i]}" for i in np.argsort(means)[:_LISTED]]
    path.write_text("perplexity\tline\n" + "\n".join(rows) + "\n", "utf-8")
