r"""Measures the recurrent translation model against Joey NMT's, on the same data and subwords.

    python benchmarks/translation.py --data DATA/multi30k --work runs/benchmark \
        --joey-python JOEY/bin/python --joey-checkpoint ... --saved-model 1=... --saved-model 5=...

The two libraries run in a process each and take turns, one window at a time and in alternating
order, so that whatever else the machine does falls on both. Real target tokens are counted (END
included, padding and START not), and whole sentences, strings in and strings out.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import platform
import statistics
import sys
import time

import sentencepiece

from protocol import Worker

HERE = pathlib.Path(__file__).parent
SUBWORDS = 10_000


@dataclasses.dataclass(frozen=True)
class Measure:
    """What is asked of the workers, and the rate that their answers give."""

    name: str
    command: dict
    counted: str  # the key of the answer that is divided by "seconds"

    def rate(self, worker):
        answer = worker.ask(**self.command)
        return {**answer, "rate": answer[self.counted] / answer["seconds"]}


def train_subwords(data, path):
    """Trains the joint subword model that both libraries use; returns its path."""
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


def start_workers(options, subwords):
    """Starts one process a library; returns a dict of `Worker` by name."""
    common = ["--data", options.data, "--subwords", subwords, "--work", options.work]
    joey = [options.joey_python, HERE / "joeynmt_recurrent.py", *common]
    ours = [options.python, HERE / "seqkeras_recurrent.py", *common]
    if options.joey_checkpoint:
        joey += ["--checkpoint", options.joey_checkpoint]
    for folder in options.saved_model:
        ours += ["--saved-model", folder]
    threads = str(options.threads)
    environments = {
        "seqkeras": {
            "PYTHONPATH": str(HERE.parent),  # the clone, where it is not installed
            "TF_NUM_INTRAOP_THREADS": threads,
            "TF_NUM_INTEROP_THREADS": threads,
        },
        # Passive: torch's threads do not spin while the other library has its turn.
        "joeynmt": {"OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "passive"},
    }
    return {
        name: Worker([str(c) for c in command], environments[name], options.work / f"{name}.log")
        for name, command in (("seqkeras", ours), ("joeynmt", joey))
    }


def measures(options):
    """Returns the list of `Measure` that the options ask for."""
    train = {"cmd": "train", "seconds": options.seconds}
    chosen = [Measure("training, tokens/s", train, "tokens")]
    for beam in sorted(int(option.partition("=")[0]) for option in options.saved_model):
        decode = {"cmd": "decode", "beam": beam, "sentences": options.sentences}
        label = "greedy" if beam == 1 else f"beam {beam}"
        chosen.append(Measure(f"{label}, sentences/s", decode, "sentences"))
    return chosen


def run(workers, measure, windows):
    """Lets the workers take turns; returns a dict of lists of answers by worker."""
    for worker in workers.values():
        measure.rate(worker)  # warm-up: tracing, caches, memory pools
    answers = {name: [] for name in workers}
    for window in range(windows):
        names = list(workers) if window % 2 == 0 else list(workers)[::-1]
        for name in names:
            answers[name].append(measure.rate(workers[name]))
        shown = "  ".join(f"{name} {answers[name][-1]['rate']:,.1f}" for name in workers)
        print(f"{measure.name}, window {window + 1}/{windows}: {shown}", file=sys.stderr)
    return answers


def summary(answers):
    """Returns medians, ranges and the ratio of the medians.

    The range of the ratio is that of the windows taken side by side.
    """
    rates = {name: [a["rate"] for a in list_] for name, list_ in answers.items()}
    ratios = [
        ours / theirs for ours, theirs in zip(rates["seqkeras"], rates["joeynmt"], strict=True)
    ]
    medians = {name: statistics.median(values) for name, values in rates.items()}
    return {
        "median": medians,
        "range": {name: [min(values), max(values)] for name, values in rates.items()},
        "ratio": medians["seqkeras"] / medians["joeynmt"],
        "ratio_range": [min(ratios), max(ratios)],
    }


def table(results):
    """Returns the results as a Markdown table."""
    lines = [
        "| measure | seqkeras, median (range) | Joey NMT, median (range) | ratio (range) |",
        "| --- | --- | --- | --- |",
    ]
    for name, result in results.items():
        s = result["summary"]
        cells = [
            f"{s['median'][n]:,.1f} ({s['range'][n][0]:,.1f}-{s['range'][n][1]:,.1f})"
            for n in ("seqkeras", "joeynmt")
        ]
        low, high = s["ratio_range"]
        lines.append(f"| {name} | {' | '.join(cells)} | {s['ratio']:.2f} ({low:.2f}-{high:.2f}) |")
    return "\n".join(lines)


def machine():
    """Returns what the numbers depend on besides the code."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "time": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def processor():
    """Returns the processor's name."""
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def parse_options():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    path = pathlib.Path
    parser.add_argument("--data", type=path, required=True, help="folder with train.en, train.de …")
    parser.add_argument("--work", type=path, required=True, help="folder for what is written")
    parser.add_argument("--python", default=sys.executable, help="Python that has seqkeras")
    parser.add_argument("--joey-python", required=True, help="Python that has Joey NMT")
    parser.add_argument("--joey-checkpoint", type=path, help="trained weights, to decode with")
    parser.add_argument(
        "--saved-model", action="append", default=[], help="BEAM=FOLDER of a trained export"
    )
    parser.add_argument("--windows", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=20, help="length of a training window")
    parser.add_argument("--sentences", type=int, default=1000, help="to decode in a window")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if bool(options.joey_checkpoint) != bool(options.saved_model):
        parser.error("decoding is compared with --joey-checkpoint and --saved-model, or not at all")
    return options


def main():
    options = parse_options()
    options.work.mkdir(parents=True, exist_ok=True)
    subwords = train_subwords(options.data, options.work / "joint")
    report = {"machine": machine(), "threads": options.threads, "results": {}}
    workers = start_workers(options, subwords)
    try:
        for measure in measures(options):
            answers = run(workers, measure, options.windows)
            report["results"][measure.name] = {"summary": summary(answers), "windows": answers}
    finally:
        for worker in workers.values():
            worker.quit()
    report["load_after"] = os.getloadavg()[0]
    output = options.work / "translation.json"
    output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(table(report["results"]))
    print(f"\n{report['machine']}, load after: {report['load_after']:.1f}; all windows: {output}")


if __name__ == "__main__":
    main()
