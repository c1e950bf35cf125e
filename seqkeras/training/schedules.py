"""Learning-rate schedules; n counts updates of the weights from 1.

constant              peak
inverse_square_root   peak min(n / w, sqrt(w / n)), w warm-up updates;
                      Vaswani et al. 2017 (arXiv:1706.03762), §5.3, has peak = (d_model w)^-1/2
cosine                linear to the peak, then peak (1 + cos(pi (n - w) / (N - w))) / 2;
                      Loshchilov & Hutter 2017 (arXiv:1608.03983), without restarts
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="seqkeras")
class InverseSquareRoot(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to `peak`, then decay with the square root of the number of updates.

    Args:
        peak: float, the largest learning rate, reached at update `warmup_steps`.
        warmup_steps: int of at least 1.

    Example:

    >>> schedule = InverseSquareRoot(peak=1.0, warmup_steps=4)
    >>> [round(float(schedule(step)), 3) for step in (0, 3, 15)]
    [0.25, 1.0, 0.5]
    """

    def __init__(self, peak, warmup_steps):
        super().__init__()
        if warmup_steps < 1:
            raise ValueError(f"InverseSquareRoot needs warmup_steps >= 1, got {warmup_steps}.")
        self.peak = peak
        self.warmup_steps = warmup_steps

    def __call__(self, step):
        n = ops.cast(step, "float32") + 1.0  # Keras passes the number of updates made before
        w = float(self.warmup_steps)
        return self.peak * ops.minimum(n / w, ops.sqrt(w / n))

    def get_config(self):
        return {"peak": self.peak, "warmup_steps": self.warmup_steps}


SCHEDULES = ("constant", "inverse_square_root", "cosine")


def build_schedule(name, peak, warmup_steps=0, total_steps=None):
    """Returns what an optimizer takes as its `learning_rate`.

    Args:
        name: One of `SCHEDULES`.
        peak: float, the largest learning rate.
        warmup_steps: int, updates until the peak; must be 0 for "constant" and at least 1 for
            "inverse_square_root".
        total_steps: int, updates in the whole run; "cosine" needs it, the others ignore it.

    Raises:
        ValueError: If the name is unknown, or a number does not fit the schedule.
    """
    if name == "constant":
        if warmup_steps:
            raise ValueError(
                f"The constant schedule has no warm-up, got warmup_steps={warmup_steps}. "
                "Set it to 0 or choose another schedule."
            )
        return float(peak)
    if name == "inverse_square_root":
        return InverseSquareRoot(float(peak), warmup_steps)
    if name == "cosine":
        if total_steps is None or total_steps <= warmup_steps:
            raise ValueError(
                "The cosine schedule needs total_steps above warmup_steps; "
                f"got total_steps={total_steps}, warmup_steps={warmup_steps}."
            )
        return keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup_steps else float(peak),
            decay_steps=total_steps - warmup_steps,
            warmup_target=float(peak) if warmup_steps else None,
            warmup_steps=warmup_steps,
        )
    raise ValueError(f"Unknown schedule {name!r}; known: {', '.join(SCHEDULES)}.")
