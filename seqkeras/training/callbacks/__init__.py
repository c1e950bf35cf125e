"""Keras callbacks: checkpoints, early stopping, the check for NaN, progress, TensorBoard."""

from seqkeras.training.callbacks.checkpointing import Checkpointing
from seqkeras.training.callbacks.early_stopping import EarlyStopping
from seqkeras.training.callbacks.non_finite import NonFiniteError, StopOnNonFinite
from seqkeras.training.callbacks.progress import Progress

__all__ = ["Checkpointing", "EarlyStopping", "NonFiniteError", "Progress", "StopOnNonFinite"]
