"""Keras' own tests with our layers in Keras' place.

Keras installs its tests beside its layers (`keras/src/layers/rnn/lstm_test.py`). They reach a layer
as `layers.LSTM`, so it is enough to import such a module and give it another `layers`: one in which
every layer that `seqkeras.layers` also has is ours. Nothing of their text is copied.

That a case passes says little unless our code ran in it, so every case also counts the calls of our
kernels, and those of the layers that it must no longer reach.
"""

import contextlib
import fnmatch
import functools
import importlib
import unittest

import keras
import pytest

import seqkeras.layers
from seqkeras.cells.rnn import RNN
from seqkeras.ops import recurrence

REPLACED = sorted(set(seqkeras.layers.__all__) & set(vars(keras.layers)))
# By class and not by name: inside Keras a layer may have another name than the public one.
OURS = {getattr(keras.layers, name): getattr(seqkeras.layers, name) for name in REPLACED}
THEIRS = [(getattr(keras.layers, name), "call") for name in REPLACED]

# What a case must enter, as (owner, attribute): both are looked up in the owner at every call.
LOOP = (RNN, "_loop")
FUSED = (recurrence, "run") if keras.backend.backend() == "tensorflow" else LOOP

# How a case fails that misses something private; a KeyError, where it overrides a private method
# and looks for what the override would have noted.
MISSING = (AttributeError, NotImplementedError, KeyError)
MAX_EXCEPTED = 0.2


class Layers:
    """`keras.src.layers`, with our layers instead of those that have the same public name."""

    def __init__(self, theirs):
        self._theirs = theirs

    def __getattr__(self, name):
        theirs = getattr(self._theirs, name)
        return OURS.get(theirs, theirs)


def keras_tests(module_name, kernel, excepted=None, without_kernel=()):
    """Returns Keras' `TestCase` of a module with our layers in it, for pytest to collect.

    A case for another backend skips itself, here as in Keras, and needs no exception.

    Args:
        module_name: Name of a module in `keras.src.layers` that holds one `TestCase`.
        kernel: What every case must enter, `(owner, attribute)`: for recurrent layers `LOOP`, or
            `FUSED` if they have a fused kernel.
        excepted: Dict from names of cases to the private attribute, or whatever else of Keras' own
            kernels, that they ask for and do not find; or to `(reason, exception)` if what is
            raised is none of `MISSING`. One that passes fails.
        without_kernel: Names of cases that only ask a layer for shapes or its config, or call none;
            `*` stands for any letters.
    """
    excepted = excepted or {}
    module = importlib.import_module(f"keras.src.layers.{module_name}")
    module.layers = Layers(module.layers)
    (cases,) = (
        member
        for member in vars(module).values()
        if isinstance(member, type) and issubclass(member, unittest.TestCase)
    )
    names = unittest.defaultTestLoader.getTestCaseNames(cases)
    check_lists(module_name, names, excepted, without_kernel)
    for name in names:
        enters = not any(fnmatch.fnmatchcase(name, pattern) for pattern in without_kernel)
        case = watched(getattr(cases, name), kernel, enters)
        if name in excepted:
            reason = excepted[name]
            reason, raised = (reason, MISSING) if isinstance(reason, str) else reason
            case = pytest.mark.xfail(reason=reason, raises=raised, strict=True)(case)
        setattr(cases, name, case)
    return cases


def check_lists(module_name, names, excepted, without_kernel):
    """Raises a ValueError if a listed case does not exist, or too many are excepted."""
    unknown = set(excepted) - set(names)
    unknown |= {pattern for pattern in without_kernel if not fnmatch.filter(names, pattern)}
    if unknown:
        raise ValueError(f"{module_name}: expected names of its cases {names}, got {unknown}.")
    if len(excepted) > MAX_EXCEPTED * len(names):
        raise ValueError(
            f"{module_name}: expected at most {MAX_EXCEPTED:.0%} of {len(names)} cases to be "
            f"excepted, got {len(excepted)}."
        )


def watched(case, kernel, enters=True):
    """The case, which also fails if it does not enter our kernel, or calls a layer of Keras.

    With `enters=False` it fails if it does enter the kernel.
    """

    @functools.wraps(case)
    def run(self):
        with calls([kernel]) as ours, calls(THEIRS) as theirs:
            try:
                case(self)
            finally:
                keras.config.enable_traceback_filtering()  # Keras' TestCase turns it off
        assert not theirs, f"expected no layer of Keras to be called, got {theirs}"
        assert bool(ours) == enters, f"expected calls of {kernel[1]}: {enters}, got {ours}"

    # What Keras expects to fail with its own kernels must not fail with ours.
    run.pytestmark = [mark for mark in getattr(case, "pytestmark", []) if mark.name != "xfail"]
    return run


@contextlib.contextmanager
def calls(functions):
    """Yields the names of the functions, `(owner, attribute)`, in the order of their calls."""
    entered = []
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in functions:
            patch.setattr(owner, name, counted(getattr(owner, name), entered))
        yield entered


def counted(function, entered):
    @functools.wraps(function)
    def run(*args, **options):
        entered.append(function.__qualname__)
        return function(*args, **options)

    return run
