import errno
import json
import os
import resource
import subprocess
import sys

import keras
import numpy as np
import pytest

from seqkeras.training.checkpoints import (
    average_checkpoints,
    load_checkpoint,
    load_metrics,
    load_weights_only,
    read_checkpoint,
    save_checkpoint,
    write_atomically,
)
from tests.training.token_batches import FakeBatches, build_model, compile_model

pytestmark = pytest.mark.tensorflow

STATE = {"epoch": 3, "step": 2, "callbacks": {"EarlyStopping": [{"best": 1.5}]}}


def trained_model(seed=0, steps=3):
    keras.utils.set_random_seed(seed)
    model = compile_model(build_model(), accumulate_steps=2)
    for position in range(steps):
        model.train_on_batch(*FakeBatches().batch(position))
    return model


def values(variables):
    return [np.asarray(variable) for variable in variables]


def assert_equal(some, others):
    for a, b in zip(some, others, strict=True):
        np.testing.assert_array_equal(a, b)


def test_everything_comes_back(tmp_path):
    path = tmp_path / "folder" / "last.npz"
    model = trained_model()
    before = values([*model.variables, *model.optimizer.variables])
    metrics = values(model.metrics_variables)
    save_checkpoint(path, model, STATE)

    other = compile_model(build_model(), accumulate_steps=2)  # its optimizer is not built yet
    assert load_checkpoint(path, other) == STATE
    assert_equal(before, values([*other.variables, *other.optimizer.variables]))
    seeds = {v.path for v in model.variables} - {v.path for v in model.weights}
    assert seeds  # dropout has a random generator, and it was compared above

    other.test_on_batch(*FakeBatches().batch(0))
    load_metrics(path, other)
    assert_equal(metrics, values(other.metrics_variables))


def test_numpy_alone_can_read_it(tmp_path):
    path = tmp_path / "last.npz"
    model = trained_model()
    save_checkpoint(path, model, STATE)
    script = (
        "import sys, json, numpy\n"
        "file = numpy.load(sys.argv[1], allow_pickle=False)\n"
        "names = sorted(n for n in file.files if n.startswith('weights/'))\n"
        "print(json.loads(file['state'].tobytes())['state']['epoch'], names[-1])\n"
        "assert 'keras' not in sys.modules\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=True
    ).stdout.split()
    assert printed[0] == "3"
    assert printed[1].endswith("/logits/bias")


def test_weights_only_leaves_optimizer_and_generators_alone(tmp_path):
    path = tmp_path / "last.npz"
    model = trained_model()
    save_checkpoint(path, model, STATE)
    other = trained_model(seed=1, steps=4)
    optimizer = values(other.optimizer.variables)
    load_weights_only(path, other)
    assert_equal(values(model.weights), values(other.weights))
    assert_equal(optimizer, values(other.optimizer.variables))


def test_weights_go_into_a_model_without_dropout_and_optimizer(tmp_path):
    path = tmp_path / "last.npz"
    model = trained_model()
    save_checkpoint(path, model, STATE)
    other = build_model(dropout=0.0)
    load_weights_only(path, other)
    assert_equal(values(model.weights), values(other.weights))


def test_bfloat16_variables(tmp_path):
    path = tmp_path / "last.npz"
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, dtype="bfloat16")])
    kernel = values(model.weights)
    save_checkpoint(path, model, {})
    model.set_weights([np.zeros(w.shape, w.dtype) for w in kernel])
    load_weights_only(path, model)
    assert_equal(kernel, values(model.weights))


def test_average(tmp_path):
    paths, weights = [], []
    for seed in range(3):
        model = trained_model(seed, steps=1)
        paths.append(tmp_path / f"{seed}.npz")
        save_checkpoint(paths[-1], model, STATE)
        weights.append(values(model.weights))
    average_checkpoints(paths, model)
    for mean, *three in zip(values(model.weights), *weights, strict=True):
        np.testing.assert_allclose(mean, np.mean(three, axis=0), rtol=1e-6, atol=1e-8)
    with pytest.raises(ValueError, match="at least one"):
        average_checkpoints([], model)


def dense(units):
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(units, name="head")])


def test_another_shape_is_named_and_nothing_is_changed(tmp_path):
    path = tmp_path / "last.npz"
    save_checkpoint(path, dense(3), STATE)
    model = dense(4)
    before = values(model.weights)
    with pytest.raises(ValueError, match=r"/head/kernel' with shape \(2, 4\) here.*\(2, 3\)"):
        load_weights_only(path, model)
    assert_equal(before, values(model.weights))


def test_other_variables_are_named(tmp_path):
    path = tmp_path / "last.npz"
    save_checkpoint(path, dense(3), STATE)
    deeper = keras.Sequential([dense(3), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match="2 weights variables, the model 4"):
        load_weights_only(path, deeper)
    # The same shape, another meaning.
    model = keras.Sequential([keras.Input((None,)), keras.layers.Embedding(2, 3)])
    with pytest.raises(ValueError, match="embeddings'.*head/kernel'"):
        load_weights_only(path, model)


def test_another_optimizer_is_refused_before_a_weight_is_changed(tmp_path):
    path = tmp_path / "last.npz"
    save_checkpoint(path, trained_model(), STATE)
    model = build_model()
    model.compile("sgd", "mse")
    before = values(model.weights)
    with pytest.raises(ValueError, match="optimizer variable"):
        load_checkpoint(path, model)
    assert_equal(before, values(model.weights))


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "array"])
def test_a_damaged_file_is_refused(tmp_path, damage):
    path = tmp_path / "last.npz"
    save_checkpoint(path, dense(3), STATE)
    whole = path.read_bytes()
    if damage == "array":
        with open(path, "wb") as file:
            np.save(file, np.ones(3))
    else:
        path.write_bytes({"cut": whole[: len(whole) // 2], "text": b"hello", "empty": b""}[damage])
    with pytest.raises(ValueError, match="not a whole checkpoint"):
        load_weights_only(path, dense(3))


def test_a_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "last.npz"
    model = dense(3)
    save_checkpoint(path, model, STATE)
    whole = bytearray(path.read_bytes())
    whole[whole.index(np.asarray(model.weights[0]).tobytes())] ^= 1
    path.write_bytes(whole)
    with pytest.raises(ValueError, match="not a whole checkpoint"):
        load_weights_only(path, model)


def test_a_newer_format_is_refused(tmp_path):
    path = tmp_path / "last.npz"
    with open(path, "wb") as file:
        np.savez(file, state=np.frombuffer(json.dumps({"format": 2}).encode(), np.uint8))
    with pytest.raises(ValueError, match="format 2"):
        read_checkpoint(path)


def test_a_missing_file_is_not_called_damaged(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_weights_only(tmp_path / "no.npz", dense(3))


def test_a_full_disk_leaves_the_old_file_and_no_rubbish(tmp_path):
    path = tmp_path / "last.npz"
    save_checkpoint(path, dense(3), STATE)
    old = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))  # a disk with 4 KiB left
    try:
        with pytest.raises(OSError, match="previous file is intact.*Free space"):
            save_checkpoint(path, dense(30_000), STATE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["last.npz"]


def test_an_error_while_writing_keeps_its_number(tmp_path):
    def write(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space left.*there is none yet") as caught:
        write_atomically(tmp_path / "last.npz", write)
    assert caught.value.errno == errno.ENOSPC


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "last.npz"
    write_atomically(path, lambda file: file.write(b"old"))
    seen = []

    def write(file):
        file.write(b"new")
        file.flush()
        seen.append(path.read_bytes())

    write_atomically(path, write)
    assert seen == [b"old"]
    assert path.read_bytes() == b"new"
