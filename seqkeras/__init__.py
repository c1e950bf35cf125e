"""Sequence models from the plain RNN to efficient Transformers, for Keras 3 and TensorFlow."""

from seqkeras import layers, models

__version__ = "0.1.0"

__all__ = ["__version__", "layers", "models"]
