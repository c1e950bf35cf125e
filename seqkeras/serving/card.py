"""The card of an export: a README.md that says what the model is and how to call it.

Every call in it can be pasted, and every answer in it was given by the exported model.
"""

import dataclasses
import json
import shlex
from collections.abc import Mapping

import tensorflow as tf

_SHOWN = 5  # examples in the card

_PYTHON = """\
import tensorflow as tf

model = tf.saved_model.load({path})
answer = model.signatures["serving_default"](text=tf.constant({texts}))
for text, score in zip(answer["text"].numpy(), answer["score"].numpy()):
    print(text.decode(), score)
"""

_CARD = """\
# {name}, version {version}

{summary}

| input | output | score |
|---|---|---|
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

Inputs are UTF-8 strings, any number of them. `signatures.json` has the tensor names for clients
that use TensorFlow's C library.

| signature | inputs | outputs |
|---|---|---|
{signatures}

A score is a log-probability (natural logarithm), divided by the length penalty where the decoder
has one; `score` gives the log-probability itself. Paths are relative to the folder that holds
`{root}/`.

From Python, with nothing but TensorFlow:

```python
{python}```

prints

```
{printed}
```

From the command line:

```sh
{command_line}
```

From TensorFlow Serving, which takes the highest version in the folder:

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

For another signature add `"signature_name": "n_best"` to the request.
"""


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """What the reader of an export should know and the model cannot say itself.

    Args:
        summary: one or two sentences: what goes in, what comes out, where it fails.
        trained_on: which data, how much, from where, and which licence they have.
        metrics: dict from measure, with its test set, to number or text.
        settings: dict from setting (model, vocabulary, beam size…) to its value.
    """

    summary: str
    trained_on: str
    metrics: Mapping[str, float | str]
    settings: Mapping[str, object]


def render_card(card, path, signatures, examples):
    """Returns the text of an export's README.md.

    Args:
        card: `ModelCard`.
        path: where the export will be: `DIRECTORY/NAME/VERSION`.
        signatures: dict from signature name to `SignatureDef`.
        examples: list of `(input, output, score)`, answered by the export itself, with float32
            scores; the first few are shown.
    """
    examples = examples[:_SHOWN]
    texts = [text for text, _, _ in examples]
    root, name, version = path.absolute().parts[-3:]
    folder = f"{root}/{name}"
    # str() of a float32 is its shortest decimal, which is also what TensorFlow Serving writes.
    response = [{"text": output, "score": float(str(score))} for _, output, score in examples]
    request = shlex.quote(_json({"instances": texts}))
    return _CARD.format(
        name=name,
        version=version,
        summary=card.summary,
        examples=_rows((text, output, f"{score:.3f}") for text, output, score in examples),
        trained_on=card.trained_on,
        metrics=_rows(card.metrics.items()),
        settings=_rows(card.settings.items()),
        signatures=_rows(
            (f"`{key}`", _tensors(s.inputs), _tensors(s.outputs)) for key, s in signatures.items()
        ),
        root=root,
        model_folder=folder,
        python=_PYTHON.format(path=_json(f"{folder}/{version}"), texts=_json(texts)),
        printed="\n".join(f"{output} {score!s}" for _, output, score in examples),
        command_line=_saved_model_cli(f"{folder}/{version}", texts),
        curl=f"curl -d {request} http://localhost:8501/v1/models/{name}:predict",
        response=_json({"predictions": response}, indent=2),
    )


def _saved_model_cli(path, texts):
    # The tool splits its expressions at every ";" and reads each one as a Python literal; strings
    # in double quotes, as in JSON, need no quoting from the shell.
    expression = f"text={_json(texts)}".replace(";", r"\x3b")
    return (
        f"saved_model_cli run --dir {shlex.quote(path)} --tag_set serve "
        f"--signature_def serving_default --input_exprs {shlex.quote(expression)}"
    )


def _rows(rows):
    return "\n".join(f"| {' | '.join(_cell(value) for value in row)} |" for row in rows)


def _cell(value):
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return " ".join(text.replace("|", "\\|").split())


def _json(value, indent=None):
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _tensors(tensors):
    return ", ".join(f"{name} {_type(info)}" for name, info in sorted(tensors.items()))


def _type(info):
    shape = tf.TensorShape(info.tensor_shape).as_list()
    sizes = ", ".join("?" if size is None else str(size) for size in shape)
    return f"{tf.dtypes.as_dtype(info.dtype).name} ({sizes})"
