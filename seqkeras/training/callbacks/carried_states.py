"""Carried recurrent states start at zero where a sequence starts, and only there."""

import keras


class CarriedStates(keras.callbacks.Callback):
    """Resets the states of `stateful=True` layers at epoch starts and around evaluation.

    For truncated backpropagation through time on `SegmentBatches`. Every epoch and every evaluation
    begins with zero states; after an evaluation or a prediction in the middle of training, the
    states of training are put back. They are weights that are not trained, so checkpoints hold
    them: a run that is resumed inside an epoch goes on with them (`seqkeras.training.fit`).

    The batch size is that of the states, in evaluation too.

    Example:
        batches = SegmentBatches(ids[:-1], ids[1:], segment_length=35, streams=20)
        fit(model, batches, epochs=13, callbacks=[CarriedStates()])
        model.evaluate(test.evaluation_dataset(), callbacks=[CarriedStates()])
    """

    def __init__(self):
        super().__init__()
        self._in_epoch = False
        self._resumed_in_epoch = False
        self._kept = []

    def get_state(self):
        return {"in_epoch": self._in_epoch}

    def set_state(self, state):
        self._resumed_in_epoch = state["in_epoch"]

    def on_epoch_begin(self, epoch, logs=None):
        if not self._resumed_in_epoch:
            self._reset()
        self._resumed_in_epoch = False
        self._in_epoch = True

    def on_epoch_end(self, epoch, logs=None):
        self._in_epoch = False

    def on_test_begin(self, logs=None):
        self._set_aside()

    def on_test_end(self, logs=None):
        self._put_back()

    def on_predict_begin(self, logs=None):
        self._set_aside()

    def on_predict_end(self, logs=None):
        self._put_back()

    def _set_aside(self):
        self._kept.append([keras.ops.copy(variable) for variable in self._variables()])
        self._reset()

    def _put_back(self):
        for variable, value in zip(self._variables(), self._kept.pop(), strict=True):
            variable.assign(value)

    def _reset(self):
        for variable in self._variables():
            variable.assign(keras.ops.zeros_like(variable))

    def _variables(self):
        return carried_states(self.model)


def carried_states(layer):
    """Returns the variables with the carried states of a layer or model, and of all inside it."""
    found = []
    for inner in layer._flatten_layers():
        if getattr(inner, "stateful", False) and getattr(inner, "states", None) is not None:
            found.extend(keras.tree.flatten(inner.states))
    return found
