"""`predict`: an exported model of sets on files or standard input, or as a server."""

import dataclasses
import sys

import numpy as np

from seqkeras.data.readers import read_lines
from seqkeras.serving.raw_sequences import padded
from seqkeras.serving.signatures import read_signatures
from seqkeras.serving.versions import find_version, load_functions


@dataclasses.dataclass(frozen=True)
class Predict:
    """Prints the answer to each set: a line is a set, blanks part its elements, commas the numbers
    of an element, as in `3 14 7` or `1.5,2 3,4`.
    """

    saved_model: str = "saved_models/maximum"
    """The export: DIRECTORY/NAME (the highest version) or DIRECTORY/NAME/VERSION."""
    files: tuple[str, ...] = ()
    """Text files of sets; without any, standard input is read."""
    batch_size: int = 256
    """Most sets at a time."""
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
    features = signature.inputs["elements"].tensor_shape.dim[-1].size
    for path in options.files or (None,):
        lines = sys.stdin.read().splitlines() if path is None else read_lines(path)
        name = "standard input" if path is None else path
        sets = [parse_set(line, features, f"{name}, line {n}") for n, line in enumerate(lines, 1)]
        for first in range(0, len(sets), options.batch_size):
            _print(function, sets[first : first + options.batch_size])


def parse_set(line, features, where):
    """Returns the elements `(n, D)` of a line.

    Raises:
        ValueError: naming the line: no element, one of another size, or what is no finite number.
    """
    cells = [element.split(",") for element in line.split()]
    try:
        elements = np.array(cells, np.float32).reshape(len(cells), -1)
    except ValueError:
        elements = np.full((1, features), np.nan)
    if not elements.size or elements.shape[1] != features or not np.isfinite(elements).all():
        raise ValueError(
            f"{where}: expected a set such as {' '.join([','.join(['1.5'] * features)] * 2)!r}, "
            f"finite numbers, {features} an element; got {line!r}"
        )
    return elements


def _print(function, sets):
    elements, length = padded(sets)
    for row in function(elements=elements, length=length)["answers"].numpy():
        print("\t".join(f"{number:.6g}" for number in row), flush=True)
