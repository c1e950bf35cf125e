"""The calls that a card shows: Python, the command line and curl, each for the card's examples.

Strings stand in the calls themselves; other inputs, such as time series, are read from a file of
the export, `examples.json`, which is itself a request of TensorFlow Serving's REST API.
"""

import json
import shlex

import numpy as np

from seqkeras.serving.rest import format_predict

EXAMPLES_FILE = "examples.json"
_SHOWN = 5  # examples in the card

_PYTHON = """\
import tensorflow as tf

model = tf.saved_model.load({path})
answer = model.signatures["serving_default"]({arguments})
for {names} in zip({columns}):
    print({printed})
"""

_PYTHON_WITH_FILE = """\
import json

import tensorflow as tf

model = tf.saved_model.load({path})
serve = model.signatures["serving_default"]
with open({file}) as file:
    rows = json.load(file)["instances"]
answer = serve({arguments})
for {names} in zip({columns}):
    print({printed})
"""

_COMMAND_LINE = """\
From the command line:

```sh
{command}
```

"""


def takes_strings(inputs):
    """Whether the examples can stand in the calls of a card: every input is a string per row."""
    return all(array.dtype == object and array.ndim == 1 for array in inputs.values())


def example_request(inputs):
    """Returns the JSON of a `predict` request for the rows that a card shows."""
    inputs = first_rows(inputs)
    if len(inputs) == 1:
        (array,) = inputs.values()
        return as_json({"instances": _listed(array)})
    rows = zip(*map(_listed, inputs.values()), strict=True)
    return as_json({"instances": [dict(zip(inputs, row, strict=True)) for row in rows]})


def first_rows(arrays):
    """Returns the first few rows of each array, those that a card shows."""
    return {name: array[:_SHOWN] for name, array in arrays.items()}


def python_call(path, inputs, outputs, shown):
    """Returns a Python program that prints the outputs named `shown`, a line for each example."""
    if takes_strings(inputs):
        template = _PYTHON
        values = {name: as_json(_listed(array)) for name, array in inputs.items()}
    else:
        template = _PYTHON_WITH_FILE
        one = len(inputs) == 1
        values = {name: "rows" if one else f'[row["{name}"] for row in rows]' for name in inputs}
        values = {name: f"{v}, tf.{_dtype(inputs[name])}" for name, v in values.items()}
    texts = {name: f"{name}.decode()" for name in shown if outputs[name].dtype == object}
    return template.format(
        path=as_json(path),
        file=as_json(f"{path}/{EXAMPLES_FILE}"),
        arguments=", ".join(f"{name}=tf.constant({value})" for name, value in values.items()),
        names=", ".join(shown) + ("," if len(shown) == 1 else ""),
        columns=", ".join(f'answer["{name}"].numpy()' for name in shown),
        printed=", ".join(texts.get(name, name) for name in shown),
    )


def _dtype(array):
    return "string" if array.dtype == object else array.dtype.name


def command_line(path, inputs):
    """Returns the paragraph on `saved_model_cli`, which takes strings; "" for other inputs."""
    if not takes_strings(inputs):
        return ""
    # The tool splits its expressions at every ";" and reads each one as a Python literal; strings
    # in double quotes, as in JSON, need no quoting from the shell.
    expressions = ";".join(
        f"{name}={as_json(_listed(array))}".replace(";", r"\x3b") for name, array in inputs.items()
    )
    return _COMMAND_LINE.format(
        command=f"saved_model_cli run --dir {shlex.quote(path)} --tag_set serve "
        f"--signature_def serving_default --input_exprs {shlex.quote(expressions)}"
    )


def curl_call(path, name, inputs):
    """Returns the shell command that asks TensorFlow Serving for the examples."""
    body = (
        shlex.quote(example_request(inputs))
        if takes_strings(inputs)
        else f"@{shlex.quote(path)}/{EXAMPLES_FILE}"
    )
    return f"curl -d {body} http://localhost:8501/v1/models/{name}:predict"


def _listed(array):
    """An array as JSON has it; float32 in its shortest decimal, as TensorFlow Serving writes it."""
    if array.dtype == object:
        return [as_text(value) if array.ndim == 1 else _listed(value) for value in array]
    if array.dtype == np.float32:
        return json.loads(format_predict({"x": array}, by_row=False))["outputs"]
    return array.tolist()


def as_text(value):
    """Returns bytes as str, and anything else as it is."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def as_json(value, indent=None):
    """Returns a value as JSON, letters of all scripts as themselves."""
    return json.dumps(value, ensure_ascii=False, indent=indent)
