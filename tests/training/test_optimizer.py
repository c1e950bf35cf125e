import keras
import numpy as np
import pytest
import tensorflow as tf

from seqkeras.training.adam import Adam
from seqkeras.training.losses import TokenCrossentropy
from seqkeras.training.optimizer import GuardedOptimizer, find_guard
from seqkeras.training.schedules import InverseSquareRoot
from tests.training.token_batches import FakeBatches, build_model, compile_model

pytestmark = pytest.mark.tensorflow

RNG = np.random.default_rng(4)


def one_update(gradients, **options):
    """Returns the step that plain gradient descent of rate 1 takes, and the optimizer."""
    variables = [keras.Variable(np.zeros(g.shape, "float32")) for g in gradients]
    optimizer = GuardedOptimizer(keras.optimizers.SGD(1.0), **options)
    optimizer.apply([tf.constant(g) for g in gradients], variables)
    return [-np.asarray(v) for v in variables], optimizer


def flat(arrays):
    return np.concatenate([np.ravel(a) for a in arrays])


GRADIENTS = [RNG.normal(size=(3, 2)).astype("float32"), RNG.normal(size=4).astype("float32")]
NORM = float(np.linalg.norm(flat(GRADIENTS)))


@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_clipping_keeps_the_direction_and_bounds_the_norm(share):
    step, optimizer = one_update(GRADIENTS, clip_norm=share * NORM)
    np.testing.assert_allclose(np.linalg.norm(flat(step)), share * NORM, rtol=1e-5)
    np.testing.assert_allclose(flat(step) / share, flat(GRADIENTS), rtol=1e-5)
    np.testing.assert_allclose(optimizer.gradient_norm, NORM, rtol=1e-6)  # before clipping


@pytest.mark.parametrize("share", [1.001, 10.0, None])
def test_below_the_threshold_nothing_is_changed(share):
    step, optimizer = one_update(GRADIENTS, clip_norm=share and share * NORM)
    np.testing.assert_array_equal(flat(step), flat(GRADIENTS))
    np.testing.assert_allclose(optimizer.gradient_norm, NORM, rtol=1e-6)


def test_clipping_is_continuous_at_the_threshold():
    """X11: one threshold; the notes test one and rescale to another."""
    below, _ = one_update(GRADIENTS, clip_norm=NORM * (1 - 1e-6))
    above, _ = one_update(GRADIENTS, clip_norm=NORM * (1 + 1e-6))
    np.testing.assert_allclose(flat(below), flat(above), rtol=1e-5)


def test_the_norm_counts_rows_that_were_looked_up_twice_once():
    slices = tf.IndexedSlices(tf.constant([[3.0], [1.0]]), tf.constant([1, 1]), (4, 1))
    table = keras.Variable(np.zeros((4, 1)))
    optimizer = GuardedOptimizer(keras.optimizers.SGD(1.0), clip_norm=2.0)
    optimizer.apply([slices], [table])
    assert float(optimizer.gradient_norm) == 4.0  # not sqrt(3² + 1²)
    np.testing.assert_allclose(table, [[0], [-2], [0], [0]])


def weights_after(model, batches):
    """Trains on the batches one by one; returns what weights and moments became."""
    for x, y in batches:
        model.train_on_batch(x, y)
    inner = find_guard(model.optimizer).inner_optimizer
    return [np.asarray(v) for v in [*model.trainable_weights, *inner.variables]]


def test_accumulated_batches_equal_one_large_batch():
    batches = [FakeBatches().batch(position) for position in range(4)]
    width = max(y.shape[1] for _, y in batches)
    counts = [np.count_nonzero(y) for _, y in batches]
    assert len(set(counts)) > 1  # a mean of the batches' means would differ

    def pad(ids):
        return np.pad(ids, ((0, 0), (0, width - ids.shape[1])))

    large = (
        {
            "target_in": np.concatenate([pad(x["target_in"]) for x, _ in batches]),
        },
        np.concatenate([pad(y) for _, y in batches]),
    )
    small = [({"target_in": x["target_in"]}, y) for x, y in batches]

    def model():
        keras.utils.set_random_seed(0)
        ids = keras.Input((None,), dtype="int32", name="target_in")
        x = keras.layers.Embedding(11, 4)(ids)
        x = keras.layers.GRU(4, return_sequences=True)(x)
        return keras.Model({"target_in": ids}, keras.layers.Dense(11)(x))

    # SGD: Adam divides by sqrt(v), which blows rounding up where gradients are near 0.
    results = []
    for k, data in ((4, small), (1, [large])):
        loss = TokenCrossentropy(0.1)
        optimizer = GuardedOptimizer(
            keras.optimizers.SGD(1.0, momentum=0.9),
            clip_norm=0.5,
            accumulate_steps=k,
            batch_weight=loss.token_count,
        )
        net = model()
        net.compile(optimizer, loss)
        results.append([*weights_after(net, data), np.asarray(optimizer.gradient_norm)])
    for accumulated, at_once in zip(*results, strict=True):
        np.testing.assert_allclose(accumulated, at_once, rtol=1e-4, atol=1e-6)


def test_updates_are_counted_not_batches():
    variable = keras.Variable(0.0)
    schedule = InverseSquareRoot(1.0, 1)
    optimizer = GuardedOptimizer(keras.optimizers.SGD(schedule), accumulate_steps=3)
    seen = []
    for _ in range(7):
        optimizer.apply([tf.constant(1.0)], [variable])
        seen.append(int(optimizer.iterations))
    assert seen == [0, 0, 1, 1, 1, 2, 2]
    assert float(optimizer.learning_rate) == float(schedule(2))
    np.testing.assert_allclose(variable, -(float(schedule(0)) + float(schedule(1))), rtol=1e-6)


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_gradient_changes_nothing_and_is_counted(k, bad):
    variables = [keras.Variable(np.ones(2)), keras.Variable(np.ones(3))]
    optimizer = GuardedOptimizer(Adam(0.1), clip_norm=1.0, accumulate_steps=k)
    good = [tf.ones(2), tf.ones(3)]

    def state():
        return [np.asarray(v) for v in [*variables, *optimizer.inner_optimizer.variables]]

    for _ in range(k):
        optimizer.apply(good, variables)
    before = state()
    for _ in range(k):
        optimizer.apply([tf.ones(2), tf.constant([1.0, bad, 1.0])], variables)
    for old, new in zip(before, state(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert int(optimizer.non_finite_steps) == 1
    assert not np.isfinite(optimizer.gradient_norm)

    for _ in range(k):
        optimizer.apply(good, variables)
    assert np.all(np.isfinite(flat(state())))
    assert np.any(np.asarray(variables[0]) < before[0])
    np.testing.assert_allclose(optimizer.gradient_norm, np.sqrt(5), rtol=1e-6)


def test_reloaded_without_its_weights_it_says_so():
    loss = TokenCrossentropy()
    optimizer = GuardedOptimizer(
        Adam(0.1), clip_norm=2.0, accumulate_steps=2, batch_weight=loss.token_count
    )
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert (again.clip_norm, again.accumulate_steps) == (2.0, 2)
    assert isinstance(again.inner_optimizer, Adam)
    variable = keras.Variable(1.0)
    with pytest.raises(ValueError, match="weigh_batches_by"):
        again.apply([tf.constant(1.0)], [variable])
    again.weigh_batches_by(loss.token_count)
    loss.token_count.assign(1.0)
    again.apply([tf.constant(1.0)], [variable])


def test_a_saved_model_goes_on_with_its_optimizer(tmp_path):
    model = compile_model(build_model(dropout=0.0), accumulate_steps=2)
    batches = [FakeBatches().batch(position) for position in range(6)]
    weights_after(model, batches[:3])  # in the middle of an accumulation
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    again.optimizer.weigh_batches_by(again.loss.token_count)
    for old, new in zip(
        weights_after(model, batches[3:]), weights_after(again, batches[3:]), strict=True
    ):
        np.testing.assert_allclose(old, new, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("clip_norm", [None, 1.0])
@pytest.mark.parametrize("accumulate_steps", [1, 2])
def test_learns_in_a_graph(clip_norm, accumulate_steps):
    model = compile_model(build_model(dropout=0.0), accumulate_steps, clip_norm=clip_norm)
    x, y = FakeBatches().batch(0)
    losses = [model.train_on_batch(x, y)[0] for _ in range(20)]
    assert losses[-1] < 0.9 * losses[0]
    assert int(model.optimizer.iterations) == 20 // accumulate_steps


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = build_model(dropout=0.0)
    finally:
        keras.config.set_dtype_policy("float32")
    model.compile(GuardedOptimizer(Adam(0.05), clip_norm=1.0), TokenCrossentropy())
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
    x, y = FakeBatches().batch(0)
    losses = [model.train_on_batch(x, y) for _ in range(15)]
    assert losses[-1] < 0.9 * losses[0]
    guard = find_guard(model.optimizer)
    assert int(guard.non_finite_steps) == 0
    assert 0 < float(guard.gradient_norm) < 100  # unscaled


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GuardedOptimizer(keras.optimizers.LossScaleOptimizer(Adam())), "outside"),
        (lambda: GuardedOptimizer(Adam(global_clipnorm=1.0)), "global_clipnorm"),
        (lambda: GuardedOptimizer(Adam(gradient_accumulation_steps=2)), "accumulate_steps"),
        (lambda: GuardedOptimizer(Adam(), clip_norm=0.0), "clip_norm"),
        (lambda: GuardedOptimizer(Adam(), accumulate_steps=0), "accumulate_steps"),
    ],
)
def test_what_it_cannot_honour_raises(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_find_guard():
    guard = GuardedOptimizer(Adam())
    assert find_guard(keras.optimizers.LossScaleOptimizer(guard)) is guard
    assert find_guard(Adam()) is None
    assert find_guard(None) is None


@pytest.mark.slow
def test_learns_under_xla():
    model = build_model(dropout=0.0)
    loss = TokenCrossentropy(0.1)
    optimizer = GuardedOptimizer(
        Adam(0.05), clip_norm=1.0, accumulate_steps=2, batch_weight=loss.token_count
    )
    model.compile(optimizer, loss, jit_compile=True)
    x, y = FakeBatches().batch(0)
    losses = [model.train_on_batch(x, y) for _ in range(20)]
    assert losses[-1] < 0.9 * losses[0]
    assert int(optimizer.iterations) == 10
