"""Cells, `(x_t, states) -> (y_t, states)`, and the layers that run a cell over time."""
