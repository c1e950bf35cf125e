"""Hidden states to output distributions."""
