"""`predict`: an exported classifier on files, on standard input, at a prompt, or as a server."""

import dataclasses
import sys

from pipelines.classification_report import classify
from pipelines.predict import read_chunks
from seqkeras.data.series import parse_series_csv, read_series_csv
from seqkeras.serving.signatures import read_signatures
from seqkeras.serving.versions import find_version, load_functions


@dataclasses.dataclass(frozen=True)
class Predict:
    """Prints a label for each line of text, or for each series of CSV files, its name first."""

    saved_model: str = "saved_models/control_charts"
    """The export: DIRECTORY/NAME (the highest version) or DIRECTORY/NAME/VERSION."""
    files: tuple[str, ...] = ()
    """Text files, one text a line, or CSV files with the columns series,CHANNEL,...; without any,
    standard input is read."""
    probabilities: bool = False
    """Print the probability of every class too."""
    batch_size: int = 64
    """Most sequences classified at a time."""
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
    function = load_functions(options.saved_model)["serving_default"]
    signature = read_signatures(find_version(options.saved_model))["serving_default"]
    if "text" in signature.inputs:
        for lines in read_chunks(options):
            _print(None, lines, function, options)
        return
    channels = signature.inputs["series"].tensor_shape.dim[-1].size
    for path, (examples, names, found) in _read_series(options):
        if len(found) != channels:
            raise ValueError(
                f"{path}: expected {channels} channels behind series and label, as in training, "
                f"got {len(found)}: {','.join(found)}"
            )
        _print(names, [series for series, _ in examples], function, options)


def _read_series(options):
    if not options.files:
        yield "standard input", parse_series_csv(sys.stdin.read().splitlines(), "standard input")
    for path in options.files:
        yield path, read_series_csv(path)


def _print(names, sequences, function, options):
    results = classify(function, sequences, options.batch_size)
    for row, result in enumerate(results):
        cells = [names[row]] if names else []
        cells.append(result["label"])
        if options.probabilities:
            pairs = zip(result["labels"], result["probabilities"], strict=True)
            cells += [f"{label} {probability:.4f}" for label, probability in pairs]
        print("\t".join(cells), flush=True)
