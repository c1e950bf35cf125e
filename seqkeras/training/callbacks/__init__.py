"""Keras callbacks: checkpoints, early stopping, the check for NaN, progress, TensorBoard."""

from seqkeras.training.callbacks.carried_states import CarriedStates
from seqkeras.training.callbacks.checkpointing import Checkpointing
from seqkeras.training.callbacks.early_stopping import EarlyStopping
from seqkeras.training.callbacks.gradient_flow import GradientFlow
from seqkeras.training.callbacks.non_finite import NonFiniteError, StopOnNonFinite
from seqkeras.training.callbacks.progress import Progress
from seqkeras.training.callbacks.projector import EmbeddingProjector
from seqkeras.training.callbacks.sample_translations import SampleTranslations
from seqkeras.training.callbacks.scheduled_sampling import ScheduledSampling
from seqkeras.training.callbacks.tensorboard import TensorBoardLogger
from seqkeras.training.callbacks.time_budget import TimeBudget

__all__ = [
    "CarriedStates",
    "Checkpointing",
    "EarlyStopping",
    "EmbeddingProjector",
    "GradientFlow",
    "NonFiniteError",
    "Progress",
    "SampleTranslations",
    "ScheduledSampling",
    "StopOnNonFinite",
    "TensorBoardLogger",
    "TimeBudget",
]
