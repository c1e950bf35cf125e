"""Where the set-regression pipeline finds its sets: generated, or in an .npz file.

Maximum regression, Lee et al. 2019 (arXiv:1810.00825), 5.1 and supplement 2.1:

    n uniform in {1, ..., 10},  x_1, ..., x_n uniform in [0, 100],  y = max(x_1, ..., x_n)

A mean or a sum cannot say which element is the largest; a maximum is made for it; attention can
learn to look for it. Here n is drawn for each set of a batch (the paper does not say whether its
batches are of one size), so batches are padded.
"""

import numpy as np
import tensorflow as tf

from seqkeras.data.position_batches import ArrayBatches, GeneratedBatches
from seqkeras.data.sets import Sets, read_sets_npz

# A third word keeps these sets apart from those of training batches, which have two.
_SPLITS = {"validation": [1, 0, 1], "test": [2, 0, 1], "statistics": [3, 0, 1]}
_STATISTICS_OF = 10000


class Maximum:
    """The largest number of a set. Training never sees a set twice; validation and test sets are
    the same for every run, whatever its seed.

    Attributes:
        features, outputs: int. D of an element, K of a target.
        summary: What the model does, for the card of an export.
    """

    features = outputs = 1

    def __init__(self, data):
        if data.largest < 1:
            raise ValueError(f"data.largest: expected at least 1 element, got {data.largest}.")
        self._largest, self._highest = data.largest, data.highest
        self._counts = {
            "validation": data.validation,
            "test": data.test,
            "statistics": _STATISTICS_OF,
        }
        self.summary = (
            f"Tells the largest number of a set. It was trained on up to {data.largest} numbers "
            f"from 0 to {data.highest:g}."
        )

    def generate(self, rng, count):
        """Returns a tuple of `Sets`' arrays."""
        length = rng.integers(1, self._largest + 1, count, dtype=np.int32)
        elements = rng.random((count, self._largest, 1), dtype=np.float32) * self._highest
        elements[np.arange(self._largest) >= length[:, None]] = 0.0  # not above any real one
        return elements, length, elements.max(axis=1, keepdims=True)

    def batches(self, batch_size, steps_per_epoch, seed):
        """Returns what `seqkeras.training.resume.fit` trains on."""
        return _Batches(GeneratedBatches(self.generate, batch_size, steps_per_epoch, seed))

    def sets(self, split):
        """Returns the `Sets` of "validation", "test", or "statistics": some training sets."""
        return Sets(*self.generate(np.random.default_rng(_SPLITS[split]), self._counts[split]))


class SetFile:
    """The sets of an .npz file, with the splits "train" and "test", and "validation" if it has one:
    else the sets for choosing are held out from "train".
    """

    def __init__(self, data, seed):
        self._path = data.path
        train = read_sets_npz(data.path, "train")
        with np.load(data.path, allow_pickle=False) as file:
            has_validation = "x_validation" in file.files
        if has_validation:
            self._splits = {"train": train, "validation": self._read("validation", train)}
        else:
            held = min(data.validation, len(train.length) // 5)
            if not held:
                raise ValueError(
                    f"{data.path}: expected at least 5 training sets to hold one out, or a split "
                    f"x_validation; got {len(train.length)} sets and no such split."
                )
            order = np.random.default_rng(seed).permutation(len(train.length))
            self._splits = {"train": train.take(order[held:])}
            self._splits["validation"] = train.take(order[:held])
        self._splits["statistics"] = self._splits["train"]
        self.features, self.outputs = train.elements.shape[-1], train.targets.shape[-1]
        self.summary = (
            f"Answers sets of {self.features} numbers an element with {self.outputs} numbers."
        )

    def _read(self, split, train):
        sets = read_sets_npz(self._path, split)
        for name in ("elements", "targets"):
            found, wanted = (getattr(s, name).shape[-1] for s in (sets, train))
            if found != wanted:
                raise ValueError(
                    f"{self._path}, {split}: expected {name} of {wanted} numbers, as in training, "
                    f"got {found}."
                )
        return sets

    def batches(self, batch_size, steps_per_epoch, seed):
        train = self._splits["train"]
        with tf.device("CPU"):
            elements, length = tf.constant(train.elements), tf.constant(train.length)

        def inputs(rows):
            return {"elements": tf.gather(elements, rows), "length": tf.gather(length, rows)}

        rows, size = np.arange(len(train.length)), min(batch_size, len(train.length))
        return ArrayBatches(rows, train.targets, size, steps_per_epoch, seed, inputs)

    def sets(self, split):
        if split == "test" and split not in self._splits:  # nothing reads it before `evaluate`
            self._splits["test"] = self._read("test", self._splits["train"])
        return self._splits[split]


class _Batches:
    """Generated batches as the model takes them."""

    def __init__(self, generated):
        self._generated = generated
        self.steps_per_epoch = generated.steps_per_epoch

    def dataset(self, epoch=0, step=0):
        return self._generated.dataset(epoch, step).map(_as_model_inputs)


def _as_model_inputs(elements, length, targets):
    return {"elements": elements, "length": length}, targets


def make_task(config):
    """Returns the task of a config; reads its data, if there is any to read.

    Raises:
        ValueError: for a path that names neither.
    """
    path = config.data.path
    if path == "builtin":
        return Maximum(config.data)
    if not path.endswith(".npz"):
        raise ValueError(
            f'--data.path {path}: expected "builtin" or an .npz file with x_train, y_train, x_test '
            "and y_test."
        )
    return SetFile(config.data, config.seed)


def evaluation_dataset(sets, batch_size):
    """Returns the finite dataset `(x, y)` of `Sets`."""
    with tf.device("CPU"):
        return tf.data.Dataset.from_tensor_slices(_as_model_inputs(*sets)).batch(batch_size)


def statistics(task):
    """Returns the statistics that `set_transformer` takes, over training sets."""
    sets = task.sets("statistics")
    real = np.arange(sets.elements.shape[1]) < sets.length[:, None]
    columns = {"": sets.elements[real], "target_": sets.targets[:, 0]}
    found = {}
    for prefix, rows in columns.items():
        rows = rows.astype(np.float64)
        found[f"{prefix}mean"], found[f"{prefix}variance"] = rows.mean(axis=0), rows.var(axis=0)
    return found


def constant_answer(task, sets):
    """Returns the errors of the best answer that looks at no element: the training median."""
    targets = task.sets("statistics").targets
    errors = {"mae": sets.targets - np.median(targets, axis=0)}
    errors["rmse"] = sets.targets - np.mean(targets, axis=0)
    return {
        "mae": float(np.mean(np.abs(errors["mae"]))),
        "rmse": float(np.sqrt(np.mean(errors["rmse"] ** 2))),
    }
