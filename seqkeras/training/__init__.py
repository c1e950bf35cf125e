"""Losses, metrics, schedules, optimizers, checkpoints, callbacks, and a `fit` that resumes."""

from seqkeras.training.adam import Adam
from seqkeras.training.checkpoints import (
    average_checkpoints,
    load_checkpoint,
    load_weights_only,
    save_checkpoint,
)
from seqkeras.training.losses import TokenCrossentropy
from seqkeras.training.metrics import Perplexity, TokenAccuracy, TokenLoss
from seqkeras.training.optimizer import GuardedOptimizer, find_guard
from seqkeras.training.resume import fit
from seqkeras.training.run_lock import run_lock
from seqkeras.training.schedules import InverseSquareRoot, build_schedule

__all__ = [
    "Adam",
    "GuardedOptimizer",
    "InverseSquareRoot",
    "Perplexity",
    "TokenAccuracy",
    "TokenCrossentropy",
    "TokenLoss",
    "average_checkpoints",
    "build_schedule",
    "find_guard",
    "fit",
    "load_checkpoint",
    "load_weights_only",
    "run_lock",
    "save_checkpoint",
]
