"""Tasks that cannot be done without remembering: what is fed, what should come out, what is easy.

    task     input                      target                what a model without memory reaches
    adding   T pairs (value, marker)    sum of two values     MSE 1/6, by answering 1
    copy     10 symbols, T blanks, ...  the symbols           10 ln 8 / (T + 20) nats a position
    mnist    an image, pixel by pixel   the digit             1 right in 10

Adding problem: Hochreiter & Schmidhuber 1997, §5.4, in the form of Le et al. 2015
(arXiv:1504.00941), §4.1, and Arjovsky et al. 2016 (arXiv:1511.06464), §5.2: values uniform in
[0, 1], one marker in each half. The answer 1 is the mean of the sum, and its error the variance of
two uniform values, 2/12.

Copy memory, Arjovsky et al. 2016, §5.1; `a`, `b`, ... are 10 of 8 symbols, `_` the blank, `:` the
delimiter, T + 20 positions in all:

    input    a b c d e f g h i j _ _ ... _ : _ _ _ _ _ _ _ _ _ _
    target   _ _ _ _ _ _ _ _ _ _ _ _ ... _ _ a b c d e f g h i j

Without memory a model answers blanks, and one symbol in 8 by chance: 10 ln 8 nats a sequence.

Pixels: Le et al. 2015, §4.3, in order and in one fixed random order.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from seqkeras.data.images import pixel_permutation, pixel_sequences, read_npz_images
from seqkeras.data.position_batches import ArrayBatches, GeneratedBatches

# A third word keeps these sequences apart from those of training batches, which have two.
_SPLITS = {"validation": [1, 0, 1], "test": [2, 0, 1]}


class GeneratedTask:
    """A task whose examples are drawn: training never sees one twice.

    Validation and test examples are the same for every run, whatever its seed.

    A task has also:
        baselines: Dict from the name of each metric to what a model without memory reaches.
        monitor, mode: The metric, in training's logs, that decides which epoch is best.
        summary: What the model does, for the card of an export.
        specification: `tf.TensorSpec` of a batch of raw inputs, with the name that an export gives
            them.
        compile_options(): Loss and metrics.
        build(rnn): The functional model around a layer, `rnn(return_sequences)`.
        answers(outputs): What an export returns, a dict of tensors, from the model's outputs.
    """

    monitor, mode = "val_loss", "min"

    def __init__(self, data):
        self.length = data.length
        self._counts = {"validation": data.validation, "test": data.test}

    def batches(self, batch_size, steps_per_epoch, seed):
        """Returns what `seqkeras.training.fit` trains on."""
        return GeneratedBatches(self.generate, batch_size, steps_per_epoch, seed)

    def examples(self, split):
        """Returns the raw inputs and the targets of "validation" or "test"."""
        return self.generate(np.random.default_rng(_SPLITS[split]), self._counts[split])

    def prepare(self, inputs):
        """Returns what the model reads, from raw inputs."""
        return inputs


class AddingProblem(GeneratedTask):
    """The sum of two marked values among `data.length`."""

    summary = "Adds two numbers: of (value, marker) pairs, the values whose marker is 1."
    specification = tf.TensorSpec((None, None, 2), tf.float32, "sequences")

    def __init__(self, data):
        super().__init__(data)
        if data.length < 2:
            raise ValueError(f"data.length: expected at least 2 steps to add, got {data.length}.")
        self.baselines = {"loss": 1 / 6}

    def generate(self, rng, batch_size):
        """Returns float32 `(B, T, 2)`, values and markers, and `(B, 1)`, sums."""
        half = self.length // 2
        values = rng.random((batch_size, self.length), dtype=np.float32)
        markers = np.zeros_like(values)
        rows = np.arange(batch_size)
        for begin, end in ((0, half), (half, self.length)):
            markers[rows, rng.integers(begin, end, batch_size)] = 1.0
        sums = np.sum(values * markers, axis=1, keepdims=True)
        return np.stack([values, markers], axis=-1), sums

    def compile_options(self):
        return {"loss": "mean_squared_error"}

    def build(self, rnn):
        inputs = keras.Input((None, 2), name="sequences")
        outputs = keras.layers.Dense(1, dtype="float32", name="sum")(rnn(False)(inputs))
        return keras.Model(inputs, outputs, name="adding")

    def answers(self, outputs):
        return {"sum": outputs[:, 0]}


SYMBOLS, BLANK, DELIMITER = 8, 8, 9
RECALLED = 10  # symbols to remember


@keras.saving.register_keras_serializable(package="seqkeras_pipelines")
class RecallAccuracy(keras.metrics.SparseCategoricalAccuracy):
    """Share of right answers at the last positions, where the symbols are due."""

    def __init__(self, name="recall_accuracy", **options):
        super().__init__(name=name, **options)

    def update_state(self, y_true, y_pred, sample_weight=None):
        return super().update_state(y_true[:, -RECALLED:], y_pred[:, -RECALLED:], sample_weight)


class CopyMemory(GeneratedTask):
    """The first ten symbols again, after `data.length` steps without any."""

    summary = (
        "Recalls ten symbols, ids 0 to 7, after a stretch of blanks (8), when it has read a "
        "delimiter (9) and ten blanks more."
    )
    specification = tf.TensorSpec((None, None), tf.int32, "ids")

    def __init__(self, data):
        super().__init__(data)
        if data.length < 1:
            raise ValueError(f"data.length: expected at least 1 blank, got {data.length}.")
        nats = RECALLED * math.log(SYMBOLS) / (data.length + 2 * RECALLED)
        self.baselines = {"loss": nats, "recall_accuracy": 1 / SYMBOLS}

    def generate(self, rng, batch_size):
        """Returns int32 ids `(B, T + 20)` and targets of the same shape."""
        symbols = rng.integers(SYMBOLS, size=(batch_size, RECALLED), dtype=np.int32)
        inputs = np.full((batch_size, self.length + 2 * RECALLED), BLANK, np.int32)
        targets = inputs.copy()
        inputs[:, :RECALLED] = symbols
        inputs[:, -RECALLED - 1] = DELIMITER
        targets[:, -RECALLED:] = symbols
        return inputs, targets

    def compile_options(self):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        return {"loss": loss, "metrics": [RecallAccuracy()]}

    def build(self, rnn):
        inputs = keras.Input((None,), dtype="int32", name="ids")
        one_hot = keras.ops.one_hot(inputs, DELIMITER + 1)
        outputs = keras.layers.Dense(BLANK + 1, dtype="float32", name="logits")(rnn(True)(one_hot))
        return keras.Model(inputs, outputs, name="copy_memory")

    def answers(self, outputs):
        recalled = outputs[:, -RECALLED:, :SYMBOLS]
        symbols = tf.argmax(recalled, axis=-1, output_type=tf.int32)  # (B, 10)
        text = tf.strings.reduce_join(tf.strings.as_string(symbols), axis=-1, separator=" ")
        return {"symbols": symbols, "text": text}


class PixelDigits:
    """The class of an image that is read pixel by pixel; the images of `data.path`.

    The last `data.validation` training images are held out for choosing.
    """

    monitor, mode = "val_accuracy", "max"
    summary = "Classifies images like those it was trained on, which it reads pixel by pixel."

    def __init__(self, data):
        if data.path == "builtin":
            raise ValueError(
                "data.path: expected an .npz file of images for this task, got 'builtin'. Give it "
                "by --data.path; docs/data.md says where MNIST is."
            )
        train, test = read_npz_images(data.path)
        if not 0 < data.validation < len(train.labels):
            raise ValueError(
                f"data.validation: expected from 1 to {len(train.labels) - 1} of the "
                f"{len(train.labels)} training images, got {data.validation}."
            )
        held_out = len(train.labels) - data.validation
        self._splits = {
            "train": (train.images[:held_out], train.labels[:held_out]),
            "validation": (train.images[held_out:], train.labels[held_out:]),
            "test": (test.images[: data.test], test.labels[: data.test]),
        }
        self._shrink = data.shrink
        height, width = train.images.shape[1:]
        self.length = height * width // data.shrink**2
        self._order = (
            pixel_permutation(self.length, data.permutation_seed) if data.permuted else None
        )
        self.classes = int(train.labels.max()) + 1
        self.baselines = {"loss": math.log(self.classes), "accuracy": 1 / self.classes}
        self.specification = tf.TensorSpec((None, height, width), tf.uint8, "images")

    def batches(self, batch_size, steps_per_epoch, seed):
        images, labels = self._splits["train"]
        return ArrayBatches(images, labels, batch_size, steps_per_epoch, seed, self.prepare)

    def examples(self, split):
        return self._splits[split]

    def prepare(self, inputs):
        """Returns float32 `(B, T, 1)` from uint8 images."""
        return pixel_sequences(inputs, self._shrink, self._order)

    def compile_options(self):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        return {"loss": loss, "metrics": [keras.metrics.SparseCategoricalAccuracy("accuracy")]}

    def build(self, rnn):
        inputs = keras.Input((None, 1), name="pixels")
        layer = keras.layers.Dense(self.classes, dtype="float32", name="logits")
        return keras.Model(inputs, layer(rnn(False)(inputs)), name="pixel_digits")

    def answers(self, outputs):
        label = tf.argmax(outputs, axis=-1, output_type=tf.int32)
        return {"label": label, "probabilities": tf.nn.softmax(outputs)}


TASKS = {"adding": AddingProblem, "copy": CopyMemory, "mnist": PixelDigits}


def make_task(config):
    """Returns the task of a config; reads its data, if there is any to read."""
    return TASKS[config.task](config.data)


def evaluation_dataset(task, split, batch_size):
    """Returns the finite dataset `(x, y)` of "validation" or "test"."""
    inputs, targets = task.examples(split)
    size = min(batch_size, len(inputs))
    return ArrayBatches(inputs, targets, size, transform=task.prepare).evaluation_dataset()
