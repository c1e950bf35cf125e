"""What every layer must do, whatever it computes: `check_layer_contract`.

Values are the business of a layer's oracle test; here stands what Keras and the rest of the library
rely on.
"""

import contextlib
import inspect
import json
import pathlib
import tempfile

import keras
import numpy as np
import pytest
from keras import tree

from tests.gradients import value_and_gradients

# A contract test with this mark runs a second time, compiled by XLA, in `make check`.
with_and_without_xla = pytest.mark.parametrize(
    "jit_compile", [False, pytest.param(True, marks=pytest.mark.slow, id="xla")]
)


def check_layer_contract(
    layer_factory,
    inputs,
    parameters,
    masks=None,
    passes_mask=None,
    zero_when_masked=True,
    jit_compile=False,
):
    """Checks config, shapes, weights, training, mixed precision, saving and masks of a layer.

    Args:
        layer_factory: Function without arguments that returns a new layer, without dropout. Options
            that differ from the defaults make the round trip of the config a stronger test.
        inputs: Dict from the names of the layer's call arguments to arrays, or nested lists of
            arrays, with leading B. With masks: B >= 3 and T >= 2.
        parameters: int. The number of trainable parameters, by the formula, not by the layer.
        masks: Dict from the names of masked inputs to the call arguments of their masks, such as
            `{"query": "query_mask", "value": "value_mask"}`.
        passes_mask: True if the first output carries the mask of the first masked input, False if
            it carries none; default: True if that output has a time axis and there are `masks`.
        zero_when_masked: If False, a fully masked row need not give zeros (a bias comes after).
        jit_compile: Compile `fit` and `predict` with XLA.

    Example:

        check_layer_contract(
            lambda: GRU(4, return_sequences=True), {"sequences": x}, parameters=3 * 4 * (3 + 4 + 2),
            masks={"sequences": "mask"},
        )
    """
    layer = layer_factory()
    outputs = layer(**inputs)
    made = [v.path for v in layer.weights]
    check_symbolic_outputs(layer, inputs, outputs)
    assert [v.path for v in layer.weights] == made, "later calls made weights"
    count = sum(int(np.prod(v.shape)) for v in layer.trainable_weights)
    assert count == parameters, f"{count} trainable parameters, expected {parameters}"
    check_config(layer, layer_factory, inputs, outputs)
    check_mixed_precision(layer, layer_factory, inputs, outputs)
    check_fit_and_reload(layer_factory, inputs, jit_compile)
    if masks:
        check_padding_changes_nothing(layer, inputs, masks)
        check_fully_masked_row(layer, inputs, masks, zero_when_masked)
        if passes_mask is None:
            passes_mask = len(first(outputs).shape) > 2
        check_mask_passes_on(layer, inputs, masks, passes_mask)


def check_config(layer, layer_factory, inputs, outputs):
    config = layer.get_config()
    named = inspect.signature(type(layer).__init__).parameters.values()
    arguments = {p.name for p in named if p.kind == p.POSITIONAL_OR_KEYWORD} - {"self"}
    assert arguments <= set(config), f"get_config lacks {sorted(arguments - set(config))}"
    serialized = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    for restored in (
        type(layer).from_config(layer_factory().get_config()),
        keras.saving.deserialize_keras_object(serialized),
    ):
        restored(**symbols(inputs))
        assert without_names(restored.get_config()) == without_names(config)
        restored.set_weights(layer.get_weights())
        assert_close(restored(**inputs), outputs)


def check_symbolic_outputs(layer, inputs, outputs):
    """Symbolic shapes and dtypes are the eager ones, with and without a known batch size."""
    for batch_is_known in (True, False):
        specs = layer(**symbols(inputs, batch_is_known))
        for spec, output in zip(tree.flatten(specs), tree.flatten(outputs), strict=True):
            known = [
                s if s is not None else e for s, e in zip(spec.shape, output.shape, strict=True)
            ]
            assert known == list(output.shape), f"symbolic {spec.shape}, eager {output.shape}"
            assert None not in spec.shape or not batch_is_known, f"unknown size: {spec.shape}"
            assert spec.dtype == dtype_of(output), f"symbolic {spec.dtype}, eager {output.dtype}"


def check_mixed_precision(layer, layer_factory, inputs, outputs):
    with dtype_policy("mixed_bfloat16"):
        mixed = layer_factory()
    mixed(**symbols(inputs))
    assert {v.dtype for v in mixed.trainable_weights} <= {"float32"}
    mixed.set_weights(layer.get_weights())
    mixed_outputs = mixed(**inputs)
    check_symbolic_outputs(mixed, inputs, mixed_outputs)
    assert_close(mixed_outputs, outputs, rtol=0.1, atol=0.1)
    if any(is_float(y) for y in tree.flatten(outputs)):
        assert all(np.isfinite(g).all() for g in tree.flatten(gradients(mixed, inputs)))


def check_fit_and_reload(layer_factory, inputs, jit_compile):
    """One step of `fit` moves every weight; `.keras` brings the model back without help."""
    model = trainable_model(layer_factory(), inputs)
    arrays = [np.asarray(x) for x in tree.flatten(inputs)]
    if model.trainable_weights:
        model.compile(keras.optimizers.SGD(0.1), loss="mse", jit_compile=jit_compile)
        before = [to_numpy(v) for v in model.trainable_weights]
        outputs = model.predict(arrays, verbose=0) if jit_compile else model(arrays)
        targets = [np.random.default_rng(1).normal(size=np.shape(y)) for y in tree.flatten(outputs)]
        history = model.fit(arrays, targets, epochs=1, verbose=0, batch_size=len(arrays[0]))
        assert np.isfinite(history.history["loss"]).all()
        stuck = [
            variable.path
            for variable, old in zip(model.trainable_weights, before, strict=True)
            if np.array_equal(old, to_numpy(variable))
        ]
        assert not stuck, f"a step of fit did not change {stuck}"
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.keras"
        model.save(path)
        reloaded = keras.saving.load_model(path)
    assert_close(reloaded(arrays), model(arrays))


def trainable_model(layer, inputs):
    """A model of the layer with a Dense before every float input, so all of it has gradients."""

    def entry(x):
        node = keras.Input(np.shape(x)[1:], dtype=dtype_of(x))
        entries.append(node)
        return keras.layers.Dense(node.shape[-1])(node) if is_float(x) else node

    entries = []
    outputs = layer(**tree.map_structure(entry, inputs))
    return keras.Model(entries, tree.flatten(outputs))


# The mask contract.


def check_padding_changes_nothing(layer, inputs, masks):
    """NaN and infinities in the padding change neither values nor gradients."""
    lengths = padded_lengths(inputs, masks)
    call = masked_inputs(inputs, masks, lengths, padding=0.0)
    outputs, expected = layer(**call), gradients(layer, call)
    assert all(np.isfinite(g).all() for g in tree.flatten(expected)), "NaN with zeros as padding"
    for padding in (np.nan, np.inf):
        garbage = masked_inputs(inputs, masks, lengths, padding)
        assert_close(layer(**garbage), outputs, err_msg=f"padding {padding}")
        assert_close(gradients(layer, garbage), expected, err_msg=f"gradients, padding {padding}")
    for name in masks:
        of_padding = expected[1][name][0][~call[masks[name]]]
        assert not of_padding.any(), f"the padding of {name} has a gradient"


def check_fully_masked_row(layer, inputs, masks, zero_when_masked):
    """A row without a real step gives zeros, and no NaN comes back through it."""
    lengths = padded_lengths(inputs, masks)
    lengths = {name: [*row[:-1], 0] for name, row in lengths.items()}
    call = masked_inputs(inputs, masks, lengths, padding=np.nan)
    last_row = to_numpy(first(layer(**call)))[-1]
    assert np.isfinite(last_row).all()
    if zero_when_masked:
        assert not last_row.any(), f"a fully masked row gives {last_row}, expected zeros"
    assert all(np.isfinite(g).all() for g in tree.flatten(gradients(layer, call)))


@keras.saving.register_keras_serializable(package="seqkeras_tests")
class MaskProbe(keras.Layer):
    """Returns the mask that reaches it as 0 and 1, or -1 everywhere if none does."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        steps = keras.ops.zeros_like(inputs[..., 0])
        return steps - 1.0 if mask is None else steps + keras.ops.cast(mask, steps.dtype)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape[:-1]


def check_mask_passes_on(layer, inputs, masks, passes_mask):
    """In a functional model the layer gets the masks that its inputs carry, and passes one on."""
    lengths = padded_lengths(inputs, masks)
    call = masked_inputs(inputs, masks, lengths, padding=0.0)
    entries, arrays = [], []

    def entry(x):
        entries.append(keras.Input(np.shape(x)[1:], dtype=dtype_of(x)))
        arrays.append(np.asarray(x))
        return entries[-1]

    carried = {
        name: keras.layers.Masking()(entry(call[name]))
        if name in masks
        else tree.map_structure(entry, value)
        for name, value in inputs.items()
    }
    output = first(layer(**carried))
    outputs = [output] if len(output.shape) < 3 else [output, MaskProbe()(output)]
    values, *probed = tree.flatten(keras.Model(entries, outputs).predict_on_batch(arrays))
    message = "a carried mask is not taken for the explicit one"
    assert_close(values, first(layer(**call)), err_msg=message)
    if not probed:
        assert not passes_mask, "only an output with a time axis can pass a mask on"
        return
    expected = np.full(np.shape(values)[:2], -1.0)
    if passes_mask:
        expected = call[next(iter(masks.values()))].astype("float32")
    np.testing.assert_array_equal(probed[0], expected, err_msg="the mask behind the layer")


def padded_lengths(inputs, masks):
    """Row lengths: the first row is whole, the others lose their end, none is empty."""
    lengths = {}
    for name in masks:
        batch, steps = np.shape(inputs[name])[:2]
        assert batch >= 3, f"{name}: expected at least 3 rows, got {batch}"
        assert steps >= 2, f"{name}: expected at least 2 steps, got {steps}"
        lengths[name] = [steps, *(1 + row % (steps - 1) for row in range(batch - 1))]
    return lengths


def masked_inputs(inputs, masks, lengths, padding):
    call = dict(inputs)
    for name, argument in masks.items():
        x = np.array(inputs[name])
        real = np.arange(x.shape[1]) < np.array(lengths[name])[:, None]
        x[~real] = padding
        call.update({name: x, argument: real})
    return call


# Small tools.


def symbols(inputs, batch_is_known=True):
    """The inputs as symbolic tensors."""

    def symbol(x):
        batch, *rest = np.shape(x)
        return keras.KerasTensor((batch if batch_is_known else None, *rest), dtype=dtype_of(x))

    return tree.map_structure(symbol, inputs)


def gradients(layer, inputs):
    """Returns a fixed random projection of all float outputs, and its gradients.

    `(value, {call argument: [of its float arrays]}, [of the trainable weights])`.
    """
    flat = tree.flatten(inputs)
    places = [place for place, x in enumerate(flat) if is_float(x)]

    def projection(*floats):
        filled = list(flat)
        for place, x in zip(places, floats, strict=True):
            filled[place] = x
        outputs = tree.flatten(layer(**tree.pack_sequence_as(inputs, filled)))
        random = np.random.default_rng(2)
        return sum(
            keras.ops.sum(keras.ops.cast(y, "float32") * random.normal(size=y.shape).astype("f"))
            for y in outputs
            if keras.backend.is_float_dtype(dtype_of(y))
        )

    value, of_inputs, of_weights = value_and_gradients(
        projection, [flat[place] for place in places], layer.trainable_weights
    )
    remaining = iter(of_inputs)  # flat, so in the order in which tree flattens a dict: sorted
    by_name = {
        name: [next(remaining) for x in tree.flatten(inputs[name]) if is_float(x)]
        for name in sorted(inputs)
    }
    return value, by_name, of_weights


@contextlib.contextmanager
def dtype_policy(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def without_names(config):
    """The config without the names that Keras counts up, in nested layers too."""
    if isinstance(config, dict):
        return {k: without_names(v) for k, v in config.items() if k != "name"}
    if isinstance(config, (list, tuple)):
        return [without_names(v) for v in config]
    return config


def assert_close(ours, expected, rtol=1e-5, atol=1e-6, err_msg=""):
    for a, b in zip(tree.flatten(ours), tree.flatten(expected), strict=True):
        np.testing.assert_allclose(to_numpy(a), to_numpy(b), rtol=rtol, atol=atol, err_msg=err_msg)


def to_numpy(x):
    return keras.ops.convert_to_numpy(x).astype("float32")  # NumPy has no bfloat16


def first(outputs):
    return tree.flatten(outputs)[0]


def dtype_of(x):
    return keras.backend.standardize_dtype(x.dtype)


def is_float(x):
    return keras.backend.is_float_dtype(dtype_of(x))
