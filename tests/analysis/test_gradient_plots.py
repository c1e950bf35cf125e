import numpy as np
import pytest

from seqkeras import layers
from seqkeras.analysis.figures import save_png
from seqkeras.analysis.gradient_flow import GradientNorms, gradient_norms
from seqkeras.analysis.gradient_plots import plot_gradient_norms, plot_lstm_paths
from seqkeras.analysis.lstm_paths import lstm_paths

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 12, 2)).astype("float32")


def lines(axes):
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def test_a_line_for_each_system_with_its_bound(tmp_path):
    norms = {
        "tanh": gradient_norms(layers.SimpleRNN(4), X),
        "LSTM": gradient_norms(layers.LSTM(4), X),
    }
    figure = plot_gradient_norms(norms, title="before training")
    (axes,) = figure.axes
    drawn = lines(axes)
    assert list(drawn) == ["tanh", "tanh, bound", "LSTM"]
    for name, n in norms.items():
        np.testing.assert_array_equal(drawn[name].get_xdata(), n.lags)
        np.testing.assert_array_equal(drawn[name].get_ydata(), np.median(n.spectral, axis=1))
    bound = np.median(norms["tanh"].bound, axis=1)
    np.testing.assert_array_equal(drawn["tanh, bound"].get_ydata(), bound)
    assert drawn["tanh, bound"].get_color() == drawn["tanh"].get_color()
    assert axes.get_yscale() == "log"
    assert axes.get_title() == "before training"
    assert len(axes.collections) == 2  # the bands
    save_png(figure, tmp_path / "norms.png")
    assert (tmp_path / "norms.png").read_bytes()[:4] == b"\x89PNG"


def test_what_a_logarithmic_axis_has_no_place_for_is_left_out():
    spectral = np.array([[1.0, 1.0], [0.0, 0.0], [np.inf, np.inf], [0.5, np.nan], [np.nan, np.nan]])
    norms = GradientNorms(np.arange(5), spectral, spectral, None, None)
    (axes,) = plot_gradient_norms({"x": norms}).axes
    (line,) = lines(axes).values()
    np.testing.assert_array_equal(line.get_ydata(), [1.0, np.nan, np.nan, 0.5, np.nan])


def test_a_bound_does_not_squeeze_what_was_measured():
    spectral, bound = 0.5 ** np.arange(9.0), 100.0 ** np.arange(9.0)
    norms = GradientNorms(np.arange(9), spectral[:, None], spectral[:, None], bound[:, None], 100.0)
    (axes,) = plot_gradient_norms({"x": norms}).axes
    assert axes.get_ylim()[1] == pytest.approx(1e3)
    assert axes.get_ylim()[0] < spectral[-1]


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="at least one system"):
        plot_gradient_norms({})


def test_paths_step_by_step_and_their_products(tmp_path):
    paths = lstm_paths(layers.LSTM(4), X)
    figure = plot_lstm_paths(paths, title="LSTM")
    left, right = (lines(axes) for axes in figure.axes)
    assert list(left) == [
        "direct: diag(f)",
        "through the forget gate",
        "through the input gate",
        "through the candidate",
        "all four",
    ]
    for line, norms in zip(left.values(), paths.norms().values(), strict=True):
        assert line.get_xdata().tolist() == list(range(2, 13))
        np.testing.assert_array_equal(line.get_ydata(), np.median(norms, axis=1))
    assert list(right) == ["direct: diag(f)", "all four"]
    total = np.median(paths.lag_norms()["total"], axis=1)
    np.testing.assert_array_equal(right["all four"].get_ydata(), total)
    assert figure.axes[1].get_yscale() == "log"
    save_png(figure, tmp_path / "paths.png")
    assert (tmp_path / "paths.png").stat().st_size > 10_000
