"""`mix`: trained runs and models that count as one mixture, weights fitted on validation."""

import dataclasses
import functools
import json

import keras
import numpy as np

from pipelines.corpora import Corpus, encode_corpus
from pipelines.language_model_config import Config
from pipelines.language_model_count import ESTIMATORS, VARIANCES, estimate
from pipelines.language_model_report import hidden_stream, score_stream
from pipelines.run_directory import RunDirectory, load_config
from seqkeras.analysis.mixture import fit_mixture_weights, mix, perplexity
from seqkeras.constants import END
from seqkeras.counts import ContinuousCache, UnigramCache
from seqkeras.data.tokenizers import load_tokenizer
from seqkeras.models.language_model import carry_states
from seqkeras.models.with_targets import output_layer


@dataclasses.dataclass(frozen=True)
class Mix:
    """Mixes runs on one vocabulary with n-grams and caches; prints every member and the mixture.

    Each split is read as one stream. Weights are fitted on the validation split of the first run,
    by expectation-maximisation.
    """

    runs: tuple[str, ...] = ("runs/log",)
    """Folders of runs; data and vocabulary are those of the first."""
    ngrams: tuple[int, ...] = (5,)
    """Orders of Kneser-Ney models, counted on the training split."""
    discount: float | None = None
    """Their discount at every order; None: three for each, estimated, which takes enough text."""
    maximum_entropy: tuple[int, ...] = ()
    """Orders of maximum-entropy models of the same n-grams."""
    variances: tuple[float, ...] = VARIANCES
    """Of the priors of their weights, order by order; the last is that of higher orders, too."""
    sparse_nonnegative: tuple[int, ...] = ()
    """Orders of sparse non-negative matrix models of the same n-grams."""
    skip_grams: tuple[int, ...] = ()
    """The same, with all skip-grams whose contexts are among the last order - 1 words."""
    caches: tuple[int, ...] = ()
    """Lengths of unigram caches, in tokens."""
    continuous_caches: tuple[int, ...] = ()
    """Lengths of caches that are asked with the hidden states of the first run."""
    theta: float = 0.6
    """How sharply those look for states like the present one."""
    by_frequency: bool = False
    """Fit one vector of weights for all contexts whose last word is about as frequent in the
    training split, instead of one for all."""


def mixture(options: Mix):
    """Runs the command; returns what it writes into the first run's mixture.json."""
    first = RunDirectory(options.runs[0])
    config = load_config(Config, first.require(first.config))
    tokenizer = load_tokenizer(first.require(first.source_tokenizer))
    data, size = config.data, tokenizer.vocabulary_size

    def read(split):
        return encode_corpus(Corpus(data, split, config.seed), tokenizer)

    train = read(data.train)
    members = {}
    trained = {run: _load(run, tokenizer) for run in options.runs}
    for run, model in trained.items():
        members[run] = functools.partial(score_stream, carry_states(model, streams=1))
    members |= _count_models(options, train, size)
    for window in options.caches:
        members[f"cache of {window} tokens"] = UnigramCache(size, window).log_probs
    if options.continuous_caches:
        hidden = hidden_states(trained[options.runs[0]])
    for window in options.continuous_caches:
        cache = ContinuousCache(size, window, options.theta)
        members[f"continuous cache of {window} tokens"] = _asked_with(hidden, cache)

    frequencies = np.bincount(train, minlength=size)
    weights, results = None, {}
    for split in (data.validation, *data.tests):
        ids = read(split)
        log_probs = np.stack([score(ids) for score in members.values()])
        groups = _groups(ids, frequencies) if options.by_frequency else None
        if weights is None:
            weights = fit_mixture_weights(log_probs, groups)
            weights = _up_to(weights, frequencies) if options.by_frequency else weights
            _print_weights(members, weights)
        alone = {name: perplexity(row) for name, row in zip(members, log_probs, strict=True)}
        results[split] = {**alone, "mixture": perplexity(mix(log_probs, weights, groups))}
        shown = ", ".join(f"{name} {value:.2f}" for name, value in results[split].items())
        print(f"{split}: perplexity of {shown}", flush=True)
    report = {"weights": weights.tolist(), "perplexity": results}
    path = first.path / "mixture.json"
    path.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    return report


def _load(run, tokenizer):
    """Returns the model of a run."""
    run = RunDirectory(run)
    if load_tokenizer(run.require(run.source_tokenizer)).vocabulary != tokenizer.vocabulary:
        raise ValueError(
            f"runs: expected models of one vocabulary, that of {run.path} is another. Train it "
            "with --init-from, or on the same data with the same settings."
        )
    return keras.models.load_model(run.require(run.model))


def hidden_states(model):
    """Returns a function from ids `(N,)` to the states `(N, H)` that predict them."""
    _, hidden, _ = output_layer(model)
    below = keras.Model(model.input, hidden)
    return functools.partial(hidden_stream, carry_states(below, streams=1))


def _asked_with(hidden, cache):
    return lambda ids: cache.log_probs(ids, hidden(ids))


def _count_models(options, ids, size):
    """Returns functions from ids `(N,)` to log-probabilities `(N,)`, by name, of n-gram models."""
    orders = {
        "kneser_ney": options.ngrams,
        "maximum_entropy": options.maximum_entropy,
        "sparse_nonnegative": options.sparse_nonnegative,
        "skip_grams": options.skip_grams,
    }
    settings = options.discount, options.variances
    return {
        f"{ESTIMATORS[name]} {order}-gram": _scorer(estimate(name, ids, order, size, *settings))
        for name, wanted in orders.items()
        for order in wanted
    }


def _scorer(tables):
    return lambda ids: tables.log_probs([ids])


def _groups(ids, frequencies):
    """Returns the group `(N,)` of each token: the binary logarithm of how often the last one is."""
    last = np.concatenate([[END], ids[:-1]])
    return np.log2(1 + frequencies[last]).astype(int)


def _up_to(weights, frequencies):
    """Returns the weights with rows for the groups that only a test split has: those nearest."""
    groups = int(np.log2(1 + frequencies.max())) + 1
    return np.concatenate([weights, np.repeat(weights[-1:], groups - len(weights), axis=0)])


def _print_weights(members, weights):
    rows = np.atleast_2d(weights)
    for name, column in zip(members, rows.T, strict=True):
        print(f"{name}: weight {', '.join(f'{value:.3f}' for value in column)}", flush=True)
