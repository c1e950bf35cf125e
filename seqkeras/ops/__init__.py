"""Pure functions without weights; the only folder with backend-specific code."""
