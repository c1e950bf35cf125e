r"""Measures translation models against other libraries', on the same data and subwords.

    python benchmarks/translation.py --model transformer --data DATA/multi30k --work WORK \
        --peer joeynmt=JOEY/bin/python --peer kerashub=KERASHUB/bin/python

Each library runs in a process of its own, and they take turns, one window at a time and in
alternating order, so that whatever else the machine does falls on all. Real target tokens are
counted (END included, padding and START not), and whole sentences, strings in and strings out.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import sys

import sentencepiece

from protocol import Worker
from translation_report import OURS, machine, summary, table

HERE = pathlib.Path(__file__).parent
SUBWORDS = 10_000


@dataclasses.dataclass(frozen=True)
class Contestant:
    """A worker: its file, its options, and what of all that is measured it can do.

    `passive`: its threads do not spin while they wait. PyTorch's would for as long as another
    library has its turn; CTranslate2 needs it, or decodes at two fifths of its speed.
    `side_by_side`: it can decode several batches at once.
    """

    file: str
    options: tuple = ()
    models: tuple = ("transformer",)
    trains: bool = True
    decodes: bool = True
    passive: bool = False
    side_by_side: bool = False


CONTESTANTS = {
    OURS: Contestant(
        "seqkeras_translation.py", models=("recurrent", "transformer"), side_by_side=True
    ),
    "joeynmt": Contestant(
        "joeynmt_translation.py", models=("recurrent", "transformer"), passive=True
    ),
    "kerashub": Contestant("kerashub_translation.py"),
    "kerashub-our-batches": Contestant(
        "kerashub_translation.py", options=("--batches", "seqkeras"), decodes=False
    ),
    "ctranslate2": Contestant("ctranslate2_translation.py", trains=False, side_by_side=True),
}


@dataclasses.dataclass(frozen=True)
class Measure:
    """What is asked of which workers, and the rate that their answers give."""

    name: str
    command: dict
    contestants: tuple

    def rate(self, worker):
        answer = worker.ask(**self.command)
        if self.command["cmd"] == "train":
            return {**answer, "rate": answer["tokens"] / answer["seconds"]}
        translations = answer.pop("translations")
        words = sum(len(text.split()) for text in translations)
        rate = len(translations) / answer["seconds"]
        return {**answer, "sentences": len(translations), "words": words, "rate": rate}


def train_subwords(data, path):
    """Trains the joint subword model that all libraries use; returns its path."""
    model = path.with_suffix(".model")
    if not model.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        sentencepiece.SentencePieceTrainer.train(
            input=[str(data / "train.en"), str(data / "train.de")],
            model_prefix=str(path),
            model_type="bpe",
            vocab_size=SUBWORDS,
            character_coverage=1.0,
            normalization_rule_name="identity",
            pad_id=0,
            bos_id=1,
            eos_id=2,
            unk_id=3,
            pad_piece="<pad>",
            unk_surface="⁇",
        )
    return model


def start_worker(name, options, subwords):
    """Starts the process of a contestant; returns its `Worker`."""
    contestant, at_once = CONTESTANTS[name], options.batches_at_once
    of_a_batch = str(options.threads // at_once if contestant.side_by_side else options.threads)
    command = [options.pythons[name], HERE / contestant.file, *contestant.options]
    command += ["--model", options.model, "--data", options.data]
    command += ["--subwords", subwords, "--work", options.work]
    if contestant.side_by_side:
        command += ["--batches-at-once", at_once]
    if name in options.weights:
        command += ["--weights", options.weights[name]]
    if name == OURS:
        command += [f"--saved-model={beam}={path}" for beam, path in options.saved_models.items()]
    environment = {
        "PYTHONPATH": str(HERE.parent),  # the clone, where seqkeras is not installed
        "TF_NUM_INTRAOP_THREADS": of_a_batch,
        "TF_NUM_INTEROP_THREADS": str(options.threads),
        "OMP_NUM_THREADS": of_a_batch,
    }
    if contestant.passive:
        environment["OMP_WAIT_POLICY"] = "passive"
    return Worker([str(c) for c in command], environment, options.work / f"{name}.log")


def measures(options):
    """Returns the list of `Measure` that the options ask for."""
    chosen = []
    trained = tuple(name for name in options.pythons if CONTESTANTS[name].trains)
    if options.training:
        command = {"cmd": "train", "seconds": options.seconds}
        chosen.append(Measure("training, tokens/s", command, trained))
    texts = (options.data / "test_2016_flickr.en").read_text(encoding="utf-8").splitlines()
    decoded = (OURS, *options.weights)
    for beam in sorted(options.saved_models):
        command = {"cmd": "decode", "beam": beam, "texts": texts[: options.sentences]}
        label = "greedy" if beam == 1 else f"beam {beam}"
        chosen.append(Measure(f"{label}, sentences/s", command, decoded))
    return chosen


def run(workers, measure, windows):
    """Lets the workers take turns; returns a dict of lists of answers by worker."""
    for name in measure.contestants:
        measure.rate(workers[name])  # warm-up: tracing, caches, memory pools
    answers = {name: [] for name in measure.contestants}
    for window in range(windows):
        for name in measure.contestants[:: 1 if window % 2 == 0 else -1]:
            answers[name].append(measure.rate(workers[name]))
        shown = "  ".join(f"{name} {found[-1]['rate']:,.1f}" for name, found in answers.items())
        print(f"{measure.name}, window {window + 1}/{windows}: {shown}", file=sys.stderr)
    return answers


def named(text):
    """Returns `(name, value)` of "name=value"."""
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    return name, value


def parse_options():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    path, pairs = pathlib.Path, {"type": named, "action": "append", "default": []}
    peers = ", ".join(name for name in CONTESTANTS if name != OURS)
    parser.add_argument("--model", choices=("recurrent", "transformer"), required=True)
    parser.add_argument("--data", type=path, required=True, help="folder with train.en, train.de …")
    parser.add_argument("--work", type=path, required=True, help="folder for what is written")
    parser.add_argument("--python", default=sys.executable, help="Python that has seqkeras")
    parser.add_argument("--peer", **pairs, help=f"NAME=PYTHON that has it; one of {peers}")
    parser.add_argument("--weights", **pairs, help="NAME=PATH: a peer's trained weights, to decode")
    parser.add_argument("--saved-model", **pairs, help="BEAM=FOLDER of a trained export, to decode")
    parser.add_argument("--no-training", dest="training", action="store_false", help="decode only")
    parser.add_argument("--subwords", type=path, help="sentencepiece model; default: trained here")
    parser.add_argument("--windows", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=20, help="length of a training window")
    parser.add_argument("--sentences", type=int, default=1000, help="to decode in a window")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--batches-at-once", type=int, default=1, help="by those that can; on THREADS together"
    )
    parser.add_argument("--output", type=path, help="JSON file; default: WORK/translation.json")
    options = parser.parse_args()
    options.pythons = {OURS: options.python, **dict(options.peer)}
    options.weights = dict(options.weights)
    options.saved_models = {int(beam): folder for beam, folder in options.saved_model}
    options.output = options.output or options.work / "translation.json"
    check(parser, options)
    return options


def check(parser, options):
    """Ends with a message where the options do not go together."""
    for name in options.pythons:
        if name not in CONTESTANTS or options.model not in CONTESTANTS[name].models:
            fitting = [n for n, c in CONTESTANTS.items() if options.model in c.models]
            parser.error(f"--peer {name}: expected one of {fitting} for {options.model}")
    for name in options.weights:
        if name not in options.pythons or not CONTESTANTS[name].decodes:
            parser.error(f"--weights {name}: expected a --peer of that name that decodes")
    if bool(options.weights) != bool(options.saved_models):
        parser.error("decoding is compared with --weights and --saved-model, or not at all")
    if options.threads % options.batches_at_once or (
        options.training and options.batches_at_once > 1
    ):
        parser.error("--batches-at-once: expected a divisor of --threads, and --no-training")
    if not options.training and not options.weights:
        parser.error("--no-training: expected --weights and --saved-model, to decode with")


def main():
    options = parse_options()
    options.work.mkdir(parents=True, exist_ok=True)
    subwords = options.subwords or train_subwords(options.data, options.work / "joint")
    report = {"machine": machine(), "threads": options.threads}
    report |= {"batches_at_once": options.batches_at_once, "results": {}}
    chosen = measures(options)
    workers = {}
    try:
        for name in dict.fromkeys(name for measure in chosen for name in measure.contestants):
            workers[name] = start_worker(name, options, subwords)
        for measure in chosen:
            answers = run(workers, measure, options.windows)
            report["results"][measure.name] = {"summary": summary(answers), "windows": answers}
            report["load_after"] = os.getloadavg()[0]
            options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        print(table(report["results"]))
        load = f"load after: {report['load_after']:.1f}"
        print(f"\n{report['machine']}, {load}; all windows: {options.output}", flush=True)
    finally:
        for worker in workers.values():
            worker.quit()


if __name__ == "__main__":
    main()
