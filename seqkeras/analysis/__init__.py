"""Looking inside: attention maps, quality against length, learning curves."""

from seqkeras.analysis.attention_maps import (
    attention_images,
    plot_attention,
    save_attention,
    without_padding,
)
from seqkeras.analysis.figures import figure_pixels, save_png
from seqkeras.analysis.learning_curve import plot_learning_curve
from seqkeras.analysis.length_table import LengthScore, plot_score_by_length, score_by_length

__all__ = [
    "LengthScore",
    "attention_images",
    "figure_pixels",
    "plot_attention",
    "plot_learning_curve",
    "plot_score_by_length",
    "save_attention",
    "save_png",
    "score_by_length",
    "without_padding",
]
