"""Runnable jobs, one module for each task; `README.md` lists them."""
