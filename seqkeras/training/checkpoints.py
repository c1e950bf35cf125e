"""Checkpoints: one `.npz` file with everything that a run needs to go on, readable by NumPy alone.

    weights/0000/encoder/gru/kernel      model.weights, in order
    seeds/0000/dropout/seed_generator_state   states of random generators
    optimizer/0000/guarded/iteration     optimizer.variables
    metrics/0000/perplexity/total        metric sums of the unfinished epoch
    state                                JSON in bytes: position, callbacks' states

No pickle. A file is written beside its destination, flushed to the disk and renamed: whatever
happens, the name stands for a whole file, the old one or the new one. Variables are matched by
their order; the names, which Keras numbers anew in every process, make the messages readable.
"""

import contextlib
import json
import os
import pathlib
import zipfile

import numpy as np

FORMAT = 1


def save_checkpoint(path, model, state):
    """Writes the model, its optimizer and metrics, and `state` to `path`, atomically.

    Args:
        path: The file; its folder is created.
        model: A `keras.Model`; one that is not compiled has weights only.
        state: dict that JSON can hold.

    Raises:
        OSError: If the disk is full or not writable; the previous file of that name is intact.
    """
    arrays = {}
    for group, variables in _groups(model).items():
        for i, variable in enumerate(variables):
            arrays[f"{group}/{i:04d}/{variable.path}"] = _to_array(variable)
    text = json.dumps({"format": FORMAT, "state": state})
    arrays["state"] = np.frombuffer(text.encode(), np.uint8)
    write_atomically(path, lambda file: np.savez(file, **arrays))


def load_checkpoint(path, model):
    """Restores weights, random generators and optimizer of a compiled model; returns the state.

    The sums of the metrics are restored by `load_metrics`, as Keras clears them when it starts.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged or belongs to another model. Nothing was changed then.
    """
    groups = ("weights", "seeds", "optimizer")
    arrays, state = read_checkpoint(path, groups)
    optimizer = _optimizer(model)
    if optimizer is not None and not optimizer.built:
        optimizer.build(model.trainable_variables)
    variables = _groups(model)
    _restore(path, arrays, {group: variables[group] for group in groups})
    return state


def load_metrics(path, model):
    """Restores the metrics' sums, for an epoch that goes on in its middle.

    Raises:
        ValueError: If the model's metrics are not those of the file, or not built yet: Keras
            builds them with the first batch.
    """
    arrays, _ = read_checkpoint(path, ["metrics"])
    _restore(path, arrays, {"metrics": _groups(model)["metrics"]})


def load_weights_only(path, model):
    """Restores only the weights: to start from another run, to translate, to average.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged or the shapes differ. Nothing was changed then.
    """
    arrays, _ = read_checkpoint(path, ["weights"])
    _restore(path, arrays, {"weights": model.weights})


def average_checkpoints(paths, model):
    """Sets the model's weights to the mean of several checkpoints; Vaswani et al. 2017, §6.1.

    Integer weights are taken from the last file.

    Args:
        paths: Checkpoint files of one model.
        model: The `keras.Model` that gets the mean.

    Raises:
        ValueError: If there are no paths, or a file is damaged or of another model.
    """
    paths = list(paths)
    if not paths:
        raise ValueError("average_checkpoints needs at least one checkpoint, got none.")
    sums = None
    for path in paths:
        arrays, _ = read_checkpoint(path, ["weights"])
        values = _match(path, arrays, "weights", model.weights)
        if sums is None:
            sums = [np.zeros(value.shape, np.float64) for value in values]
        for total, value in zip(sums, values, strict=True):
            total += value.astype(np.float64)
    for variable, total, last in zip(model.weights, sums, values, strict=True):
        mean = (total / len(paths)).astype(last.dtype)
        variable.assign(last if last.dtype.kind in "iub" else mean)


def read_checkpoint(path, groups=()):
    """Returns the arrays of these groups by name, and the state.

    Args:
        path: The file.
        groups: Names of groups, as in the module's docstring.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a whole checkpoint of this format.
    """
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            content = json.loads(file["state"].tobytes())
            arrays = {name: file[name] for name in file.files if name.split("/")[0] in groups}
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError, TypeError) as error:
        raise ValueError(
            f"{path} is not a whole checkpoint ({error}). Use another one from the same folder."
        ) from error
    if content["format"] != FORMAT:
        raise ValueError(
            f"{path} has checkpoint format {content['format']}, this version reads {FORMAT}."
        )
    return arrays, content["state"]


def write_atomically(path, write):
    """Calls write(file) on a temporary file, makes it durable, and renames it to `path`.

    `write` calls `file.write`, which notices a full disk; NumPy's `tofile` does not always.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        kept = "the previous file is intact" if path.exists() else "there is none yet"
        raise OSError(
            error.errno,
            f"Could not write {path}: {error.strerror or error}; {kept}. "
            "Free space or choose another directory, then resume",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()  # there only if something went wrong
    _sync_folder(path.parent)


def _sync_folder(folder):
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # makes the rename itself durable
    finally:
        os.close(descriptor)


def _optimizer(model):
    return getattr(model, "optimizer", None)  # a model that was never compiled has no such name


def _groups(model):
    weights, optimizer = model.weights, _optimizer(model)
    known = {id(variable) for variable in weights}
    return {
        "weights": weights,
        "seeds": [variable for variable in model.variables if id(variable) not in known],
        "optimizer": optimizer.variables if optimizer is not None else [],
        "metrics": model.metrics_variables,
    }


def _to_array(variable):
    array = np.asarray(variable)
    # NumPy files know no bfloat16: store its bits.
    return array.view(f"u{array.itemsize}") if array.dtype.kind == "V" else array


def _restore(path, arrays, groups):
    # All are matched before the first is assigned, so that an error leaves the model as it was.
    matched = [(vs, _match(path, arrays, group, vs)) for group, vs in groups.items()]
    for variables, values in matched:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def _match(path, arrays, group, variables):
    """Returns the arrays of a group, one per variable, after checking names and shapes."""
    names = sorted(name for name in arrays if name.startswith(f"{group}/"))
    advice = (
        "Build the model and compile it with the configuration of the run that wrote the file, or "
        "start without it."
    )
    values = []
    for i, (name, variable) in enumerate(zip(names, variables, strict=False)):
        saved_as, value = name.split("/", 2)[2], arrays[name]
        leaf, saved_leaf = variable.path.split("/")[-1], saved_as.split("/")[-1]
        if value.shape != tuple(variable.shape) or (group == "weights" and leaf != saved_leaf):
            raise ValueError(
                f"{path} does not fit this model: {group} variable {i} is {variable.path!r} with "
                f"shape {tuple(variable.shape)} here, {saved_as!r} with shape {value.shape} in "
                f"the file. {advice}"
            )
        dtype = np.asarray(variable).dtype
        values.append(value.view(dtype) if dtype.kind == "V" else value)
    if len(names) != len(variables):
        raise ValueError(
            f"{path} does not fit this model: it has {len(names)} {group} variables, the model "
            f"{len(variables)}. {advice}"
        )
    return values
