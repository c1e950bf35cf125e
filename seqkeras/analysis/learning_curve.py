"""The curves of a training run, from what `fit` returns."""

from seqkeras.analysis.figures import new_figure

VALIDATION = "val_"


def plot_learning_curve(history, title=None):
    """Draws one panel for each metric, training and validation over the epochs.

    Args:
        history: `keras.callbacks.History`, or its dict from a metric's name to values per epoch.
        title: Optional str.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: If the history is empty.
    """
    from matplotlib.ticker import MaxNLocator

    curves = getattr(history, "history", history)
    names = list(dict.fromkeys(name.removeprefix(VALIDATION) for name in curves))
    if not names:
        raise ValueError("Expected a history with at least one metric, got an empty one.")
    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    figure = new_figure(4.0 * columns, 3.0 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for name, axes in zip(names, panels, strict=False):
        for key, label, line in (
            (name, "training", "o-"),
            (VALIDATION + name, "validation", "s--"),
        ):
            if key in curves:
                epochs = range(1, len(curves[key]) + 1)
                axes.plot(epochs, curves[key], line, markersize=3, label=label)
        axes.set_title(name.replace("_", " "))
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    for axes in figure.axes[len(names) :]:  # the grid may have a cell or two more
        axes.remove()
    if title is not None:
        figure.suptitle(title)
    return figure
