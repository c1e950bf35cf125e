"""Pictures of gradients through time: norms against the lag, and the paths through an LSTM."""

import itertools

import numpy as np

from seqkeras.analysis.figures import new_figure
from seqkeras.analysis.gradient_flow import median_of_known

LABELS = {
    "total": "all four",
    "direct": "direct: diag(f)",
    "forget_gate": "through the forget gate",
    "input_gate": "through the input gate",
    "candidate": "through the candidate",
}
ROOM = 1e3  # above the largest norm; bounds may grow beyond it by any power of ten
STYLES = ("-", "--", "-.", ":")  # tell lines apart without colour


def plot_gradient_norms(systems, title=None):
    """Draws the norm of ds_T/ds_{T-k} against the lag k, on a logarithmic axis.

    A line for each system: the median over its examples, all examples as a band, and where there is
    one the median of its bound in the same colour, dotted; a bound may leave the picture at the
    top. What has underflowed to 0 is left out.

    Args:
        systems: Dict from a system's name to its `GradientNorms`.
        title: Optional str.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: If there is no system.
    """
    if not systems:
        raise ValueError("Expected at least one system to draw, got none.")
    figure = new_figure(6.4, 4.4)
    axes = figure.add_subplot()
    for (name, norms), style in zip(systems.items(), itertools.cycle(STYLES[:3]), strict=False):
        (line,) = axes.plot(norms.lags, _drawn(norms.typical()), style, label=name)
        _band(axes, norms.lags, norms.spectral, line.get_color())
        if norms.bound is not None:
            bound = _drawn(median_of_known(norms.bound))
            axes.plot(norms.lags, bound, ":", color=line.get_color(), label=f"{name}, bound")
    _against_lag(axes, r"$\|\partial s_T\, /\, \partial s_{T-k}\|_2$")
    measured = np.concatenate([_drawn(norms.spectral).ravel() for norms in systems.values()])
    if np.any(measured > 0.0):
        axes.set_ylim(top=min(axes.get_ylim()[1], ROOM * np.nanmax(measured)))
    if title is not None:
        axes.set_title(title)
    return figure


def plot_lstm_paths(paths, title=None):
    """Draws the four paths of dc_t/dc_{t-1}: their norms step by step, and the products of steps.

    Left, which path carries the gradient over one step; right, what many steps make of it, beside
    the product of the forget gates alone.

    Args:
        paths: `LSTMPaths`.
        title: Optional str.

    Returns:
        `matplotlib.figure.Figure`.
    """
    figure = new_figure(10.0, 4.0)
    left, right = figure.subplots(1, 2)
    for (name, norms), style in zip(paths.norms().items(), (*STYLES, "-"), strict=True):
        steps = np.arange(2, 2 + len(norms))
        width = 2.0 if name == "total" else 1.2
        left.plot(steps, median_of_known(norms), style, linewidth=width, label=LABELS[name])
    left.set_xlabel("step t")
    left.set_ylabel(r"norm of a path of $\partial c_t\, /\, \partial c_{t-1}$")
    left.set_ylim(bottom=0)
    left.grid(alpha=0.3)
    left.legend()
    for (name, norms), style in zip(paths.lag_norms().items(), STYLES, strict=False):
        lags = np.arange(len(norms))
        (line,) = right.plot(lags, _drawn(median_of_known(norms)), style, label=LABELS[name])
        _band(right, lags, norms, line.get_color())
    _against_lag(right, "norm of the product of the last k factors")
    if title is not None:
        figure.suptitle(title)
    return figure


def _drawn(values):
    """Returns values with NaN where a logarithmic axis has no place for them."""
    return np.where(np.isfinite(values) & (values > 0.0), values, np.nan)


def _band(axes, lags, rows, colour):
    rows = _drawn(rows)
    known = ~np.isnan(rows).all(axis=1)
    if rows.shape[1] > 1 and known.any():
        low, high = np.nanmin(rows[known], axis=1), np.nanmax(rows[known], axis=1)
        axes.fill_between(np.asarray(lags)[known], low, high, color=colour, alpha=0.15, linewidth=0)


def _against_lag(axes, label):
    axes.set_yscale("log")
    axes.axhline(1.0, color="0.6", linewidth=0.8)
    axes.set_xlabel("lag k, steps back from the last")
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    axes.legend()
