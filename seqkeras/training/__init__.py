"""Losses, metrics, schedules, optimizers, checkpoints, callbacks, and a `fit` that resumes."""
