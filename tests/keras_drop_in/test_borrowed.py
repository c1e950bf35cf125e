"""What makes a borrowed test fail, beside its own assertions."""

import keras
import numpy as np
import pytest

import seqkeras.layers
from tests.keras_drop_in.borrowed import FUSED, LOOP, Layers, check_lists, watched

X = np.ones((2, 3, 4), "float32")
NAMES = ["test_a", "test_b", "test_c", "test_d", "test_e"]


def ours(_):
    seqkeras.layers.LSTM(2)(X)


def theirs(_):
    keras.layers.LSTM(2)(X)


def ours_in_theirs(_):
    keras.layers.Bidirectional(seqkeras.layers.LSTM(2))(X)


def neither(_):
    seqkeras.layers.LSTM(2).compute_output_shape(X.shape)


def test_a_case_that_enters_our_kernel_passes():
    watched(ours, FUSED)(None)
    watched(ours, LOOP)(None)
    watched(neither, LOOP, enters=False)(None)


@pytest.mark.parametrize(
    ("case", "enters", "message"),
    [
        (neither, True, "expected calls of _loop: True"),
        (ours, False, "expected calls of _loop: False"),
        (theirs, True, "LSTM.call"),
        (ours_in_theirs, True, "Bidirectional.call"),
    ],
)
def test_a_case_in_which_other_code_ran_fails(case, enters, message):
    with pytest.raises(AssertionError, match=message):
        watched(case, LOOP, enters)(None)


def test_a_case_that_keras_expects_to_fail_is_not_expected_to_fail_here():
    marks = watched(pytest.mark.slow(pytest.mark.xfail(ours)), LOOP).pytestmark
    assert [mark.name for mark in marks] == ["slow"]


@pytest.mark.tensorflow
def test_a_case_that_only_runs_the_plain_loop_fails_where_a_kernel_is_due():
    def unrolled(_):
        seqkeras.layers.LSTM(2, unroll=True)(X)

    with pytest.raises(AssertionError, match="expected calls of run: True"):
        watched(unrolled, FUSED)(None)


def test_one_case_in_five_may_be_excepted():
    check_lists("lstm_test", NAMES, {"test_a": "private"}, ["test_b"])
    with pytest.raises(ValueError, match="at most 20% of 5 cases"):
        check_lists("lstm_test", NAMES, {"test_a": "private", "test_b": "private"}, [])


def test_a_star_stands_for_many_cases():
    check_lists("lstm_test", NAMES, {}, ["test_*"])
    with pytest.raises(ValueError, match="got {'spec_\\*'}"):
        check_lists("lstm_test", NAMES, {}, ["spec_*"])


def test_a_layer_is_replaced_under_any_name_that_keras_has_for_it():
    from keras.src import layers

    ours = Layers(layers)
    assert ours.LSTM is seqkeras.layers.LSTM
    assert ours.GroupedQueryAttention is seqkeras.layers.GroupQueryAttention
    assert ours.Dense is keras.layers.Dense


@pytest.mark.parametrize("lists", [({"test_f": "private"}, []), ({}, ["test_f"])])
def test_a_case_that_no_longer_exists_raises(lists):
    with pytest.raises(ValueError, match="got {'test_f'}"):
        check_lists("lstm_test", NAMES, *lists)
