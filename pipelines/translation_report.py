"""What `evaluate` measures of one split, prints, and leaves in the run."""

import json
import math
import re

from pipelines.run_directory import RunDirectory
from seqkeras.analysis.attention_maps import save_attention, without_padding
from seqkeras.analysis.figures import save_png
from seqkeras.analysis.head_maps import plot_look
from seqkeras.analysis.length_table import (
    LengthScore,
    count_words,
    plot_score_by_length,
    score_by_length,
)
from seqkeras.decoding.corpus import run_corpus

BUCKETS = (5, 10, 15, 20, 25, 30)
PICTURES = 4  # attention maps for each split


def scores_of_runs(folders, splits):
    """Reads what other runs scored by length, before hours are spent on a comparison with them.

    Args:
        folders: Folders of evaluated runs.
        splits: Names of the splits that each must have scores of.

    Returns:
        `{run: {split: [LengthScore]}}`.

    Raises:
        FileNotFoundError, ValueError: naming the run that lacks scores.
    """
    runs = {}
    for folder in folders:
        other = RunDirectory(folder)
        metrics = json.loads(other.require(other.metrics).read_text("utf-8"))
        missing = [split for split in splits if split not in metrics]
        if missing:
            raise ValueError(
                f"--compare {folder}: expected scores of {missing}, got {list(metrics)}. Run "
                f"`evaluate --run {folder}` first, or choose other splits by --splits."
            )
        runs[other.path.name] = {
            split: [LengthScore(**row) for row in metrics[split]["by_length"]] for split in splits
        }
    return runs


def report(name, split, pairs, functions, run, compared, options):
    """Translates a split; prints its scores; writes samples and plots.

    Args:
        name: What the results are filed under: the split, and how it was decoded.
        split: Name of the split.
        pairs: Its `(source, reference)` strings.
        functions: Signatures, see `seqkeras.decoding.corpus`.
        run: `RunDirectory`.
        compared: Scores of other runs to draw beside these, from `scores_of_runs`.
        options: With `batch_size` and `length_unit`.

    Returns:
        Dict of the scores, as it stands in metrics.json: BLEU and chrF with their signatures, BLEU
        without regard to case (the nearest to what papers compute of tokenized, lower-cased text,
        which depends on their tokenizer), exact match in percent, perplexity for each target token
        (END included), and the scores by length.
    """
    import sacrebleu

    sources, references = map(list, zip(*pairs, strict=True))
    results = run_corpus(functions["translate"], sources, batch_size=options.batch_size)
    hypotheses = [result["text"] for result in results]
    bleu, chrf = sacrebleu.BLEU(), sacrebleu.CHRF()
    lowercase = sacrebleu.BLEU(lowercase=True)
    scores = {
        "sentences": len(pairs),
        "bleu": bleu.corpus_score(hypotheses, [references]).score,
        "bleu_signature": str(bleu.get_signature()),
        "bleu_lowercase": lowercase.corpus_score(hypotheses, [references]).score,
        "bleu_lowercase_signature": str(lowercase.get_signature()),
        "chrf": chrf.corpus_score(hypotheses, [references]).score,
        "chrf_signature": str(chrf.get_signature()),
        "exact_match": 100.0 * sum(map(str.__eq__, hypotheses, references)) / len(pairs),
        "perplexity": _perplexity(functions["score"], sources, references, options.batch_size),
    }
    length = len if options.length_unit == "characters" else count_words
    rows = score_by_length(sources, hypotheses, references, BUCKETS, length)
    scores["by_length"] = [row._asdict() for row in rows]
    _print(name, scores, rows, options.length_unit)
    file = re.sub(r"[^\w.-]+", "_", name)
    _write_samples(run, file, sources, hypotheses, references, results)
    systems = {run.path.name: rows} | {other: scored[split] for other, scored in compared.items()}
    picture = run.plots / f"bleu_by_length.{file}.png"
    save_png(plot_score_by_length(systems, title=split), picture)
    if "align" in functions:
        _draw_attention(run, file, functions["align"], sources)
    if "look" in functions:
        for number, look in enumerate(run_corpus(functions["look"], sources[:PICTURES])):
            save_png(plot_look(look), run.plots / f"heads.{file}.{number}.png")
    return scores


def _perplexity(score, sources, references, batch_size):
    results = run_corpus(score, sources, references, batch_size=batch_size)
    nats = -sum(float(result["log_probability"]) for result in results)
    return math.exp(nats / sum(int(result["tokens"]) for result in results))


def _print(name, scores, rows, unit):
    print(f"\n{name}: {scores['sentences']:,} sentences")
    print(f"  BLEU {scores['bleu']:.2f}   {scores['bleu_signature']}")
    print(f"  BLEU {scores['bleu_lowercase']:.2f}   {scores['bleu_lowercase_signature']}")
    print(f"  chrF {scores['chrf']:.2f}   {scores['chrf_signature']}")
    print(f"  exact match {scores['exact_match']:.2f} %   perplexity {scores['perplexity']:.3f}")
    print(f"  {'source ' + unit:>18} {'sentences':>10} {'BLEU':>7} {'chrF':>7} {'exact %':>8}")
    for row in rows:
        print(
            f"  {row.label:>18} {row.sentences:>10} {row.bleu:>7.2f} {row.chrf:>7.2f} "
            f"{row.exact_match:>8.2f}",
            flush=True,
        )


def _write_samples(run, name, sources, hypotheses, references, results):
    run.samples.mkdir(parents=True, exist_ok=True)
    with open(run.samples / f"{name}.tsv", "w", encoding="utf-8") as file:
        file.write("right\tscore\tsource\treference\ttranslation\n")
        for row in zip(sources, references, hypotheses, results, strict=True):
            source, reference, hypothesis, result = row
            mark = "yes" if reference == hypothesis else "no"
            cells = (mark, f"{result['score']:.3f}", source, reference, hypothesis)
            file.write("\t".join(cell.replace("\t", " ") for cell in cells) + "\n")


def _draw_attention(run, name, align, sources):
    for number, result in enumerate(run_corpus(align, sources[:PICTURES])):
        columns = (result["attention"], result["source_tokens"], result["target_tokens"])
        save_attention(run.plots / f"attention.{name}.{number}.png", *without_padding(*columns))
