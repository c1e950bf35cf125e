"""What every test shares: the backend, the data sets, and the count of skipped tests."""

import os
import pathlib

import pytest

# Before anything imports Keras or TensorFlow.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")
# JAX compiles every operation by itself: most of the work here, and much of it a repetition. Each
# worker has a folder of its own, for JAX would read what another worker is still writing.
JAX_CACHE = pathlib.Path(__file__).parents[1] / ".jax_cache"
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(
    JAX_CACHE / os.environ.get("PYTEST_XDIST_WORKER", "main")
)
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

pytest.register_assert_rewrite("tests.contract")

DATA_VARIABLE = "SEQKERAS_DATA"
NO_DATA = f"real data: {DATA_VARIABLE} does not name the folder of the data sets (docs/data.md)"


@pytest.fixture(scope="session")
def data_dir():
    """The folder of the data sets; a test that uses it carries the marker `realdata`."""
    if not os.environ.get(DATA_VARIABLE):
        pytest.skip(NO_DATA)
    return pathlib.Path(os.environ[DATA_VARIABLE])


@pytest.fixture(autouse=True)
def _seeded():
    """Every test draws the same weights in every run, whatever ran before it."""
    import keras

    keras.utils.set_random_seed(0)


def needs_another_backend(item):
    return item.get_closest_marker("tensorflow") and os.environ["KERAS_BACKEND"] != "tensorflow"


def pytest_runtest_setup(item):
    if needs_another_backend(item):
        pytest.skip(f"needs the TensorFlow backend, KERAS_BACKEND={os.environ['KERAS_BACKEND']}")
    if item.get_closest_marker("realdata") and not os.environ.get(DATA_VARIABLE):
        pytest.skip(NO_DATA)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Fails a `realdata` test that skips although the data sets are there."""
    report = yield
    must_run = item.get_closest_marker("realdata") and os.environ.get(DATA_VARIABLE)
    if report.skipped and must_run and not needs_another_backend(item):
        *_, reason = report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{DATA_VARIABLE} is set, so no `realdata` test may skip. {reason}"
    return report


def pytest_terminal_summary(terminalreporter):
    skipped = terminalreporter.stats.get("skipped", [])
    real = sum(NO_DATA in str(report.longrepr) for report in skipped)
    terminalreporter.write_line(f"skipped: {len(skipped)}, of which for want of real data: {real}")
