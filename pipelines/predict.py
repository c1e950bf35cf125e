"""`predict`: an exported model on files, on standard input, at a prompt, or as a server."""

import dataclasses
import sys
from pathlib import Path

from seqkeras.data.readers import read_lines
from seqkeras.decoding.corpus import run_corpus
from seqkeras.decoding.threads import one_thread_a_batch
from seqkeras.serving.versions import load_signatures


@dataclasses.dataclass(frozen=True)
class Predict:
    """Translates lines: of the files, of standard input, or typed at a prompt."""

    saved_model: str = "saved_models/dates"
    """The export: DIRECTORY/NAME (the highest version) or DIRECTORY/NAME/VERSION."""
    files: tuple[str, ...] = ()
    """UTF-8 text files, one sentence a line; without any, standard input is read."""
    n_best: bool = False
    """Print every hypothesis of the export's n-best list, not only the first."""
    scores: bool = False
    """Print the score before each translation, parted by a tab."""
    alignments: str | None = None
    """Folder for what each output token looked at: a picture and a line of text per sentence."""
    batch_size: int = 64
    """Most sentences translated at a time."""
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
    one_thread_a_batch()
    functions = load_signatures(options.saved_model)
    if options.alignments and "align" not in functions:
        raise ValueError(
            f"--alignments: {options.saved_model} was exported from a model without attention."
        )
    number = 0
    for lines in read_chunks(options):
        _translate(lines, functions, options, number)
        number += len(lines)


def read_chunks(options):
    """Yields lists of lines: some thousands at a time from files, one at a time from a person."""
    if options.files:
        for path in options.files:
            lines = read_lines(path)
            for first in range(0, len(lines), 4096):
                yield lines[first : first + 4096]
    elif sys.stdin.isatty():
        print("One sentence a line; an empty line or Ctrl-D ends.", file=sys.stderr)
        while True:
            try:
                line = input("> ")
            except EOFError:
                return
            if not line:
                return
            yield [line]
    else:
        stream = open(sys.stdin.fileno(), encoding="utf-8", newline="\n", closefd=False)  # noqa: SIM115
        chunk = []
        for line in stream:
            chunk.append(line.rstrip("\r\n"))
            if len(chunk) == 4096:
                yield chunk
                chunk = []
        if chunk:
            yield chunk


def _translate(lines, functions, options, first_number):
    name = "n_best" if options.n_best else "translate"
    for result in run_corpus(functions[name], lines, batch_size=options.batch_size):
        texts, scores = result["text"], result["score"]
        rows = zip(texts, scores, strict=True) if options.n_best else [(texts, scores)]
        for text, score in rows:
            if score > -float("inf"):
                print(f"{score:.4f}\t{text}" if options.scores else text, flush=True)
        if options.n_best:
            print(flush=True)
    if options.alignments:
        _write_alignments(lines, functions["align"], options, first_number)


def _write_alignments(lines, align, options, first_number):
    from seqkeras.analysis.attention_maps import save_attention, without_padding

    folder = Path(options.alignments)
    folder.mkdir(parents=True, exist_ok=True)
    with open(
        folder / "alignments.txt", "w" if not first_number else "a", encoding="utf-8"
    ) as file:
        for number, result in enumerate(
            run_corpus(align, lines, batch_size=options.batch_size), start=first_number + 1
        ):
            attention, source, target = without_padding(
                result["attention"], result["source_tokens"], result["target_tokens"]
            )
            # "source-target", positions from 0, as alignment tools write it
            best = attention.argmax(axis=1)
            file.write(" ".join(f"{s}-{t}" for t, s in enumerate(best)) + "\n")
            save_attention(folder / f"{number:05d}.png", attention, source, target)
