"""`count`: n-grams instead of training; leaves a run that every other command takes."""

import dataclasses
from typing import Literal

from pipelines.corpora import Corpus, encode_corpus, tokenizer_of_run
from pipelines.language_model_config import Config, Data
from pipelines.run_directory import RunDirectory, claim_run, load_config
from seqkeras.counts import count_ngrams, kneser_ney, maximum_entropy, sparse_nonnegative
from seqkeras.models import ngram_language_model

VARIANCES = (1e6, 5.0, 1.5, 1.0)  # the best on the Penn Treebank's validation split

ESTIMATORS = {
    "kneser_ney": "Kneser-Ney",
    "single_kneser_ney": "Kneser-Ney of one discount",
    "maximum_entropy": "maximum entropy",
    "sparse_nonnegative": "sparse non-negative",
    "skip_grams": "sparse non-negative, with gaps,",
}


@dataclasses.dataclass(frozen=True)
class Count:
    """Counts the n-grams of the training split, as one stream, and makes a model of them."""

    run: str = "runs/ngrams"
    """Folder of the run."""
    like: str | None = None
    """Folder of another run, whose data and vocabulary are taken: the two can be mixed."""
    order: int = 5
    """The longest n-grams."""
    estimator: Literal[tuple(ESTIMATORS)] = "kneser_ney"
    """What makes probabilities of counts; the single discount does with less text, skip_grams is
    the sparse non-negative matrix of n-grams with gaps, too."""
    data: Data = dataclasses.field(default_factory=Data)


def count(options: Count):
    """Runs the command; leaves the model in the run as model.keras."""
    config = Config(run=options.run, init_from=options.like, data=options.data)
    if options.like:
        like = RunDirectory(options.like)
        config = dataclasses.replace(
            config, data=load_config(Config, like.require(like.config)).data
        )
    run = RunDirectory(options.run).create()
    claim_run(run, config)
    lines = Corpus(config.data, config.data.train, config.seed)
    tokenizer = tokenizer_of_run(config, run, lines)
    ids = encode_corpus(lines, tokenizer)
    tables = estimate(options.estimator, ids, options.order, tokenizer.vocabulary_size)
    model = ngram_language_model(tables)
    model.save(run.model)
    print(f"{len(ids):,} tokens, {model.count_params():,} numbers; model: {run.model}", flush=True)
    return model


def estimate(name, ids, order, size, discount=None, variances=VARIANCES):
    """Returns the tables of a model of one stream of ids.

    Args:
        name: One of `ESTIMATORS`.
        ids: int array `(N,)`.
        order: int, of the longest n-grams.
        size: int, of the vocabulary.
        discount: float, of Kneser-Ney at every order; None: three for each, estimated.
        variances: Floats, of the priors of maximum entropy, order by order; the last goes on.

    Raises:
        ValueError: for another name.
    """
    if name not in ESTIMATORS:
        raise ValueError(f"name: expected one of {list(ESTIMATORS)}, got {name!r}.")
    if name in ("sparse_nonnegative", "skip_grams"):
        return sparse_nonnegative([ids], order, size, gaps=name == "skip_grams")
    counts = count_ngrams([ids], order, size)
    if name == "maximum_entropy":
        return maximum_entropy(counts, _for_orders(variances, order))
    if name == "single_kneser_ney":
        return kneser_ney(counts, "single")
    return kneser_ney(counts, "modified" if discount is None else [discount] * order)


def _for_orders(values, order):
    """Returns as many values as there are orders; the last repeats itself."""
    return [values[min(k, len(values) - 1)] for k in range(order)]
