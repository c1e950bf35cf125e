"""Attention, `(query, value, key, masks) -> context`: one file for each way to score."""
