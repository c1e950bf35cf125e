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
    "kneser_ney": kneser_ney,
    "single_kneser_ney": lambda counts: kneser_ney(counts, "single"),
    "maximum_entropy": lambda counts: maximum_entropy(counts, for_orders(VARIANCES, counts.order)),
    "sparse_nonnegative": sparse_nonnegative,
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
    """What makes probabilities of counts; the single discount does with less text."""
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
    counts = count_ngrams([ids], options.order, tokenizer.vocabulary_size)
    sizes = ", ".join(f"{(c > 0).sum():,}" for c in counts.counts)
    print(f"{len(ids):,} tokens; n-grams of the orders 1 to {options.order}: {sizes}", flush=True)
    model = ngram_language_model(ESTIMATORS[options.estimator](counts))
    model.save(run.model)
    print(f"model: {run.model}", flush=True)
    return model


def for_orders(values, order):
    """Returns as many values as there are orders; the last repeats itself."""
    return [values[min(k, len(values) - 1)] for k in range(order)]
