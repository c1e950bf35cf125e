"""Reading a monitored number from the logs and comparing it with the best so far."""

import math

MODES = ("min", "max")


def check_mode(mode):
    """Raises ValueError for an unknown mode."""
    if mode not in MODES:
        raise ValueError(f"Unknown mode {mode!r}; known: {', '.join(MODES)}.")


def monitored_value(logs, monitor, who):
    """Returns logs[monitor] as a float; ValueError that names what there is otherwise."""
    if monitor not in logs:
        raise ValueError(
            f"{who} monitors {monitor!r}, but the epoch's logs hold {sorted(logs)}. "
            "Pass validation_data for names in val_, or monitor one of those."
        )
    return float(logs[monitor])


def is_better(value, best, mode, min_delta=0.0):
    """True if a finite value improves on best by more than min_delta; best None: none yet."""
    if not math.isfinite(value):
        return False
    if best is None:
        return True
    return value < best - min_delta if mode == "min" else value > best + min_delta
