"""Keras callbacks: checkpoints, early stopping, the check for NaN, progress, TensorBoard."""
