"""Looking inside: attention maps, gradient flow, quality against length, curves; mixtures."""

from seqkeras.analysis.attention_maps import (
    attention_images,
    plot_attention,
    save_attention,
    without_padding,
)
from seqkeras.analysis.figures import figure_pixels, save_png
from seqkeras.analysis.gradient_flow import (
    GradientNorms,
    gradient_norms,
    lag_jacobians,
    spectral_norm,
    step_jacobians,
)
from seqkeras.analysis.gradient_plots import plot_gradient_norms, plot_lstm_paths
from seqkeras.analysis.learning_curve import plot_learning_curve
from seqkeras.analysis.length_table import LengthScore, plot_score_by_length, score_by_length
from seqkeras.analysis.lstm_paths import LSTMPaths, lstm_paths
from seqkeras.analysis.mixture import fit_mixture_weights, mix, perplexity
from seqkeras.analysis.model_gradient_flow import model_gradient_norms, recurrent_layers
from seqkeras.analysis.truncated_bptt import bptt_sums, segment_gradient, truncated_gradient

__all__ = [
    "GradientNorms",
    "LSTMPaths",
    "LengthScore",
    "attention_images",
    "bptt_sums",
    "figure_pixels",
    "fit_mixture_weights",
    "gradient_norms",
    "lag_jacobians",
    "lstm_paths",
    "mix",
    "model_gradient_norms",
    "perplexity",
    "plot_attention",
    "plot_gradient_norms",
    "plot_learning_curve",
    "plot_lstm_paths",
    "plot_score_by_length",
    "recurrent_layers",
    "save_attention",
    "save_png",
    "score_by_length",
    "segment_gradient",
    "spectral_norm",
    "step_jacobians",
    "truncated_gradient",
    "without_padding",
]
