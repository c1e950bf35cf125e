import keras
import pytest

from seqkeras.analysis import figure_pixels, plot_learning_curve, save_png

HISTORY = {
    "loss": [3.0, 2.0, 1.5],
    "perplexity": [20.0, 7.4, 4.5],
    "accuracy": [0.1, 0.3, 0.4],
    "learning_rate": [0.1, 0.1, 0.05],
    "val_loss": [3.1, 2.4, 2.5],
    "val_accuracy": [0.1, 0.2, 0.2],
    "val_perplexity": [22.0, 11.0, 12.2],
}


def test_a_panel_for_each_metric_with_training_and_validation(tmp_path):
    figure = plot_learning_curve(HISTORY, title="run")
    drawn = {
        axes.get_title(): {line.get_label(): list(line.get_ydata()) for line in axes.lines}
        for axes in figure.axes
    }
    assert drawn == {
        "loss": {"training": HISTORY["loss"], "validation": HISTORY["val_loss"]},
        "perplexity": {
            "training": HISTORY["perplexity"],
            "validation": HISTORY["val_perplexity"],
        },
        "accuracy": {"training": HISTORY["accuracy"], "validation": HISTORY["val_accuracy"]},
        "learning rate": {"training": HISTORY["learning_rate"]},
    }
    assert list(figure.axes[0].lines[0].get_xdata()) == [1, 2, 3]
    save_png(figure, tmp_path / "plots" / "curve.png")
    assert (tmp_path / "plots" / "curve.png").read_bytes()[:4] == b"\x89PNG"


def test_takes_what_fit_returns():
    history = keras.callbacks.History()
    history.history = {"loss": [1.0]}
    (axes,) = plot_learning_curve(history).axes
    assert list(axes.lines[0].get_ydata()) == [1.0]
    assert figure_pixels(axes.figure).shape == (300, 400, 4)


def test_empty_history():
    with pytest.raises(ValueError, match="at least one metric"):
        plot_learning_curve({})
