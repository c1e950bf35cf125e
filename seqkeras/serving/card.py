"""The card of an export: a README.md that says what the model is and how to call it.

Every call in it can be pasted, and every answer in it was given by the exported model.
"""

import dataclasses
import json
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from seqkeras.serving.calls import (
    EXAMPLES_FILE,
    as_json,
    as_text,
    command_line,
    curl_call,
    first_rows,
    python_call,
    takes_strings,
)
from seqkeras.serving.rest import DEFAULT_SIGNATURE, format_predict

_CARD = """\
# {name}, version {version}

{summary}

{examples}

## Trained on

{trained_on}

## How good it is

| measure | value |
|---|---|
{metrics}

## What it is

| setting | value |
|---|---|
{settings}

## Call it

{inputs} `signatures.json` has the tensor names for clients
that use TensorFlow's C library.

| signature | inputs | outputs |
|---|---|---|
{signatures}

{answers}Paths are relative to the folder that holds `{root}/`.

From Python, with nothing but TensorFlow:

```python
{python}```

prints

```
{printed}
```

{command_line}From TensorFlow Serving, which takes the highest version in the folder:

```sh
docker run -p 8501:8501 -v "$PWD/{model_folder}:/models/{name}" \\
    -e MODEL_NAME={name} tensorflow/serving
```

```sh
{curl}
```

answers

```json
{response}
```
{other}"""


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """What the reader of an export should know and the model cannot say itself.

    Args:
        summary: one or two sentences: what goes in, what comes out, where it fails.
        trained_on: which data, how much, from where, and which licence they have.
        metrics: dict from measure, with its test set, to number or text.
        settings: dict from setting (model, vocabulary, beam size…) to its value.
        answers: what the inputs and outputs mean, where their names do not say it.
    """

    summary: str
    trained_on: str
    metrics: Mapping[str, float | str]
    settings: Mapping[str, object]
    answers: str = ""


def render_card(card, path, signatures, inputs, outputs):
    """Returns the text of an export's README.md.

    Args:
        card: `ModelCard`.
        path: where the export will be: `DIRECTORY/NAME/VERSION`.
        signatures: dict from signature name to `SignatureDef`.
        inputs: dict from input name of "serving_default" to an array of rows; the first few are
            shown.
        outputs: dict from output name to array, answered by the export itself. Those of one value
            per row are shown, texts before numbers.

    Raises:
        ValueError: no output has one value per row.
    """
    inputs, outputs = first_rows(inputs), first_rows(outputs)
    shown = _columns(outputs)
    root, name, version = path.absolute().parts[-3:]
    folder = f"{root}/{name}"
    others = [key for key in signatures if key != DEFAULT_SIGNATURE]
    return _CARD.format(
        name=name,
        version=version,
        summary=card.summary,
        examples=_example_table(inputs, outputs, shown),
        trained_on=card.trained_on,
        metrics=_rows(card.metrics.items()),
        settings=_rows(card.settings.items()),
        inputs=_describe_inputs(inputs),
        signatures=_rows(
            (f"`{key}`", _tensors(s.inputs), _tensors(s.outputs)) for key, s in signatures.items()
        ),
        answers=f"{card.answers} " if card.answers else "",
        root=root,
        model_folder=folder,
        python=python_call(f"{folder}/{version}", inputs, outputs, shown),
        printed="\n".join(
            " ".join(str(as_text(outputs[key][row])) for key in shown)
            for row in range(len(outputs[shown[0]]))
        ),
        command_line=command_line(f"{folder}/{version}", inputs),
        curl=curl_call(f"{folder}/{version}", name, inputs),
        response=as_json(json.loads(format_predict(outputs, by_row=True)), indent=2),
        other=f'\nFor another signature add `"signature_name": "{others[0]}"` to the request.\n'
        if others
        else "",
    )


def _columns(outputs):
    """The outputs to show: one value per row, texts before numbers."""
    names = sorted(
        (name for name, array in outputs.items() if array.ndim == 1),
        key=lambda name: (outputs[name].dtype != object, name),
    )
    if not names:
        shapes = {name: array.shape for name, array in outputs.items()}
        raise ValueError(
            f"expected an output of {DEFAULT_SIGNATURE!r} with one value per row, which the card "
            f"can show, got the shapes {shapes}"
        )
    return names


def _example_table(inputs, outputs, shown):
    # Where a name is on both sides, the table says which is which.
    header = [*inputs, *(f"answer: {name}" if name in inputs else name for name in shown)]
    rows = zip(
        *([_summary(value) for value in array] for array in inputs.values()),
        *([_summary(value) for value in outputs[name]] for name in shown),
        strict=True,
    )
    return f"{_rows([header])}\n|{'---|' * len(header)}\n{_rows(rows)}"


def _summary(value):
    if isinstance(value, np.ndarray):
        return " × ".join(map(str, value.shape)) + " numbers"
    return f"{value:.3f}" if isinstance(value, np.floating) else str(as_text(value))


def _describe_inputs(inputs):
    if takes_strings(inputs):
        return "Inputs are UTF-8 strings, any number of them."
    return (
        "Inputs are arrays with one row per example, any number of them; the answers above are to "
        f"those in `{EXAMPLES_FILE}`."
    )


def _rows(rows):
    return "\n".join(f"| {' | '.join(_cell(value) for value in row)} |" for row in rows)


def _cell(value):
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return " ".join(text.replace("|", "\\|").split())


def _tensors(tensors):
    return ", ".join(f"{name} {_type(info)}" for name, info in sorted(tensors.items()))


def _type(info):
    shape = tf.TensorShape(info.tensor_shape).as_list()
    sizes = ", ".join("?" if size is None else str(size) for size in shape)
    return f"{tf.dtypes.as_dtype(info.dtype).name} ({sizes})"
