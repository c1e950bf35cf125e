"""Carried states inside `fit`: where they start, what evaluation does to them, how runs resume."""

import keras
import numpy as np
import pytest

from seqkeras.data.segments import SegmentBatches
from seqkeras.layers import GRU, LSTM, Bidirectional
from seqkeras.training.callbacks.carried_states import CarriedStates, carried_states
from seqkeras.training.callbacks.checkpointing import Checkpointing
from seqkeras.training.resume import fit

pytestmark = pytest.mark.tensorflow

V, N, B, L = 7, 4, 2, 3  # vocabulary, units, streams, segment length
IDS = np.random.default_rng(0).integers(V, size=2 * 13 + 1).astype("int32")
BATCHES = SegmentBatches(IDS[:-1], IDS[1:], segment_length=L, streams=B)  # 5 steps, the last short


def build_model(stateful=True):
    """A language model over streams, the same weights at every call."""
    keras.utils.set_random_seed(3)
    ids = keras.Input(batch_shape=(B, None), dtype="int32")
    x = keras.layers.Embedding(V, N)(ids)
    x = LSTM(N, return_sequences=True, stateful=stateful)(x)
    x = GRU(N, return_sequences=True, stateful=stateful)(x)
    model = keras.Model(ids, keras.layers.Dense(V)(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.05), loss)
    return model


def values(model):
    return [np.asarray(variable) for variable in carried_states(model)]


class Note(keras.callbacks.Callback):
    """The carried states before every batch of training and at the end of every epoch."""

    def __init__(self):
        super().__init__()
        self.before, self.at_end = [], []

    def on_train_batch_begin(self, batch, logs=None):
        self.before.append(values(self.model))

    def on_epoch_end(self, epoch, logs=None):
        self.at_end.append(values(self.model))


def test_the_states_of_every_layer_are_found():
    model = build_model()
    assert [s.shape for s in carried_states(model)] == [(B, N)] * 3
    assert carried_states(build_model(stateful=False)) == []
    ids = keras.Input(batch_shape=(B, None, 2))
    inner = keras.Model(ids, Bidirectional(GRU(N, stateful=True))(ids))
    outer = keras.Model(ids, keras.layers.Dense(1)(inner(ids)))
    assert len(carried_states(outer)) == 2
    theirs = keras.layers.LSTM(N, stateful=True)
    theirs(np.zeros((B, 1, 2)))
    assert len(carried_states(theirs)) == 2


def test_every_epoch_starts_at_zero_and_carries_on():
    model, note = build_model(), Note()
    model(next(iter(BATCHES.dataset()))[0])  # leaves states behind
    assert all(s.any() for s in values(model))
    fit(model, BATCHES, 2, callbacks=[CarriedStates(), note])
    for position, states in enumerate(note.before):
        assert all(s.any() == (position % BATCHES.steps_per_epoch > 0) for s in states)


def test_without_it_an_epoch_goes_on_where_the_last_one_ended():
    """What the callback is for: Keras resets nothing."""
    model, note = build_model(), Note()
    fit(model, BATCHES, 2, callbacks=[note])
    assert all(s.any() for s in note.before[BATCHES.steps_per_epoch])


def test_evaluation_reads_each_stream_from_zero():
    """The loss of every segment is what a layer without carried states gives over whole streams."""
    model, whole = build_model(), build_model(stateful=False)
    segments = BATCHES.evaluation_dataset()
    history = fit(model, BATCHES, 1, callbacks=[CarriedStates()], validation_data=segments)
    for ours, trained in zip(whole.trainable_weights, model.trainable_weights, strict=True):
        ours.assign(trained)
    x, y = (np.concatenate(part, axis=1) for part in zip(*segments, strict=True))  # whole streams
    log_p = np.take_along_axis(np.asarray(keras.ops.log_softmax(whole(x))), y[..., None], -1)
    expected = np.mean([-log_p[:, t : t + L].mean() for t in range(0, y.shape[1], L)])
    np.testing.assert_allclose(history.history["val_loss"], [expected], rtol=1e-5)
    again = model.evaluate(segments, callbacks=[CarriedStates()], verbose=0)
    np.testing.assert_allclose(again, expected, rtol=1e-5)


def test_evaluation_and_prediction_leave_the_states_of_training():
    model, inputs = build_model(), BATCHES.evaluation_dataset().map(lambda x, y: x)

    class Predict(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            before = values(self.model)
            self.model.predict(inputs, callbacks=[CarriedStates()], verbose=0)
            np.testing.assert_array_equal(values(self.model), before)

    fit(model, BATCHES, 1, callbacks=[CarriedStates(), Predict()])
    assert all(s.any() for s in values(model))


def test_the_states_of_training_survive_validation():
    model, note = build_model(), Note()
    fit(
        model,
        BATCHES,
        1,
        callbacks=[CarriedStates(), note],
        validation_data=BATCHES.evaluation_dataset(),
    )
    last = note.at_end[0]
    plain, plain_note = build_model(), Note()
    fit(plain, BATCHES, 1, callbacks=[CarriedStates(), plain_note])
    np.testing.assert_array_equal(last, plain_note.at_end[0])


class Interrupt(keras.callbacks.Callback):
    def __init__(self, epoch, batch):
        super().__init__()
        self.place, self.epoch = (epoch, batch), None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.place:
            raise KeyboardInterrupt


def run(directory, *callbacks, **options):
    model = build_model()
    checkpointing = Checkpointing(directory, every_steps=1, monitor=None)
    fit(
        model,
        BATCHES,
        3,
        callbacks=[CarriedStates(), *callbacks],
        validation_data=BATCHES.evaluation_dataset(),
        checkpointing=checkpointing,
        **options,
    )
    return [np.asarray(w) for w in model.weights]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("place", [(0, 1), (1, 4)])
def test_a_run_cut_inside_an_epoch_goes_on_with_its_states(tmp_path, whole, place):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Interrupt(*place))
    note = Note()
    resumed = run(tmp_path, note, resume=True)
    assert all(s.any() for s in note.before[0])
    epoch, batch = place  # which no checkpoint was written after
    assert len(note.before) == (3 - epoch) * BATCHES.steps_per_epoch - batch
    for ours, expected in zip(resumed, whole, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


def test_a_run_resumed_between_epochs_starts_at_zero(tmp_path, whole):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Interrupt(1, 0))
    note = Note()
    resumed = run(tmp_path, note, resume=True)
    assert len(note.before) == 2 * BATCHES.steps_per_epoch
    assert not any(s.any() for s in note.before[0])
    for ours, expected in zip(resumed, whole, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)
