import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from seqkeras.training.callbacks import tensorboard
from seqkeras.training.callbacks.projector import EmbeddingProjector
from seqkeras.training.callbacks.sample_translations import SampleTranslations
from seqkeras.training.callbacks.tensorboard import TensorBoardLogger
from seqkeras.training.losses import TokenCrossentropy
from seqkeras.training.metrics import Perplexity, TokenLoss
from seqkeras.training.optimizer import GuardedOptimizer
from seqkeras.training.padding_share import PaddingShare
from tests.training.callbacks.tensorboard_readers import read_events
from tests.training.token_batches import VOCABULARY, FakeBatches

STEPS = 5  # in an epoch


def compiled(learning_rate=0.0, eager=True, **options):
    """Returns a tiny model, by default one whose weights never change; eager, to trace nothing."""
    source = keras.Input((None,), dtype="int32", name="source")
    target_in = keras.Input((None,), dtype="int32", name="target_in")
    memory = keras.layers.Embedding(VOCABULARY, 4, name="source_embedding")(source)
    memory = keras.layers.GlobalMaxPooling1D(keepdims=True, name="pool")(memory)
    x = keras.layers.Embedding(VOCABULARY, 4, name="target_embedding")(target_in)
    logits = keras.layers.Dense(VOCABULARY, name="logits")(
        keras.layers.Add(name="add")([x, memory])
    )
    model = keras.Model({"source": source, "target_in": target_in}, logits)
    optimizer = GuardedOptimizer(keras.optimizers.SGD(learning_rate), clip_norm=1e-3, **options)
    metrics = [TokenLoss(), Perplexity(), PaddingShare()]
    model.compile(optimizer, TokenCrossentropy(), metrics=metrics, run_eagerly=eager)
    return model


def fit(model, *callbacks, epochs=3, first=0, validate=True):
    batches = FakeBatches(STEPS)
    model.fit(
        batches.dataset(epoch=first),
        validation_data=batches.evaluation_dataset() if validate else None,
        steps_per_epoch=STEPS,
        initial_epoch=first,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
    )


def curve(run, tag):
    return {e.step: tf.make_ndarray(e.tensor_proto).item() for e in read_events(run).Tensors(tag)}


def steps_of(run, tag="metrics/loss"):
    return [event.step for event in read_events(run).Tensors(tag)]


def token_losses(model, step):
    """Returns -log p of each real token of a batch in NumPy; steps count from 1."""
    x, y = FakeBatches(STEPS).batch(step - 1)
    logits = np.asarray(model(x, training=False), "float64")
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return -np.take_along_axis(log_p, y[..., None], -1)[..., 0][y != 0], y


def test_points_are_means_over_the_steps_since_the_last_point(tmp_path):
    model = compiled(eager=False)
    fit(model, TensorBoardLogger(tmp_path, every_steps=4))
    windows = {1: [1], 4: [2, 3, 4], 8: [5, 6, 7, 8], 12: [9, 10, 11, 12], 15: [13, 14, 15]}
    loss, perplexity, padding = (
        curve(tmp_path / "train", f"metrics/{name}")
        for name in ("loss", "perplexity", "padding_share")
    )
    assert list(loss) == list(perplexity) == list(padding) == list(windows)
    for point, steps in windows.items():
        losses, targets = zip(*(token_losses(model, step) for step in steps), strict=True)
        mean = np.concatenate(losses).mean()
        assert loss[point] == pytest.approx(mean, rel=1e-4)
        assert perplexity[point] == pytest.approx(np.exp(mean), rel=1e-4)
        ids = np.concatenate([y.ravel() for y in targets])
        assert padding[point] == pytest.approx(np.mean(ids == 0), abs=1e-5)


def test_validation_is_a_run_of_its_own_with_the_same_names(tmp_path):
    model = compiled()
    fit(model, TensorBoardLogger(tmp_path))
    assert steps_of(tmp_path / "validation") == [5, 10, 15]
    expected = model.evaluate(FakeBatches().evaluation_dataset(), return_dict=True, verbose=0)
    tags = read_events(tmp_path / "validation").Tags()["tensors"]
    assert sorted(tags) == sorted(f"metrics/{name}" for name in expected)
    for name, value in expected.items():
        points = curve(tmp_path / "validation", f"metrics/{name}")
        assert list(points.values()) == pytest.approx([value] * 3, rel=1e-5)


class Clock(keras.callbacks.Callback):
    """A second a training step, 1000 a validation, 100 between epochs; tracing takes 10,000."""

    now = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self.now += 100

    def on_train_batch_begin(self, batch, logs=None):
        self.now += 1 if self.now > 10_000 else 10_000

    def on_test_batch_begin(self, batch, logs=None):
        self.now += 1000


def test_speed_counts_real_tokens_and_seconds_of_training_only(tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(tensorboard, "time", types.SimpleNamespace(perf_counter=lambda: clock.now))
    model = compiled()
    fit(model, TensorBoardLogger(tmp_path, every_steps=4), clock)
    for point, speed in curve(tmp_path / "train", "speed/tokens_per_second").items():
        first = {4: 2, 8: 5, 12: 9, 15: 13}[point]
        steps = range(first, point + 1)
        tokens = sum(np.count_nonzero(FakeBatches().batch(s - 1)[1]) for s in steps)
        assert speed == pytest.approx(tokens / len(steps))


def test_gradient_norm_is_before_clipping_and_learning_rate_follows_its_schedule(tmp_path):
    schedule = keras.optimizers.schedules.InverseTimeDecay(0.1, 10, 1.0)
    model = compiled(schedule)
    norms = []
    record = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: norms.append(float(model.optimizer.gradient_norm))
    )
    fit(model, TensorBoardLogger(tmp_path, every_steps=5), record, validate=False)
    written = curve(tmp_path / "train", "optimizer/gradient_norm")
    assert written == {step: norms[step - 1] for step in (1, 5, 10, 15)}
    assert min(norms) > 1e-3  # where it was clipped
    rates = curve(tmp_path / "train", "optimizer/learning_rate")
    assert rates == pytest.approx({step: 0.1 / (1 + step / 10) for step in (1, 5, 10, 15)})


def test_steps_are_updates_and_points_are_batches_under_accumulation(tmp_path):
    model = compiled(accumulate_steps=3)
    fit(model, TensorBoardLogger(tmp_path, every_steps=6))
    assert steps_of(tmp_path / "train") == [0, 2, 4, 5]


def test_several_steps_per_execution(tmp_path):
    model = compiled(eager=False)
    model.steps_per_execution = 5
    fit(model, TensorBoardLogger(tmp_path, every_steps=7))
    assert steps_of(tmp_path / "train") == [5, 10, 15]


def age_events(run, seconds):
    """Renames event files as if written earlier: their order is that of the names."""
    for path in run.glob("events.out.tfevents.*"):
        parts = path.name.split(".")
        parts[3] = str(int(parts[3]) - seconds)
        path.rename(path.with_name(".".join(parts)))


def test_a_resumed_run_replaces_what_was_written_after_its_checkpoint(tmp_path):
    fit(compiled(), TensorBoardLogger(tmp_path, every_steps=3))  # ... and killed at step 15
    for run in ("train", "validation"):
        age_events(tmp_path / run, seconds=60)
    before = curve(tmp_path / "train", "metrics/loss")

    model = compiled()

    class Restore(keras.callbacks.Callback):
        """As Keras' BackupAndRestore: after the logger's own `on_train_begin`."""

        def on_train_begin(self, logs=None):
            model.optimizer.iterations.assign(10)

    fit(model, TensorBoardLogger(tmp_path, every_steps=3), Restore(), first=2)
    assert steps_of(tmp_path / "train") == [1, 3, 6, 9, 12, 15]
    assert steps_of(tmp_path / "validation") == [5, 10, 15]
    after = curve(tmp_path / "train", "metrics/loss")
    assert all(after[step] == before[step] for step in (1, 3, 6, 9))
    assert after[12] == pytest.approx(token_losses(model, 12)[0].mean(), rel=1e-4)


def test_graph_holds_the_layers(tmp_path):
    fit(compiled(), TensorBoardLogger(tmp_path), epochs=1)
    names = [node.name for node in read_events(tmp_path / "train").Graph().node]
    for layer in ("source_embedding", "target_embedding", "logits"):
        assert any(layer in name for name in names)
    fit(compiled(), TensorBoardLogger(tmp_path / "without", write_graph=False), epochs=1)
    assert not read_events(tmp_path / "without" / "train").Tags()["graph"]


def test_samples_and_embeddings_follow_the_epochs(tmp_path):
    model = compiled(learning_rate=0.5)
    embeddings = model.get_layer("target_embedding").embeddings
    logger = TensorBoardLogger(
        tmp_path,
        samples=SampleTranslations(
            ["a"],
            translate=lambda texts: [f"{texts[0]} {float(embeddings[4, 0]):.6f}"],
            images=lambda texts: [np.zeros((2, 2, 4), "uint8")],
        ),
        projector=EmbeddingProjector(embeddings, [f"w{i}" for i in range(VOCABULARY)]),
    )
    fit(model, logger, epochs=2)
    events = read_events(tmp_path / "train")
    texts = [tf.make_ndarray(e.tensor_proto)[1, 1] for e in events.Tensors("translations")]
    assert len(set(texts)) == 2  # live weights
    assert [e.step for e in events.Tensors("attention/0")] == [5, 10]
    vectors = np.loadtxt(tmp_path / "train" / "vectors.tsv")
    np.testing.assert_allclose(vectors, embeddings.numpy(), rtol=1e-4, atol=1e-6)


def test_metrics_are_read_only_at_points_and_around_epochs(tmp_path, monkeypatch):
    reads = []
    window = tensorboard.MetricWindow
    read = window._read
    monkeypatch.setattr(window, "_read", lambda self: reads.append(1) or read(self))
    fit(compiled(), TensorBoardLogger(tmp_path, every_steps=1000))
    assert len(reads) == 1 + 2 * 3  # the first step, then the begin and end of each epoch


def test_evaluation_in_mid_epoch_leaves_the_curves_alone(tmp_path):
    model = compiled()
    logger = TensorBoardLogger(tmp_path, every_steps=5)

    class Evaluate(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                self.model.evaluate(
                    FakeBatches().evaluation_dataset(), callbacks=[logger], verbose=0
                )

    fit(model, logger, Evaluate(), epochs=1, validate=False)
    losses = np.concatenate([token_losses(model, step)[0] for step in (2, 3, 4, 5)])
    assert curve(tmp_path / "train", "metrics/loss")[5] == pytest.approx(losses.mean(), rel=1e-4)


def test_nothing_left_to_train_writes_nothing(tmp_path):
    fit(compiled(), TensorBoardLogger(tmp_path / "logs"), epochs=0)
    assert not (tmp_path / "logs").exists()


def test_wrong_arguments(tmp_path):
    with pytest.raises(ValueError, match="`every_steps` to be at least 1, got 0"):
        TensorBoardLogger(tmp_path, every_steps=0)
