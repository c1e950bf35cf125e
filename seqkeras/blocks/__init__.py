"""Cells and attention put together into the stages of a model."""
